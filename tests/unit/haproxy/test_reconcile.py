"""What differs between a running HAProxy's servers and its file; what is kept of them over a reload."""

from __future__ import annotations

import pytest

from hactl.haproxy.diff.reconcile import Repair, carried_health, differences, parse_live
from hactl.haproxy.settings import HaproxyError

TEXT = """\
defaults
    default-server inter 1s weight 100
listen web
    default-server check
    server a 10.0.0.1:80
    server b 10.0.0.2:80 weight 0
    server c [fd00::3]:80 disabled
backend db
    default-server on-marked-down shutdown-sessions
    server a 10.0.0.1:3306 disabled
    server b b.example.org:3306
"""
HEAD = "1\n# be_id be_name srv_id srv_name srv_addr …\n"


def row(proxy: str, server: str, address: str, port: int, **given: int) -> str:
    of = {"state": 2, "admin": 0, "weight": 100, "checks": 6 if proxy == "web" else 0, **given}
    state = f"{of['state']} {of['admin']} {of['weight']} 1 77 6 3 4 {of['checks']}"
    return f"2 {proxy} 1 {server} {address} {state} 0 0 0 - {port} - 0 0 - - 0\n"


A, B = row("web", "a", "10.0.0.1", 80), row("web", "b", "10.0.0.2", 80, weight=0)
C, DA = row("web", "c", "fd00:0::3", 80, admin=5), row("db", "a", "10.0.0.1", 3306, admin=5)
DB = row("db", "b", "10.9.9.9", 3306)
WELL = HEAD + A + B + C + DA + DB + "\n"


def repair(text: str) -> Repair:
    return differences(TEXT, parse_live(text))


def test_nothing_differs() -> None:
    assert repair(WELL) == Repair()


@pytest.mark.parametrize(
    ("old", "new", "commands", "note"),
    [
        (A, row("web", "a", "10.0.0.1", 80, weight=7), ["set server web/a weight 100"], "web/a weighed 7, not 100"),
        (A, row("web", "a", "10.0.0.1", 80, admin=1), ["set server web/a state ready"], "web/a was out of use"),
        (A, row("web", "a", "10.0.0.1", 80, admin=8), ["set server web/a state ready"], "web/a was drained"),
        (A, row("web", "a", "10.0.0.1", 80, checks=2), ["enable health web/a"], "web/a was not checked"),
        (
            A,
            row("web", "a", "10.0.0.9", 81),
            ["set server web/a addr 10.0.0.1 port 80"],
            "web/a was at 10.0.0.9:81, not 10.0.0.1:80",
        ),
        (C, row("web", "c", "fd00::3", 80, admin=4), ["set server web/c state maint"], "web/c was in use"),
        (
            DA,
            row("db", "a", "10.0.0.1", 3306),
            ["set server db/a state maint", "shutdown sessions server db/a"],
            "db/a was in use",
        ),
        (
            DB,
            DB + row("db", "x", "10.0.0.1", 3306),
            ["set server db/x state maint", "del server db/x"],
            "db/x is not in the file",
        ),
    ],
)
def test_what_was_changed_by_hand(old: str, new: str, commands: list[str], note: str) -> None:
    repaired = repair(WELL.replace(old, new))
    assert [command.text for command in repaired.commands] == commands
    assert (repaired.notes, repaired.reload) == ((note,), ())


def test_a_server_that_waits_for_its_last_session_is_nobodys_hand() -> None:
    repaired = repair(WELL + row("web", "gone", "10.0.0.9", 80, admin=1))
    assert ([command.text for command in repaired.commands], repaired.notes) == (["del server web/gone"], ())


def test_what_is_missing_takes_a_reload() -> None:
    assert repair(WELL.replace(B, "")).reload == ("web/b is missing",)


def test_out_of_use_comes_before_in_use() -> None:
    repaired = repair(
        WELL.replace(A, row("web", "a", "10.0.0.1", 80, admin=1)).replace(C, C.replace(" 5 100", " 0 100"))
    )
    assert [command.verb for command in repaired.commands] == ["maint", "ready"]


def test_what_an_agent_says_holds() -> None:
    text = TEXT.replace("default-server check", "default-server check agent-check agent-port 1")
    live = WELL.replace(A, row("web", "a", "10.0.0.1", 80, weight=7, admin=1))
    assert differences(text, parse_live(live)) == Repair()


def test_templates_make_servers_that_no_line_has() -> None:
    text = TEXT.replace("backend db\n", "backend db\n    server-template x 1-3 db.example.org:3306\n")
    assert differences(text, parse_live(WELL + row("db", "x1", "10.0.0.9", 3306))) == Repair()


def test_only_the_health_of_servers_in_use_is_carried_over() -> None:
    down = row("web", "a", "10.0.0.1", 80, state=0, weight=7)
    carried = carried_health(TEXT, parse_live(WELL.replace(A, down))).splitlines()
    assert carried == [
        "1",
        # As the file has it: not the weight that was set by command.
        "1 web 1 a - 0 0 100 100 77 6 3 4 6 0 0 0 - 80 -",
        "1 web 1 b - 2 0 0 0 77 6 3 4 6 0 0 0 - 80 -",
    ]


@pytest.mark.parametrize(
    "unlike",
    [
        row("web", "a", "10.0.0.1", 80, admin=1),
        row("web", "a", "10.0.0.1", 80, checks=2),
        row("web", "a", "10.0.0.9", 80),
        row("web", "a", "10.0.0.1", 81),
    ],
)
def test_nothing_unknown_is_carried_over(unlike: str) -> None:
    assert " a " not in carried_health(TEXT, parse_live(WELL.replace(A, unlike)))


@pytest.mark.parametrize("text", ["", "Unknown command", "1\n2 web 1 a\n", "2\n"])
def test_an_answer_that_is_none(text: str) -> None:
    with pytest.raises(HaproxyError, match="not understood"):
        parse_live(text)
