"""The smallest step from one configuration to another: a table of all kinds of change."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hactl.haproxy.diff.step import Step, decide_step, switch_first

HEAD = """\
# Generated, revision 1
global
    maxconn 100

defaults base
    timeout connect 1s
    default-server inter 1s weight 100

"""
WEB = """\
listen web from base
    bind 127.0.0.1:80
    balance roundrobin
    default-server check fall 2
    server a 10.0.0.1:80 weight 100
    server b 10.0.0.2:80 weight 100
"""
DB = """\

backend db from base
    default-server check on-marked-down shutdown-sessions
    server a 10.0.0.1:3306
    server b 10.0.0.2:3306 disabled
"""
A, B = "    server a 10.0.0.1:80 weight 100\n", "    server b 10.0.0.2:80 weight 100\n"
C = "    server c 10.0.0.3:80 weight 100\n"
ALL = HEAD + WEB + DB
NEW = (2, 6)


def step(old: str, new: str, version: tuple[int, int] = NEW) -> Step:
    return decide_step(old, new, version)


def commands(old: str, new: str) -> list[str]:
    change = step(old, new)
    assert change.kind == "runtime", change
    return [command.text for command in change.commands]


@dataclass(frozen=True)
class Change:
    """`old` in the file becomes `new`, by these commands."""

    old: str
    new: str
    by: tuple[str, ...]


BY_COMMANDS = {
    "a weight": Change("0.2:80 weight 100", "0.2:80 weight 1", ("set server web/b weight 1",)),
    "a weight of its own now": Change("3306\n", "3306 weight 7\n", ("set server db/a weight 7",)),
    "the same weight, which was inherited": Change("3306\n", "3306 weight 100\n", ()),
    "out of use": Change(A, A.replace("100", "100 disabled"), ("set server web/a state maint",)),
    "an address": Change("10.0.0.2:80", "10.0.0.9:81", ("set server web/b addr 10.0.0.9 port 81",)),
    "IPv6": Change("10.0.0.2:80", "[fd00::2]:80", ("set server web/b addr fd00::2 port 80",)),
    "all of one server": Change(
        B,
        "    server b 10.0.0.9:80 weight 0 disabled\n",
        ("set server web/b addr 10.0.0.9 port 80", "set server web/b weight 0", "set server web/b state maint"),
    ),
    "a new one, with all that it does not inherit": Change(
        B,
        B + C + "    server d 10.0.0.4:80 disabled\n",
        (
            "add server web/c 10.0.0.3:80 inter 1s weight 100 check fall 2 weight 100",
            "enable health web/c",
            "set server web/c state ready",
            "add server web/d 10.0.0.4:80 inter 1s weight 100 check fall 2",
            "enable health web/d",
        ),
    ),
    "one less": Change(B, "", ("set server web/b state maint", "del server web/b")),
    "one for another: in before out": Change(
        B,
        C,
        (
            "add server web/c 10.0.0.3:80 inter 1s weight 100 check fall 2 weight 100",
            "enable health web/c",
            "set server web/c state ready",
            "set server web/b state maint",
            "del server web/b",
        ),
    ),
    "another order, which does not count": Change(A + B, B + A, ()),
    "the writer: out, and its sessions cut, before in": Change(
        DB,
        DB.replace(" disabled", "").replace("3306\n", "3306 disabled\n", 1),
        ("set server db/a state maint", "shutdown sessions server db/a", "set server db/b state ready"),
    ),
    "no writer": Change(
        "1:3306\n", "1:3306 disabled\n", ("set server db/a state maint", "shutdown sessions server db/a")
    ),
    "a writer where none was": Change("3306 disabled", "3306", ("set server db/b state ready",)),
}


@pytest.mark.parametrize("name", BY_COMMANDS)
def test_by_commands(name: str) -> None:
    change = BY_COMMANDS[name]
    assert change.old in ALL
    chosen = step(ALL, ALL.replace(change.old, change.new))
    assert tuple(command.text for command in chosen.commands) == change.by
    assert chosen.kind == ("runtime" if change.by else "none")
    assert bool(chosen.reason) == bool(change.by)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# Generated, revision 1", "# Generated, revision 2"),
        ("    maxconn 100\n", "\n    # as much as it takes\n  maxconn 100\n"),
        ("server a 10.0.0.1:80 weight", "server  a  10.0.0.1:80  weight"),
    ],
)
def test_comments_and_spaces_are_nothing(old: str, new: str) -> None:
    assert old in ALL
    assert step(ALL, ALL.replace(old, new)).kind == "none"


BY_RELOAD = {
    "a global setting": ("maxconn 100", "maxconn 200", "global: `maxconn 200` is new; global: `maxconn 100` is gone"),
    "a default": ("connect 1s", "connect 2s", "defaults base: `timeout connect 2s` is new"),
    "what all servers have": ("check fall 2", "check fall 3", "listen web: `default-server check fall 3` is new"),
    "a bind": ("bind 127.0.0.1:80", "bind 127.0.0.1:81", "listen web: `bind 127.0.0.1:81` is new"),
    "lines in another order": (
        "    bind 127.0.0.1:80\n    balance roundrobin\n",
        "    balance roundrobin\n    bind 127.0.0.1:80\n",
        "lines in another order",
    ),
    "a section": (DB, "", "backend db from base is gone"),
    "another set of defaults": ("backend db from base", "backend db", "backend db is new"),
    "an option of a server": ("0.2:80 weight 100", "0.2:80 weight 100 maxconn 5", "has become `server b"),
    "an option that is not known": ("0.2:80 weight 100", "0.2:80 weight 100 fancy", "has become `server b"),
    "a name": ("10.0.0.2:80", "b.example.org:80", "the address of b is b.example.org:80 and was 10.0.0.2:80"),
    "no port": ("10.0.0.2:80", "10.0.0.2", "the address of b"),
    "a port relative to the client's": ("10.0.0.2:80", "10.0.0.2:+80", "the address of b"),
    "a weight that cannot be": ("0.2:80 weight 100", "0.2:80 weight 300", "has become"),
    "a new one with a cookie": (B, B + C.replace("\n", " cookie c\n"), "`cookie` cannot be given to one at run time"),
    "a new one with a name": (B, B + "    server c c.example.org:80\n", "no fixed address"),
    "a new one that is not understood": (B, B + C.replace("\n", " fancy\n"), "is not understood"),
    "a new one with a quote": (B, B + C.replace("\n", " sni 'x'\n"), "characters"),
    "two of one name": (B, B + B, "two servers have one name"),
    "conditions": (B, f"    .if defined(X)\n{B}    .endif\n", "the file has conditions"),
}


@pytest.mark.parametrize("name", BY_RELOAD)
def test_by_reload(name: str) -> None:
    old, new, why = BY_RELOAD[name]
    assert old in ALL
    chosen = step(ALL, ALL.replace(old, new))
    assert (chosen.kind, chosen.commands) == ("reload", ())
    assert why in "; ".join(chosen.reasons)


@pytest.mark.parametrize("inherited", ["tcp-ut 3s", "agent-check agent-port 1", "crt /x.pem", "cookie x", "track x/y"])
def test_what_a_new_server_cannot_be_given_is_a_reload(inherited: str) -> None:
    text = ALL.replace("default-server check fall 2", f"default-server check {inherited}")
    chosen = step(text, text.replace(B, B + C))
    assert (chosen.kind, chosen.reason) == (
        "reload",
        f"listen web: server c is new: `{inherited.split(maxsplit=1)[0]}` cannot be given to one at run time",
    )


@pytest.mark.parametrize("names_b", ["use-server b if { src 10.0.0.0/8 }", "server z 10.0.0.5:80 track b"])
def test_one_that_something_names_is_not_removed_at_run_time(names_b: str) -> None:
    text = ALL.replace(B, f"{B}    {names_b}\n")
    chosen = step(text, text.replace(B, ""))
    assert (chosen.kind, chosen.reason) == ("reload", "listen web: server b is gone: something else names it")


def test_one_that_another_section_tracks_is_not_removed_at_run_time() -> None:
    text = ALL + "    server z 10.0.0.5:80 track web/b\n"
    assert step(text, text.replace(B, "")).kind == "reload"


@pytest.mark.parametrize("option", ["cookie b", "agent-check agent-port 1", "track a"])
def test_one_with_something_of_its_own_is_not_removed_at_run_time(option: str) -> None:
    text = ALL.replace(B, B.replace("\n", f" {option}\n"))
    assert "belongs to it" in step(text, text.replace(B.replace("\n", f" {option}\n"), "")).reason


@pytest.mark.parametrize("balance", ["source", "static-rr", "uri", "hdr(x-user)", "source\n    hash-type map-based"])
def test_fixed_weights_change_to_nothing_and_back_alone(balance: str) -> None:
    text = ALL.replace("balance roundrobin", f"balance {balance}")
    nothing, half = text.replace(B, B.replace("100", "0")), text.replace(B, B.replace("100", "50"))
    assert commands(text, nothing) == ["set server web/b weight 0"]
    assert commands(nothing, text) == ["set server web/b weight 100"]
    assert (
        step(text, half).reason
        == f"listen web: the weight of b, which balance {balance.split('(', maxsplit=1)[0].split(maxsplit=1)[0]} fixes"
    )
    assert "their order counts" in step(text, text.replace(B, B + C)).reason
    assert "their order counts" in step(text, text.replace(B, "")).reason
    assert "servers in another order" in step(text, text.replace(A + B, B + A)).reason


@pytest.mark.parametrize("balance", ["", "leastconn", "random(2)", "first", "source\n    hash-type consistent sdbm"])
def test_weights_that_are_not_fixed(balance: str) -> None:
    text = ALL.replace("balance roundrobin", f"balance {balance}" if balance else "option tcplog")
    assert commands(text, text.replace(B, B.replace("100", "50"))) == ["set server web/b weight 50"]


def test_the_balance_may_be_a_default() -> None:
    text = ALL.replace("    balance roundrobin\n", "").replace("timeout connect 1s", "balance static-rr")
    assert step(text, text.replace(B, B.replace("100", "50"))).kind == "reload"


def test_defaults_hold_for_what_follows_unless_another_is_named() -> None:
    text = "defaults\n default-server weight 3\ndefaults other from x\nlisten web\n server a 10.0.0.1:80 weight 1\n"
    assert step(text, text.replace("weight 1", "")).kind == "none"
    text = text.replace("listen web", "listen web from none")
    assert commands(text, text.replace("weight 1", "weight 3")) == ["set server web/a weight 3"]
    text = (
        "defaults x\n default-server weight 3\ndefaults y from x\nlisten web from y\n server a 10.0.0.1:80 weight 3\n"
    )
    assert step(text, text.replace(":80 weight 3", ":80")).kind == "none"


def test_before_2_5_no_server_is_added_or_removed() -> None:
    for new in (B + C, ""):
        assert "HAProxy 2.4 does so only by a reload" in step(ALL, ALL.replace(B, new), (2, 4)).reason
    assert step(ALL, ALL.replace(B, B.replace("100", "1")), (2, 4)).kind == "runtime"


def test_a_writer_that_is_gone_is_cut_off_before_the_new_one_comes_in() -> None:
    gone = ALL.replace("    server a 10.0.0.1:3306\n", "").replace(" disabled", "")
    assert commands(ALL, gone) == [
        "set server db/a state maint",
        "shutdown sessions server db/a",
        "del server db/a",
        "set server db/b state ready",
    ]


def test_a_switch_of_the_writer_does_not_wait_for_a_reload() -> None:
    switched = ALL.replace("3306 disabled", "3306").replace("1:3306\n", "1:3306 disabled\n")
    # The weight that all inherit is another, too.
    wanted = switched.replace("maxconn 100", "maxconn 200").replace("weight 100", "weight 1")
    first = switch_first(ALL, wanted)
    assert first == switched
    assert commands(ALL, first)[-1] == "set server db/b state ready"
    assert step(first, wanted).kind == "reload"


@pytest.mark.parametrize(
    ("new_a", "new_b", "by"),
    [
        # With something that takes a reload.
        (" disabled maxconn 5", " maxconn 5", ["maint a", "shut a", "ready b"]),
        # Without a successor, or one that has moved: never two, rather none for the time of the reload.
        (" disabled maxconn 5", " disabled", ["maint a", "shut a"]),
        (" disabled maxconn 5", "7 maxconn 5", ["maint a", "shut a"]),
        # Its node is gone.
        (None, "", ["maint a", "shut a", "ready b"]),
        (None, " maxconn 5", ["maint a", "shut a", "ready b"]),
    ],
)
def test_a_switch_together_with_other_changes(new_a: str | None, new_b: str, by: list[str]) -> None:
    line = "    server a 10.0.0.1:3306 weight 7"
    old = ALL.replace("    server a 10.0.0.1:3306", line)
    wanted = old.replace(f"{line}\n", "" if new_a is None else f"{line}{new_a}\n")
    wanted = wanted.replace("0.2:3306 disabled", f"0.2:3306{new_b}")
    chosen = step(old, switch_first(old, wanted))
    assert [f"{command.verb} {command.server}" for command in chosen.commands] == by


# Each server of `db`: not there; or weight, and an option that takes a reload; and which one is in use.
MEMBERS = st.lists(st.none() | st.tuples(st.integers(0, 2), st.booleans()), min_size=3, max_size=3)


def one_writer(members: list[tuple[int, bool] | None], writer: int) -> str:
    lines = [
        f"    server {'abc'[place]} 10.0.0.{place}:3306 weight {member[0]}{' maxconn 5' if member[1] else ''}"
        f"{'' if place == writer else ' disabled'}\n"
        for place, member in enumerate(members)
        if member is not None
    ]
    return HEAD + DB.partition("    server")[0] + "".join(lines)


@example([(1, False)] * 3, 0, [(1, False)] * 3, 1)
@example([(1, False)] * 3, 0, [None, (1, True), (1, True)], 1)
@given(MEMBERS, st.integers(0, 3), MEMBERS, st.integers(0, 3))
def test_there_are_never_two_writers(
    before: list[tuple[int, bool] | None], writer: int, after: list[tuple[int, bool] | None], next_writer: int
) -> None:
    old, new = one_writer(before, writer), one_writer(after, next_writer)
    first = switch_first(old, new)
    in_use = {"abc"[writer]} if writer < 3 and before[writer] is not None else set()
    for chosen in (step(old, first), step(first, new)):
        if chosen.kind == "reload":
            # The old worker goes on with whom it has: that must be the new one, if anybody.
            assert in_use <= {"abcd"[next_writer]}
        for command in chosen.commands:
            if command.verb == "ready":
                in_use.add(command.server)
            elif command.verb in ("maint", "delete"):
                in_use.discard(command.server)
            assert len(in_use) <= 1, chosen.commands
    assert step(first, new).kind == "reload" or in_use == (
        {"abc"[next_writer]} if next_writer < 3 and after[next_writer] is not None else set()
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [("weight 100", "weight 1"), ("server a 10.0.0.1:80", "server a 10.0.0.1:80 disabled"), ("maxconn 1", "maxconn 2")],
)
def test_no_writer_changes(old: str, new: str) -> None:
    assert switch_first(ALL, ALL.replace(old, new)) == ALL


def test_many_reasons_are_told_in_short() -> None:
    many = "".join(f"    option x{number}\n" for number in range(9))
    chosen = step(ALL, ALL.replace("    maxconn 100\n", "    maxconn 100\n" + many))
    assert len(chosen.reasons) == 9
    assert chosen.reason.endswith("; and 6 more")
