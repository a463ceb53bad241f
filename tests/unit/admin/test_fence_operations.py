"""Fencing as the operator asks for it: one transaction, or a reason why not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from election.records import FenceRecord
from election.store import Delete
from hactl.admin import fencing
from hactl.admin.errors import NoSuchError, RefusedError
from tests.support.scene import KEYS, LEASE_MS, Scene, fenced

TOWER = "{name: switch, agent: /opt/fence_tower, options: {ip: 10.0.1.1}, status_timeout: 4s}"


@pytest.fixture
def scene() -> Scene:
    """vip on n1, database on n1; n2 and n3 live; a switch for all of them."""
    scene = Scene(cluster=fenced(TOWER))
    scene.join("n1", "n2", "n3")
    scene.own("vip", "n1")
    scene.own("database", "n1")
    return scene


def fence(scene: Scene, node: str, action: str = "") -> str:
    return fencing.fence(scene.store, scene.view, scene.spec, node, action, "anna@n3")


def record(scene: Scene, node: str) -> FenceRecord:
    return scene.view.fences[node].record


def test_a_live_session_ends_and_is_to_be_fenced(scene: Scene) -> None:
    session_revision = scene.holder("n1").session_revision
    assert fence(scene, "n1", "off") == "off"
    assert "n1" not in scene.view.sessions
    assert record(scene, "n1") == FenceRecord(
        "s-n1", session_revision, 0, LEASE_MS, "machine-n1", "boot-n1", "pending", by="anna@n3", wanted="off"
    )


def test_a_session_that_renewed_meanwhile_is_the_same_session(scene: Scene) -> None:
    view = scene.view
    session = scene.view.sessions["n1"].record
    scene.put(KEYS.node("n1"), replace(session, attempt=2))
    fencing.fence(scene.store, view, scene.spec, "n1", "off", "anna@n3")
    assert "n1" not in scene.view.sessions


def test_a_later_session_is_not_hit(scene: Scene) -> None:
    view = scene.view
    scene.delete(KEYS.node("n1"))
    scene.join("n1")
    with pytest.raises(RefusedError, match="the session of n1 changed meanwhile"):
        fencing.fence(scene.store, view, scene.spec, "n1", "off", "anna@n3")
    assert "n1" in scene.view.sessions and "n1" not in scene.view.fences


def test_what_is_configured_is_done(scene: Scene) -> None:
    assert fence(scene, "n1") == "reboot"
    assert record(scene, "n1").wanted == "reboot"


def test_a_dead_session_that_nobody_fences_is_to_be_fenced(scene: Scene) -> None:
    scene.kill("n1", attempts=3, failures=1)
    before = record(scene, "n1")
    fence(scene, "n1", "off")
    assert record(scene, "n1") == replace(before, wanted="off", by="anna@n3")


def test_another_action_may_be_asked_for_later(scene: Scene) -> None:
    fence(scene, "n1", "off")
    fence(scene, "n1", "reboot")
    assert record(scene, "n1").wanted == "reboot"


def test_what_became_safe_meanwhile_is_left_alone(scene: Scene) -> None:
    scene.kill("n1")
    view = scene.view
    scene.put(KEYS.fence("n1"), replace(record(scene, "n1"), state="safe", evidence="reboot"))
    with pytest.raises(RefusedError, match="changed meanwhile"):
        fencing.fence(scene.store, view, scene.spec, "n1", "off", "anna@n3")
    assert record(scene, "n1").wanted == ""


@pytest.mark.parametrize(
    ("state", "more", "says"),
    [
        ("safe", {"evidence": "reboot"}, r"n1 is known to be stopped already \(reboot, by n2\)"),
        ("acting", {"executor": "n3/s-n3"}, r"n1 is being fenced just now \(by n3\)"),
    ],
)
def test_refused_by_what_is_known(scene: Scene, state: str, more: dict[str, Any], says: str) -> None:
    scene.kill("n1", state=state, **more)
    with pytest.raises(RefusedError, match=says):
        fence(scene, "n1")


def test_refused_where_nothing_is_known(scene: Scene) -> None:
    scene.delete(KEYS.node("n1"))
    with pytest.raises(RefusedError, match="nothing is known of a session of n1"):
        fence(scene, "n1")


def test_refused_without_a_device() -> None:
    scene = Scene()
    scene.join("n1", "n2")
    with pytest.raises(RefusedError, match="no fence device can switch n1: give it `fencing`"):
        fence(scene, "n1")


def test_refused_where_a_watchdog_is_all_there_is() -> None:
    scene = Scene(cluster=fenced(levels="[{watchdog: true}]"))
    scene.join("n1", "n2")
    with pytest.raises(RefusedError, match="no fence device can switch n1"):
        fence(scene, "n1")


def test_refused_where_nobody_could_do_it(scene: Scene) -> None:
    scene.delete(KEYS.node("n2"))
    scene.delete(KEYS.node("n3"))
    with pytest.raises(RefusedError, match="no other node is alive that could fence n1"):
        fence(scene, "n1")
    assert "n1" in scene.view.sessions


def test_a_node_that_is_not_there(scene: Scene) -> None:
    with pytest.raises(NoSuchError, match="no node `n9`"):
        fence(scene, "n9")


def test_another_history_is_left_alone(scene: Scene) -> None:
    view = scene.view
    identity = view.identity
    assert identity is not None
    scene.put(KEYS.identity, replace(identity.record, generation=2))
    with pytest.raises(RefusedError, match="changed meanwhile"):
        fencing.fence(scene.store, view, scene.spec, "n1", "off", "anna@n3")
    assert "n1" in scene.view.sessions


def test_a_test_is_requested_for(scene: Scene) -> None:
    request, nodes, limit_ms = fencing.fence_test(scene.store, scene.view, scene.spec, "anna@n3")
    stored = scene.view.fence_test
    assert stored is not None and stored.record == request and request.by == "anna@n3"
    assert nodes == ["n1", "n2", "n3"]
    assert limit_ms == 4 * 4000  # to see whether it is there, then its three plugs
    again, _, _ = fencing.fence_test(scene.store, scene.view, scene.spec, "anna@n3")
    assert again.id != request.id


def test_a_test_is_refused_where_there_is_nothing_to_test() -> None:
    scene = Scene()
    scene.join("n1")
    with pytest.raises(RefusedError, match="no node has `fencing`"):
        fencing.fence_test(scene.store, scene.view, scene.spec, "anna@n3")


def test_a_test_is_refused_where_nobody_lives(scene: Scene) -> None:
    scene.txn(*(Delete(KEYS.node(name)) for name in ("n1", "n2", "n3")))
    with pytest.raises(RefusedError, match="no node is alive"):
        fencing.fence_test(scene.store, scene.view, scene.spec, "anna@n3")
