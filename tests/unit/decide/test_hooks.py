"""Which events a hook gets, and from which node."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hactl.decide.hooks import concerns, events_of, sends
from hactl.decide.state import NodeState
from hactl.model.hooks import HookSpec, Sender
from hactl.model.notes import KINDS
from tests.support.scene import KEYS, Scene, at
from tests.support.stand_in import node_state


@pytest.fixture
def scene() -> Scene:
    """vip on n1; n2 and n3 live."""
    scene = Scene()
    scene.join("n1", "n2", "n3")
    scene.own("vip", "n1")
    return scene


def hook(*on: str, **more: Any) -> HookSpec:
    return HookSpec("h", on, ("true",), **more)


@pytest.mark.parametrize(
    ("on", "event", "data", "gets"),
    [
        (("failover",), "failover", {}, True),
        (("failover",), "group_running", {}, False),
        (("fence_*",), "fence_safe", {}, True),
        (("fence_*",), "deposed", {}, False),
        (("severity>=warning",), "deposed", {}, True),
        (("severity >= warning",), "fence_failed", {}, True),
        (("severity>=error",), "deposed", {}, False),
        (("severity>=info",), "failover", {}, True),
        (("severity>=warning",), "fence_acted", {"ok": True}, False),
        (("severity>=warning",), "fence_acted", {"ok": False}, True),
        (("failover", "severity>=warning"), "deposed", {}, True),
    ],
)
def test_what_it_asks_for(on: tuple[str, ...], event: str, data: dict[str, Any], gets: bool) -> None:
    assert concerns(hook(*on), event, data) == gets
    assert event in events_of(hook(*on)) or not gets


def test_only_events_about_its_groups() -> None:
    asked = hook("*", groups=("db",))
    assert concerns(asked, "group_running", {"group": "db"})
    assert not concerns(asked, "group_running", {"group": "vip"})
    assert not concerns(asked, "peer_over", {"node": "n1"})


def test_no_hook_is_told_of_itself() -> None:
    asked = hook("*")
    assert not concerns(asked, "hook_failed", {"hook": "h"})
    assert not concerns(asked, "trouble", {"source": "hook h"})
    assert concerns(asked, "hook_failed", {"hook": "other"})
    assert concerns(asked, "trouble", {"source": "hook other"})


def states(scene: Scene, *silent: str) -> dict[str, NodeState]:
    """Each node's knowledge, a moment after it has heard all others but the silent ones."""
    known = {}
    before = scene.view.sessions
    for peer, session in before.items():
        scene.put(KEYS.node(peer), replace(session.record, attempt=session.record.attempt + 1))
    for name in ("n1", "n2", "n3"):
        state = known[name] = node_state(scene.spec, name)
        state.view.load(scene.store.snapshot(KEYS.prefix, timeout_s=5))
        state.observer.on_own_renewal(at(800), at(800), 0)
        for peer in state.view.sessions:
            state.observer.on_session(peer, before[peer], at(900))
            if peer not in silent:
                state.observer.on_session(peer, state.view.sessions[peer], at(1000))
    return known


def senders(scene: Scene, sender: Sender, event: str, data: dict[str, Any], *silent: str) -> list[str]:
    """The nodes that send an event which all of them note."""
    asked = hook("*", sender=sender)
    return [name for name, state in states(scene, *silent).items() if sends(asked, event, data, state, at(1100))]


def test_of_what_all_note_one_sends(scene: Scene) -> None:
    data = {"revision": 5}
    assert senders(scene, "one", "config_in_use", data) == ["n1"]
    assert senders(scene, "all", "config_in_use", data) == ["n1", "n2", "n3"]


def test_the_node_that_is_silent_or_that_it_is_about_does_not_send(scene: Scene) -> None:
    assert [n for n in senders(scene, "one", "config_in_use", {}, "n1") if n != "n1"] == ["n2"]
    assert [n for n in senders(scene, "one", "peer_over", {"node": "n1"}) if n != "n1"] == ["n2"]


def test_what_one_node_notes_that_node_sends(scene: Scene) -> None:
    assert senders(scene, "one", "resource_failed", {"group": "vip"}) == ["n1", "n2", "n3"]


def test_of_a_groups_events_only_those_of_its_owner(scene: Scene) -> None:
    assert senders(scene, "owner", "node_not_ready", {"group": "vip"}) == ["n1"]
    assert senders(scene, "owner", "node_not_ready", {"group": "unknown"}) == ["n1", "n2", "n3"]  # nobody knows
    assert senders(scene, "owner", "config_in_use", {}) == ["n1"]


def test_without_any_knowledge_it_sends() -> None:
    assert sends(hook("*"), "peer_over", {"node": "n1"}, None, at(0))
    assert sends(hook("*"), "peer_over", {"node": "n1"}, node_state(None, "n2"), at(0))


def test_what_every_node_notes_is_marked() -> None:
    marked = {name for name, kind in KINDS.items() if kind.everywhere}
    assert "peer_over" in marked and "peer_deposed" not in marked and "group_running" not in marked
