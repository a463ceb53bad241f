"""Tables, wrapping, durations; the screen of `hactl status`."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from election.etcd.facts import EndpointFacts, EtcdMember
from election.view import View
from hactl.admin.event_log import Entry, timelines
from hactl.cli.common import say, tell
from hactl.cli.fence import _in_story
from hactl.cli.output import Style, duration, shorten, shown, table, wrap
from hactl.cli.status import show_event
from hactl.cli.status_view import render
from hactl.status import document
from hactl.status.etcd.judge import EtcdState
from hactl.status.health import ServerHealth
from hactl.status.local import Local
from tests.support.scene import KEYS, Scene

SCREEN = """\
ERROR    group database does not run: waiting for n1: a reboot, a self-stop, or 'hactl fence confirm'
         -> make sure n1 is off, then `hactl fence confirm n1`
WARNING  node n1 was lost and is not known to be stopped
         -> start it again; if it is gone for good, make sure it is off, then `hactl fence confirm n1`
WARNING  service api has one server left, n2
         -> bring the others back before anything else
WARNING  server n3 of api is down: L4CON Connection refused
         -> look at it: 10.0.0.13:5000

cluster demo   generation 1   configuration 1 (revision 2)   asked n2, its lease ends in 3.0 s
watchdog of n2 armed: 3 s, fed 200 ms ago

NODE  STATE          ADDRESS    VERSION  SEEN        RUNS
n1    fence pending  10.0.0.11  0.1.0                database
n2    online         10.0.0.12  0.1.0    here        vip
n3    online         10.0.0.13  0.1.0    200 ms ago

GROUP     STATE    OWNER  EPOCH  VIPS          RESOURCES
vip       running  n2     0.9    10.0.0.30/24  address
database  lost     n1     0.7    10.0.0.31/24  waiting for n1: a reboot, a self-stop, or 'hactl fence confirm'

SERVICE  SERVERS    BINDS           ON
api      1 of 3 up  10.0.0.30:5000  n1: down (L4TOUT), node is not live; n2; n3: down (L4CON Connection refused)

LAST DEAD SESSION OF  STATE    LEASE          HOW
n1                    pending  over in 1.5 s  deposed by n2"""


@pytest.fixture
def lost() -> Scene:
    scene = Scene()
    scene.join("n1", "n2", "n3")
    scene.own("vip", "n2", epoch=9)
    scene.own("database", "n1")
    scene.kill("n1")
    return scene


def screen(scene: Scene, style: Style) -> str:
    for name in ("n2", "n3"):
        down = ServerHealth("DOWN", check="L4TOUT")
        scene.balance(name, {"n1": down, "n3": ServerHealth("DOWN", check="L4CON", detail="Connection refused")})
    local = Local(
        "live",
        3000,
        True,
        silent_ms={"n3": 200},
        fence_left_ms={"n1": 1500},
        haproxy={"error": ""},
        watchdog={"use": "use", "armed": True, "problem": "", "timeout_s": 3, "last_fed_s": 0.2},
    )
    return render(document.status(scene.view, scene.spec, "n2", local=local, health=scene.health), style)


def test_the_screen(lost: Scene) -> None:
    assert screen(lost, Style()) == SCREEN


def test_no_line_is_wider_than_the_terminal(lost: Scene) -> None:
    for width in (64, 80, 100):
        lines = screen(lost, Style(width=width)).splitlines()
        assert max(len(line) for line in lines) <= width
    assert "does not run" in screen(lost, Style(width=64))


def test_colours_do_not_move_columns(lost: Scene) -> None:
    plain, painted = screen(lost, Style(False, 200)), shown(screen(lost, Style(True, 200)))
    assert "\033[31mERROR" in painted
    for code in ("0", "1", "2", "31", "32", "33"):
        painted = painted.replace(f"\033[{code}m", "")
    assert [line.rstrip() for line in painted.splitlines()] == plain.splitlines()


def test_a_cluster_that_is_well() -> None:
    scene = Scene()
    scene.join("n1", "n2", "n3")
    scene.own("vip", "n2")
    scene.own("database", "n1")
    said = render(document.status(scene.view, scene.spec, "", health=scene.health), Style())
    assert said.startswith("ok       nothing is wrong\n\ncluster demo")
    assert "read from etcd" in said and "LAST DEAD SESSION" not in said
    assert KEYS.prefix not in said


def test_etcd_in_one_line() -> None:
    members = tuple(EtcdMember(number, f"n{number}") for number in (1, 2, 3))
    facts = [
        EndpointFacts(f"10.0.0.{number}:2379", "", 9, number, 2, "3.4.23", number << 20, 4 << 30, members=members)
        for number in (1, 2)
    ]
    away = EndpointFacts("10.0.0.3:2379", "no answer")

    def line(*facts: EndpointFacts) -> str:
        etcd = {**EtcdState(facts).document(), "etcdctl": "etcdctl"}
        said = render(document.status(Scene().view, None, "", etcd=etcd), Style())
        return next((line for line in said.splitlines() if line.startswith("etcd ")), "")

    assert line(*facts, away) == "etcd 2 of 3 members   n2 leads   version 3.4.23   database 2.0 MiB of 4096 MiB"
    assert "the leader is not among them" in line(facts[0], away)
    assert line(away) == "" and line() == ""


def test_where_nothing_is_known_that_is_said_and_no_age_of_it() -> None:
    away = Local("listing", 0, False, store_away=True)
    assert "nothing is known of the cluster" in render(
        document.status(View(KEYS), None, "n2", local=away, stale_ms=5000), Style()
    )
    scene = Scene()
    scene.join("n1")
    said = render(document.status(scene.view, scene.spec, "n2", local=away, stale_ms=5000), Style())
    assert "what follows is as of 5.0 s ago" in said and "nothing is known" not in said


def test_no_colour_but_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert Style.of(io.StringIO()) == Style()
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    assert Style.of(Terminal()) == Style(True, 100)
    monkeypatch.setenv("NO_COLOR", "1")
    assert Style.of(Terminal()) == Style(False, 100)


HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\x00\r\n2026-11-29T00:00:00Z  n1  all is well\u202e\u2028\udcdf\u200b"


@given(st.text())
def test_a_terminal_is_told_nothing_but_by_us(text: str) -> None:
    for colour in (False, True):
        style = Style(colour, 80)
        entry = {"at": text, "node": text, "event": text, "data": {"reason": text, text: text, "other": [text]}}
        line = shown(show_event(entry, style))
        lines = shown("\n".join(table(("A", "B"), [(text, "x"), ("y", text)], style, painted=(0,))))
        for code in ("0", "1", "2", "31", "32", "33"):
            line, lines = (printed.replace(f"\033[{code}m", "") if colour else printed for printed in (line, lines))
        assert not CONTROL.search(line + lines.replace("\n", ""))
        assert "\n" not in line and lines.count("\n") == 2
        line.encode(), lines.encode()


CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


TAKEOVER = {
    "group": "vip", "reason": "planned", "from": "", "to": "n2", "marks": {"acquired": 0}, "phases": {"total": 7.5},
}  # fmt: skip


def test_a_takeover_is_a_line_also_where_another_version_tells_it_in_another_way() -> None:
    entry = {"at": "2026", "node": "n2", "event": "failover", "data": TAKEOVER}
    assert show_event(entry, Style()) == "2026  n2        failover  vip: nobody -> n2, planned, 8 ms"
    later = [{**TAKEOVER, name: wrong} for name in TAKEOVER for wrong in (None, [], {"total": "7"}, 3)]
    for data in ({}, *later, *({key: TAKEOVER[key] for key in TAKEOVER if key != name} for name in TAKEOVER)):
        assert show_event({**entry, "data": data}, Style()).startswith("2026  n2        failover")
        assert timelines([Entry("1", "2026", "n2", "failover", data)], "", 9) == []
    assert timelines([Entry("1", "2026", "n2", "failover", {**TAKEOVER, "at": [], "more": 1})], "vip", 9) == [
        {**TAKEOVER, "at": "2026", "more": 1}
    ]


def test_the_story_of_a_node_has_what_names_it_in_any_way() -> None:
    entry = {"at": "2026", "node": "n2", "event": "fence_asked", "data": {"on": "n1", "node": [], "target": {}}}
    assert _in_story(entry, "n1") and not _in_story(entry, "n2") and _in_story(entry, "")
    assert _in_story({**entry, "data": {}}, "n2")


def test_the_whole_screen_with_hostile_words(lost: Scene) -> None:
    status = document.status(lost.view, lost.spec, "n2", health=lost.health)

    def poisoned(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: poisoned(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [poisoned(inner) for inner in value]
        return value + HOSTILE if isinstance(value, str) else value

    said = shown(render(poisoned(status), Style(False, 200)))
    assert not CONTROL.search(said.replace("\n", "")) and "\\x1b]0;owned" in said


def test_what_is_said_and_told_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"one{HOSTILE}")
    tell(f"error: {HOSTILE}")
    out, err = capsys.readouterr()
    for said in (out, err):
        assert not CONTROL.search(said.replace("\n", "")) and "\\x1b[2J" in said and said.count("\n") == 2


def test_table() -> None:
    assert table(("A", "LONG"), [("1", "x"), ("333", "a very long cell")], Style(width=14)) == [
        "A    LONG",
        "1    x",
        "333  a very l…",
    ]
    assert table(("A",), [], Style()) == []


def test_wrap() -> None:
    assert wrap("one two three", 9, "  ") == ["one two", "  three"]
    assert wrap("averyverylongword x", 5, "") == ["averyverylongword", "x"]
    assert wrap("", 5, "") == [""]
    assert shorten("abcdef", 4) == "abc…"


@pytest.mark.parametrize(
    ("ms", "text"),
    [(None, ""), (0, "0 ms"), (999, "999 ms"), (1000, "1.0 s"), (119_000, "119.0 s"), (180_000, "3 min"),
     (7_200_000, "2 h"), (172_800_000, "2 d")],
)  # fmt: skip
def test_duration(ms: float | None, text: str) -> None:
    assert duration(ms) == text
