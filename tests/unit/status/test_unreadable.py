"""What is said of documents that nobody can read: the worst first, and commands that do what they say."""

from __future__ import annotations

import shlex

from election.keys import Keys
from election.store import KeyValue
from election.view import View
from hactl.status import unreadable

KEYS = Keys.of("c")

ETCDCTL = "etcdctl --endpoints=https://10.0.0.1:2379 --cacert=/ca"


def holding(*keys: str, create: int = 3, mod: int = 7) -> View:
    view = View(KEYS)
    for key in keys:
        assert view.learn(key, KeyValue(key, "{", create, mod), mod)
    return view


def commands(view: View) -> list[str]:
    """Of the first: what stands between backquotes."""
    return unreadable.shown(view, ETCDCTL)[0]["fix"].split("`")[1::2]


def test_one_that_is_too_long_to_be_typed_goes_with_all_that_begin_like_it() -> None:
    (command,) = commands(holding(KEYS.group("x" * 100_000)))
    words = shlex.split(command)
    assert words[-3:-1] == ["del", "--prefix"] and len(command) < 500
    longest = max(KEYS.drain("s" * 63, "n" * 63), KEYS.failure("g" * 63, "n" * 63), key=len)
    assert len(words[-1]) > len(longest), "no document of any kind goes with it"


def test_a_zero_byte_cannot_be_typed() -> None:
    assert commands(holding(KEYS.group("a\0b"))) == []


def test_what_groups_wait_for_comes_before_all_else() -> None:
    view = holding(*(KEYS.failure("a", f"n{number}") for number in range(100)), KEYS.group("web"), KEYS.identity)
    keys = [entry["key"] for entry in unreadable.shown(view)]
    assert keys[:2] == [KEYS.identity, KEYS.group("web")] and len(keys) == unreadable.SHOWN == len(set(keys))
    *_, (level, text, do) = unreadable.warnings(unreadable.shown(view), view, ETCDCTL)
    assert level == "error" and text.startswith("82 more") and f"`{ETCDCTL} get --prefix --keys-only '/hactl/c/'`" in do


def test_a_key_without_an_earlier_value_has_none_to_restore() -> None:
    assert any(" get " in command and "--rev=6" in command for command in commands(holding(KEYS.group("web"))))
    for key in (KEYS.group("web"), KEYS.fence("n1"), KEYS.identity):
        assert not any(" get " in command for command in commands(holding(key, create=7)))


def test_a_block_is_ended_by_its_own_command() -> None:
    (entry,) = unreadable.shown(holding(KEYS.blocked("web")))
    assert entry["level"] == "error" and "no node starts group web" in entry["waits"]
    assert "`hactl group cleanup web`" in entry["fix"]
