"""The conditions of `hactl wait`, and the line of `hactl status --check`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from election.records import Ban, Failure, Maintenance, Move
from hactl.status import check
from hactl.status import document as status
from hactl.status.conditions import missing, parse, unknown_name, unplaced
from tests.support.scene import KEYS, Scene


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.join("n1", "n2", "n3")
    scene.own("vip", "n1")
    scene.own("database", "n2")
    return scene


def document(scene: Scene, **more: Any) -> dict[str, Any]:
    return status.status(scene.view, scene.spec, "n2", health=scene.health, **more)


Change = Callable[[Scene], object]


@pytest.mark.parametrize(
    ("text", "change", "words"),
    [
        ("settled", lambda scene: scene.own("vip", "n1", phase="starting"), "vip is starting on n1"),
        ("settled", lambda scene: scene.put(KEYS.standby("n1"), "anna"), "vip is on n1, and belongs on n"),
        ("settled", lambda scene: scene.put(KEYS.move("vip"), Move("i", "n3", "n1", 5)), "vip is to move from n1"),
        ("settled", lambda scene: scene.kill("n2"), "n2 is not known to be stopped"),
        ("settled", lambda scene: scene.put(KEYS.config, "{}"), "does not use the newest configuration"),
        ("settled", lambda scene: scene.own("vip", "n3", holders=(scene.holder("n1"),)), "n1 still has vip"),
        ("vip=running", lambda scene: scene.own("vip", "n1", phase="stopping"), "vip is stopping on n1"),
        ("vip=running", lambda scene: scene.own("vip", "n3", holders=(scene.holder("n1"),)), "n1 still has vip"),
        ("vip@n1", lambda scene: scene.own("vip", "n3"), "vip runs on n3"),
        ("vip@n1", lambda scene: scene.own("vip", "n1", phase="stopped"), "vip is starting on n1"),
        ("n3=online", lambda scene: scene.put(KEYS.standby("n3"), "anna"), "n3 is standby"),
        ("n3=online", lambda scene: scene.kill("n3", state="safe"), "n3 is dead"),
    ],
)
def test_what_holds_and_no_longer_does(scene: Scene, text: str, change: Change, words: str) -> None:
    condition = parse(text)
    assert missing(condition, document(scene)) == ""
    change(scene)
    assert words in missing(condition, document(scene))
    assert missing(condition, document(scene, stale_ms=1000)) == "etcd does not answer"


def test_a_group_is_where_it_belongs_or_nowhere_if_no_node_may_run_it(scene: Scene) -> None:
    assert unplaced(document(scene), "vip") == ""
    scene.put(KEYS.ban("vip", "n1"), Ban("anna"))
    assert unplaced(document(scene), "vip").startswith("vip is on n1, and belongs on n")
    scene.own("vip", "n2", phase="starting")
    assert unplaced(document(scene), "vip") == "vip is starting on n2"
    scene.own("vip", "n2")
    assert unplaced(document(scene), "vip") == ""
    for node in ("n2", "n3"):
        scene.put(KEYS.ban("vip", node), Ban("anna"))
    assert unplaced(document(scene), "vip").startswith("vip is running on n2")
    scene.own("vip", "n2", state="released")
    assert unplaced(document(scene), "vip") == ""
    scene.delete(KEYS.ban("vip", "n3"))
    assert "vip is released" in unplaced(document(scene), "vip")
    assert unplaced(document(scene, stale_ms=1000), "vip") == "etcd does not answer"
    assert unplaced(document(scene), "vpi") == "no group vpi is known"


def test_a_group_that_is_left_alone_is_not_waited_for(scene: Scene) -> None:
    scene.own("vip", "n1", state="unmanaged")
    scene.put(KEYS.maintenance("vip"), Maintenance("anna"))
    for node in ("n1", "n2", "n3"):
        scene.put(KEYS.ban("vip", node), Ban("anna"))
    assert unplaced(document(scene), "vip") == ""


@pytest.mark.parametrize(
    ("text", "words", "change"),
    [
        ("vip=stopped", "vip is running on n1", lambda scene: scene.own("vip", "n1", state="released")),
        ("vip=unmanaged", "vip is running on n1", lambda scene: scene.own("vip", "n1", state="unmanaged")),
        ("n3=dead", "n3 is online", lambda scene: scene.kill("n3", state="safe")),
        ("n3=standby", "n3 is online", lambda scene: scene.put(KEYS.standby("n3"), "anna")),
    ],
)
def test_what_comes_to_hold(scene: Scene, text: str, words: str, change: Change) -> None:
    assert missing(parse(text), document(scene)) == words
    change(scene)
    assert missing(parse(text), document(scene)) == ""


def test_a_node_in_standby_is_not_empty_while_a_group_is_on_it(scene: Scene) -> None:
    scene.put(KEYS.standby("n1"), "anna")
    scene.own("vip", "n1", phase="blocked")
    assert missing(parse("n1=standby"), document(scene)) == "vip is blocked on n1"
    scene.own("vip", "n3", holders=(scene.holder("n1"),))
    assert missing(parse("n1=standby"), document(scene)) == "vip is running on n3"
    scene.own("vip", "n3")
    assert missing(parse("n1=standby"), document(scene)) == ""


@pytest.mark.parametrize("text", ["", "vip", "vip=", "=running", "vip=up", "@n1", "vip@", "vip=Running", "settled "])
def test_what_is_no_condition(text: str) -> None:
    with pytest.raises(ValueError, match="is no condition; there are: settled, GROUP=running"):
        parse(text)


def test_names_that_are_not_there(scene: Scene) -> None:
    shown = document(scene)
    for text, words in (("web=running", "no group `web`; there are: vip, database"), ("n9=online", "no node `n9`")):
        assert words in unknown_name(parse(text), shown)
    assert "no node `n9`" in unknown_name(parse("vip@n9"), shown)
    assert unknown_name(parse("settled"), shown) == unknown_name(parse("vip@n3"), shown) == ""
    scene.delete(KEYS.config)
    assert unknown_name(parse("web=running"), document(scene)) == ""  # none may be known yet


def test_check_in_one_line(scene: Scene) -> None:
    code, line = check.check(document(scene))
    assert (code, line.partition(" | ")[0]) == (check.OK, "HACTL OK - demo: nothing is wrong")
    assert line.partition(" | ")[2] == (
        "nodes_online=3;;;0;3 groups_running=2;;;0;2 groups_unmanaged=0;;;0;2 sessions_unsafe=0;;;0;3 "
        "errors=0;;;0 warnings=0;;;0"
    )
    scene.put(KEYS.failure("vip", "n3"), Failure(3, "address", "a | b\nc"))
    code, line = check.check(document(scene))
    assert code == check.WARNING and "kept off n3: address: a / b c" in line and line.count("|") == 1
    assert "\n" not in line
    scene.own("vip", "n1", phase="failed")
    code, line = check.check(document(scene))
    assert code == check.CRITICAL and line.startswith("HACTL CRITICAL - group vip has failed on n1")
    assert "errors=1;;;0 warnings=1;;;0" in line


def test_check_without_any_knowledge() -> None:
    shown = document(Scene()) | {"stale_ms": 5000, "revision": 0}
    assert check.check(shown)[0] == check.UNKNOWN
