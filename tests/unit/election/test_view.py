"""What is known of the store: as it would list it, and when anything but a renewal has changed."""

from __future__ import annotations

from dataclasses import replace

from election.clock import earlier, later
from election.view import View
from tests.support.scene import KEYS, Scene, at


def scene() -> Scene:
    here = Scene()
    here.join("n1", "n2")
    here.own("vip", "n1")
    return here


def test_a_snapshot_makes_the_same_view_again() -> None:
    view = scene().view
    again = View(KEYS)
    again.load(view.snapshot())
    assert (again.sessions, again.groups, again.identity) == (view.sessions, view.groups, view.identity)


def test_an_unreadable_document_is_not_in_the_snapshot() -> None:
    here = scene()
    here.put(KEYS.group("vip"), "oops")
    assert KEYS.group("vip") not in {kv.key for kv in here.view.snapshot().items}


def test_a_renewal_leaves_the_mark_and_anything_else_makes_another_one() -> None:
    here = scene()
    view = here.view
    before = view.mark()
    record = view.sessions["n1"].record

    def change(key: str, value: str) -> str:
        here.put(key, value)
        view.load(here.store.snapshot(KEYS.prefix, timeout_s=5))
        return view.mark()

    assert change(KEYS.node("n1"), replace(record, attempt=2).to_json()) == before
    assert view.mark() == before
    assert change(KEYS.standby("n1"), "anna") != before


def test_of_two_deadlines_each_clock_has_its_own_earlier_and_later_one() -> None:
    deadline, other = at(5)._replace(raw=9), at(7)
    assert earlier(deadline, other) == (5, 7)
    assert later(deadline, other) == (7, 9)
