"""What is wrong with resources, as the status document and its warnings say it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from election.records import Member, ResourceWarning
from hactl.status import document as status
from tests.support.scene import KEYS, Scene

MAC = "02:aa:aa:aa:aa:01"
CONFLICT = ResourceWarning("vip", "address", "conflict", f"address conflict: 10.0.0.30 is also at {MAC}", MAC)


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.join("n1", "n2", "n3")
    scene.own("vip", "n1")
    scene.own("database", "n2")
    return scene


def say(scene: Scene, node: str, *warnings: ResourceWarning) -> None:
    """The node reports them."""
    report = scene.view.reports[node].record
    scene.put(KEYS.report(node), replace(report, warnings=warnings))


def told(scene: Scene) -> list[tuple[str, str, str]]:
    document = status.status(scene.view, scene.spec, "n2", health=scene.health)
    assert json.loads(json.dumps(document)) == document
    return [(warning["level"], warning["what"], warning["do"]) for warning in document["warnings"]]


def test_a_station_that_is_no_node(scene: Scene) -> None:
    say(scene, "n1", CONFLICT)
    [(level, text, todo)] = told(scene)
    assert level == "warning"
    assert text == f"vip/address on n1: {CONFLICT.text}, which is no node of this cluster"
    assert "defends it" in todo


def test_a_node_is_named_and_what_to_type_there(scene: Scene) -> None:
    scene.put(KEYS.member("n3"), Member("n3", "10.0.0.13", "0.1.0", 1, extra={"macs": {MAC: "bond0"}}))
    say(scene, "n1", CONFLICT)
    [(_, text, todo)] = [warning for warning in told(scene) if "conflict" in warning[1]]
    assert text.endswith("is also at 02:aa:aa:aa:aa:01, which is bond0 of n3")
    assert todo == "on n3: `ip addr del 10.0.0.30/24 dev bond0`"
    scene.kill("n3")
    [(_, _, todo)] = [warning for warning in told(scene) if "conflict" in warning[1]]
    assert todo == "n3 was lost and still answers for the address: make sure that it is off"


def test_what_an_earlier_session_said_does_not_count(scene: Scene) -> None:
    before = replace(scene.view.reports["n3"].record, session_id="s-before", warnings=(CONFLICT,))
    scene.put(KEYS.report("n3"), before)
    assert told(scene) == []
    say(scene, "n1", CONFLICT)
    scene.kill("n1")
    assert not any("conflict" in text for _, text, _ in told(scene))


@pytest.mark.parametrize(
    ("topic", "resource", "level", "text", "todo"),
    [
        ("put_right", "address", "warning", "vip/address on n1: TEXT", "NetworkManager"),
        ("stray", "address", "warning", "vip/address on n1: TEXT", "find what starts it on n1"),
        ("stuck", "", "error", "group vip also runs on n1, which does not own it, and cannot be stopped there: TEXT",
         "stop it by hand on n1"),
        ("of a later version", "address", "warning", "vip/address on n1: TEXT", "the log of n1"),
    ],
)  # fmt: skip
def test_each_topic(scene: Scene, topic: str, resource: str, level: str, text: str, todo: str) -> None:
    say(scene, "n1", ResourceWarning("vip", resource, topic, "TEXT"))
    [warning] = told(scene)
    assert warning[:2] == (level, text) and todo in warning[2]


def test_a_process_that_hactl_did_not_start(scene: Scene) -> None:
    say(scene, "n1", ResourceWarning("database", "mariadb", "twin", "process 17 runs its command here"))
    [(level, text, todo)] = told(scene)
    assert (level, text) == ("error", "database/mariadb on n1: process 17 runs its command here")
    assert todo.startswith("on n1: end it, and what starts it")


def test_what_else_starts_a_unit_with_the_command(scene: Scene) -> None:
    text = "db.service is enabled, and systemd starts it at boot: `systemctl disable db.service`"
    say(scene, "n1", ResourceWarning("database", "mariadb", "also_started", text))
    assert told(scene) == [
        (
            "warning",
            "database/mariadb on n1: db.service is enabled, and systemd starts it at boot",
            "on n1: `systemctl disable db.service`",
        )
    ]
