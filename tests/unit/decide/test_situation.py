"""Who is the one writer, and what is drained, by what the store holds."""

from __future__ import annotations

import pytest

from election.records import Drain
from hactl.decide.routing import drained, owners
from tests.support.scene import KEYS, Scene
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
