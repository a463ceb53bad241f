"""Who is the one writer, and what is drained, by what the store holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from election.records import Ban, Drain, Stop
from hactl.decide.routing import drained, following, owners
from hactl.haproxy.render.document import render
from hactl.haproxy.routing import routing_of
from hactl.haproxy.settings import HaproxySettings
from hactl.haproxy.wanted import Wanted
from hactl.status import services as status
from tests.support.scene import CLUSTER, KEYS, Scene
from tests.support.specs import service_spec


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.join("n1", "n2", "n3")
    scene.own("database", "n1")
    return scene


def writer(scene: Scene) -> str | None:
    return owners(scene.view, ["database"]).get("database")


def test_the_owner_is_the_writer(scene: Scene) -> None:
    assert writer(scene) == "n1"
    assert owners(scene.view, ["vip"]) == {}
    assert owners(scene.view, ["nothing"]) == {}


def test_in_a_move_nobody_is_the_writer_until_it_is_accepted(scene: Scene) -> None:
    scene.own("database", "n2", epoch=8, state="handoff")
    assert writer(scene) is None
    scene.own("database", "n2", epoch=8)
    assert writer(scene) == "n2"


def test_with_overlap_the_one_that_it_was_handed_to_is_the_writer(scene: Scene) -> None:
    old = (scene.holder("n1"),)
    scene.own("database", "n2", epoch=8, state="handoff", holders=old, overlap=True)
    assert writer(scene) is None
    scene.own("database", "n2", epoch=8, holders=old, overlap=True)
    assert writer(scene) == "n2"


def test_a_group_that_was_released_has_no_writer(scene: Scene) -> None:
    scene.own("database", "n1", state="released")
    assert writer(scene) is None


def test_a_group_that_is_left_alone_keeps_its_writer(scene: Scene) -> None:
    scene.own("database", "n1", state="unmanaged")
    assert writer(scene) == "n1"


def test_a_dead_owner_is_no_writer(scene: Scene) -> None:
    scene.kill("n1")
    assert writer(scene) is None
    scene.join("n1")  # a later session owns nothing
    assert writer(scene) is None


def test_the_drained_servers(scene: Scene) -> None:
    api, writer, role = (
        service_spec(name, **options)
        for name, options in (("api", {}), ("db", {"writer": "elected"}), ("redis", {"check": {"role": "master"}}))
    )
    services = (api, writer, role)
    assert drained(scene.view, services) == frozenset()
    scene.put(KEYS.drain("api", "n1"), Drain("anna", "2026-11-21T10:00:00+00:00"))
    scene.put(KEYS.drain("redis", "n3"), Drain("anna"))
    scene.put(KEYS.drain("*", "n2"), Drain("anna"))
    view = scene.view
    assert drained(view, services) == {("api", "n1"), ("redis", "n3"), ("api", "n2")}
    assert drained(view, (role,)) == {("redis", "n3")}
    assert view.drains["api/n1"].record.by == "anna"
    scene.delete(KEYS.drain("api", "n1"))
    assert drained(scene.view, services) == {("redis", "n3"), ("api", "n2")}


def test_a_drain_is_news_for_watchers_of_the_status(scene: Scene) -> None:
    before = scene.view.mark()
    scene.put(KEYS.drain("api", "n1"), Drain("anna"))
    assert scene.view.mark() != before


CLONE = """groups:
  - {name: broker, run: all, resources: [{name: rabbit, systemd: {unit: rabbitmq-server.service}}]}
"""
FOLLOWING = CLUSTER.replace("groups:\n", CLONE).replace("    mode: http\n", "    mode: http\n    group: broker\n")


def broker(*phases: str, **more: Any) -> Scene:
    """The instances of n1, n2 and n3; `more`: of the first."""
    known = Scene(cluster=FOLLOWING)
    known.join("n1", "n2", "n3")
    for node, phase in zip(("n1", "n2", "n3"), phases, strict=True):
        known.report(node, {"broker": {"phase": phase, **(more if node == "n1" else {})}} if phase else {})
    return known


def away(known: Scene) -> list[str]:
    return sorted(node for service, node in following(known.view, known.spec) if service == "api")


@pytest.mark.parametrize(
    ("phase", "more", "gone"),
    [
        ("running", {}, False),
        ("running", {"leaving": True}, True),
        ("stopping", {}, True),
        ("stopped", {}, True),
        ("starting", {}, True),
        ("stopping", {"failed": True}, False),  # it is restarted where it is: HAProxy's checks decide
        ("failed", {"failed": True}, False),
        ("stopped", {"alone": True}, False),  # in maintenance
        ("unknown", {}, False),
        ("", {}, False),
    ],
)
def test_a_server_follows_the_instance_of_its_node(phase: str, more: dict[str, Any], gone: bool) -> None:
    assert away(broker(phase, "running", "running", **more)) == (["n1"] if gone else [])


def test_a_server_of_an_instance_that_is_not_to_run_there(scene: Scene) -> None:
    known = broker("running", "running", "running")
    known.put(KEYS.ban("broker", "n1"), Ban("anna"))
    known.put(KEYS.standby("n2"), "anna")
    assert away(known) == ["n1", "n2"]
    known.kill("n3")
    assert away(known) == []  # nobody else could serve
    assert following(scene.view, scene.spec) == frozenset()


def test_a_service_does_not_lose_all_its_servers_by_this() -> None:
    known = broker("stopped", "stopped", "stopped")
    assert away(known) == []
    known.put(KEYS.stopped("broker"), Stop("anna"))
    assert away(known) == []
    known = broker("stopped", "running", "stopped")
    assert away(known) == ["n1", "n3"]
    known.put(KEYS.drain("api", "n2"), Drain("anna"))
    assert away(known) == []


def test_such_a_server_is_drained_and_not_kept_so() -> None:
    known = broker("stopped", "running", "running")
    routing = routing_of(known.view, known.spec, "n2")
    assert routing.is_drained("api", "n1") and not routing.is_drained("api", "n2") and not routing.drained
    assert "server n1 10.0.0.11:5000 weight 0" in render(known.spec, routing, "n2", HaproxySettings("/run/h"))
    kept = Wanted(known.spec, routing, 1)
    assert kept.is_kept_as(Wanted(known.spec, replace(routing, away=frozenset()), 1))
    assert not kept.without_writers.routing.away
    (service,) = status.service_status(known.view, known.spec, "n2", {})
    assert [server["away"] for server in service["servers"]] == [True, False, False]
