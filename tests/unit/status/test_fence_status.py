"""What the status document says of fencing: what is waited for, and who could fence whom."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from election.records import DeviceReport
from hactl.status import document as status
from tests.support.scene import KEYS, Scene, fenced

TOWER = "{name: switch, agent: /opt/fence_tower, options: {ip: 10.0.1.1}}"


@pytest.fixture
def scene() -> Scene:
    """vip on n2, database (`fencing: required`) on n1; n3 live; a switch for all of them."""
    scene = Scene(cluster=fenced(TOWER))
    scene.join("n1", "n2", "n3")
    scene.own("vip", "n2")
    scene.own("database", "n1")
    for name in ("n1", "n2", "n3"):
        report(scene, name)
    return scene


def report(scene: Scene, by: str, *broken: str) -> None:
    """What `by` found of the switch: well, but for the nodes in `broken`."""
    targets = tuple(
        {"node": name, "device": "switch", "plug": name, "ok": name not in broken, "power": "on", "detail": "no route"}
        for name in ("n1", "n2", "n3")
    )
    scene.put(KEYS.devices(by), DeviceReport("", "2026-01-31T12:00:00Z", 1, targets))


def document(scene: Scene) -> dict[str, Any]:
    return status.status(scene.view, scene.spec, "n2", health=scene.health)


def fence(scene: Scene, node: str = "n1") -> dict[str, Any]:
    return next(entry for entry in document(scene)["fences"] if entry["node"] == node)


def told(scene: Scene) -> list[tuple[str, str]]:
    return [(warning["level"], warning["what"]) for warning in document(scene)["warnings"]]


def killed(scene: Scene, **more: Any) -> None:
    scene.kill("n1", **more)


@pytest.mark.parametrize(
    ("more", "waiting", "fencing"),
    [
        ({}, "a node to fence it", True),
        ({"executor": "n3/s-n3"}, "n3 to fence it", True),
        ({"executor": "n3/s-n3", "failures": 2}, "n3 to fence it, after 2 failed rounds", True),
        (
            {"executor": "n3/s-n3", "state": "acting", "action_ms": 10500},
            "the fence device that n3 uses, for 10.5 s at most",
            True,
        ),
        ({"state": "safe", "evidence": "off"}, "", False),
        ({"state": "safe", "evidence": "off", "power": "off", "executor": "n3/s"}, "n3 to switch it on again", False),
        ({"state": "safe", "evidence": "off", "power": "off"}, "a node to switch it on again", False),
        ({"generation": 2}, "hactl to start on it, or `hactl fence confirm n1`", False),
        ({"generation": 2, "wanted": "off"}, "a node to fence it", True),
    ],
)
def test_what_a_dead_session_waits_for(scene: Scene, more: dict[str, Any], waiting: str, fencing: bool) -> None:
    killed(scene, **more)
    entry = fence(scene)
    assert (entry["waiting"], entry["fencing"]) == (waiting, fencing)


def test_a_node_without_a_group_that_requires_it_is_not_fenced(scene: Scene) -> None:
    scene.kill("n2")
    assert fence(scene, "n2")["waiting"] == "hactl to start on it, or `hactl fence confirm n2`; no group waits for it"
    assert not fence(scene, "n2")["fencing"]
    record = scene.view.fences["n2"].record
    scene.put(KEYS.fence("n2"), replace(record, wanted="off"))
    assert fence(scene, "n2")["fencing"]


def test_after_a_recovery_nobody_says_that_no_group_waits(scene: Scene) -> None:
    killed(scene, generation=2)
    scene.put(KEYS.fence("n1"), replace(scene.view.fences["n1"].record, session_id=""))
    assert fence(scene)["waiting"] == "hactl to start on it, or `hactl fence confirm n1`"


def test_without_a_device_nobody_fences() -> None:
    scene = Scene()
    scene.join("n1", "n2")
    scene.own("database", "n1")
    killed(scene)
    assert fence(scene)["waiting"] == "hactl to start on it, or `hactl fence confirm n1`"
    assert document(scene)["nodes"][0]["fencing"] is None and document(scene)["devices"] == []


def test_nobody_is_sent_to_do_what_a_device_does(scene: Scene) -> None:
    killed(scene, executor="n3/s-n3")
    assert not [warning for warning in document(scene)["warnings"] if "confirm" in warning["do"]]


def test_once_a_round_has_failed_the_way_out_is_told(scene: Scene) -> None:
    killed(scene, executor="n3/s-n3", failures=1, last="no route to the switch")
    warnings = told(scene)
    assert (
        "error",
        "group database does not run: n1 is being fenced; waiting for n3 to fence it, after 1 failed rounds",
    ) in warnings
    assert (
        "error",
        "node n1 is being fenced; waiting for n3 to fence it, after 1 failed rounds; so far: no route to the switch",
    ) in warnings
    todo = [entry["do"] for entry in document(scene)["warnings"] if "is being fenced" in entry["what"]]
    assert len(todo) == 2 and all("say so: `hactl fence confirm n1`" in text for text in todo)
    database = next(entry for entry in document(scene)["groups"] if entry["name"] == "database")
    assert database["waiting"] == "waiting for n1 to be fenced"


def test_a_node_that_is_to_be_switched_on_again(scene: Scene) -> None:
    killed(scene, state="safe", evidence="off", power="off", executor="n3/s-n3")
    assert ("notice", "node n1 was switched off; waiting for n3 to switch it on again") in told(scene)


def how(scene: Scene, node: str = "n1") -> dict[str, Any]:
    return next(entry["fencing"] for entry in document(scene)["nodes"] if entry["name"] == node)


def test_the_nodes_that_could_fence_a_node(scene: Scene) -> None:
    assert told(scene) == []
    assert how(scene) == {
        "action": "reboot", "levels": ["switch n1"], "device": True, "by": ["n2", "n3"], "untested": [],
    }  # fmt: skip
    report(scene, "n3", "n1")
    assert how(scene)["by"] == ["n2"]
    assert told(scene) == [("warning", "fence device switch fails for n1 when asked by n3: no route")]


def test_a_device_that_fails_everywhere_is_one_warning(scene: Scene) -> None:
    for name in ("n1", "n2"):
        report(scene, name, "n1", "n3")
    texts = [text for _, text in told(scene) if text.startswith("fence device")]
    assert texts == ["fence device switch fails for n1, n3 when asked by n1, n2: no route"]


def test_what_a_node_says_of_itself_does_not_count(scene: Scene) -> None:
    report(scene, "n2", "n1")
    report(scene, "n3", "n1")
    assert how(scene)["by"] == []
    assert told(scene)[0] == ("error", "node n1 could not be fenced now: no live node reaches its devices")


def test_a_node_that_has_not_tested_yet_is_not_called_unable(scene: Scene) -> None:
    report(scene, "n2", "n1")
    scene.delete(KEYS.devices("n3"))
    assert (how(scene)["by"], how(scene)["untested"]) == ([], ["n3"])
    assert not any("by nobody" in text for _, text in told(scene))


def test_a_dead_node_fences_nobody(scene: Scene) -> None:
    scene.kill("n3", state="safe", evidence="reboot")
    assert how(scene)["by"] == ["n2"]
    assert [entry["node"] for entry in document(scene)["devices"]] == ["n1", "n2"]


def test_one_of_several_levels_is_enough_and_all_of_a_level_are_needed() -> None:
    levels = "[{devices: [{device: a, plug: %s}, {device: b, plug: %s}]}, {devices: [{device: c, plug: %s}]}]"
    devices = [f"{{name: {name}, agent: /opt/fence_tower, options: {{ip: {name}}}}}" for name in "abc"]
    scene = Scene(cluster=fenced(*devices, levels=levels))
    scene.join("n1", "n2")

    def able(**well: bool) -> list[str]:
        targets = tuple({"node": "n1", "device": name, "plug": "n1", "ok": ok} for name, ok in well.items())
        scene.put(KEYS.devices("n2"), DeviceReport("", "", 1, targets))
        by: list[str] = how(scene)["by"]
        return by

    assert able(a=True, b=True, c=False) == ["n2"]
    assert able(a=False, b=False, c=True) == ["n2"]
    assert able(a=True, b=False, c=False) == []
    assert how(scene)["levels"] == ["a n1 + b n1", "c n1"]


def test_the_mark_changes_with_a_report(scene: Scene) -> None:
    before = scene.view.mark()
    report(scene, "n3", "n1")
    assert scene.view.mark() != before


def states(scene: Scene) -> dict[str, str]:
    return {entry["name"]: entry["state"] for entry in document(scene)["nodes"]}


def test_a_node_that_was_emptied_and_switched_off_is_not_pending(scene: Scene) -> None:
    """Nobody waits for it; what it was never asked to release it did not have."""
    scene.own("database", "n2")
    scene.own("vip", "n2")
    scene.put(KEYS.standby("n1"), "anna")
    killed(scene)
    assert states(scene)["n1"] == "dead"
    assert ("notice", "node n1 is in standby, and off") in told(scene)


def test_a_node_that_has_something_others_wait_for_is_pending(scene: Scene) -> None:
    killed(scene)
    assert states(scene)["n1"] == "fence_pending"


def test_of_a_node_that_was_taken_out_nothing_is_left_to_be_said(scene: Scene) -> None:
    scene.join("n4")
    assert "n4" in states(scene)
    scene.kill("n4")
    assert "n4" not in states(scene)
    scene.join("n4")
    scene.own("database", "n4")
    scene.kill("n4")
    assert states(scene)["n4"] == "fence_pending"
