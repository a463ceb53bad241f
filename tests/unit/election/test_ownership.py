"""When a group may be taken, and the transactions with which it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from election.clock import Instant
from election.keys import Keys
from election.memory_store import MemoryLedger
from election.observer import Observer
from election.ownership import (
    Writer,
    acquire,
    depose,
    hand_over,
    leave,
    lost_holders,
    probe,
    release,
    takeable,
    unprobed,
)
from election.records import FenceRecord, GroupReport, Holder, Ownership, Record, Report, Session, next_epoch
from election.recovery import init, recover
from election.store import Compare, Delete, Put, Txn
from election.view import View

KEYS = Keys.of("c")


def at(ms: float) -> Instant:
    return Instant(ms, ms)


class Scene:
    """Two live sessions, n1 and n2, and what n2 sees."""

    def __init__(self) -> None:
        self.ledger = MemoryLedger()
        self.ledger.apply(init(KEYS, "u", "{}"))
        self.identity = Compare(KEYS.identity, "mod", self.ledger.revision)
        self.config = self.ledger.revision
        self.holders = {name: self.open(name) for name in ("n1", "n2")}
        self.observer = Observer(100, 300)
        self.observer.on_own_renewal(at(0))

    def open(self, name: str) -> Holder:
        session_id = f"s-{name}"
        result = self.put(KEYS.node(name), Session(session_id, f"m-{name}", "b", 1000, 1))
        return Holder(name, session_id, result)

    def put(self, key: str, record: Record) -> int:
        return self.ledger.apply(Txn((), (Put(key, record.to_json()),))).revision

    @property
    def view(self) -> View:
        view = View(KEYS)
        view.load(self.ledger.snapshot(KEYS.prefix))
        return view

    def writer(self, name: str) -> Writer:
        return Writer(KEYS, self.holders[name], self.identity)

    def own(self, name: str, state: str = "owned", holders: tuple[Holder, ...] = ()) -> None:
        holder = self.holders[name]
        record = Ownership(holder.node, holder.session_id, holder.session_revision, 7, state, holders, bool(holders))  # type: ignore[arg-type]
        self.put(KEYS.group("g"), record)

    def verdict(self) -> str:
        """Why n2 does not take the group; or why it may."""
        return takeable(self.view, self.observer, "g", True, "n2", at(5000)).reason

    def depose_n1(self, now: float = 2000) -> None:
        view = self.view
        self.observer.on_session("n1", view.sessions["n1"], at(0))
        assert self.ledger.apply(depose(self.writer("n2"), "n1", view.sessions["n1"], 0)).succeeded
        self.observer.on_fence("n1", self.view.fences["n1"].record, at(now))

    def may_take(self, *, lease: bool = True, now: float = 2000) -> bool:
        return takeable(self.view, self.observer, "g", lease, "n2", at(now)).safe


def test_nothing_is_taken_from_a_live_session() -> None:
    scene = Scene()
    scene.own("n1")
    assert not scene.may_take(now=1e9)


@pytest.mark.parametrize("state", ["released", "handoff"])
def test_a_group_released_or_not_accepted_may_be_taken(state: str) -> None:
    scene = Scene()
    scene.own("n1", state)
    assert scene.may_take()


def test_a_deposed_owner_is_safe_when_its_lease_is_over_for_me() -> None:
    scene = Scene()
    scene.own("n1")
    scene.depose_n1()
    assert not scene.may_take(now=1024)
    assert scene.may_take(now=1025)


def test_where_fencing_is_required_no_lease_counts() -> None:
    scene = Scene()
    scene.own("n1")
    scene.depose_n1()
    assert not scene.may_take(lease=False, now=1e9)
    fence = scene.view.fences["n1"].record
    record = FenceRecord(
        fence.session_id, fence.session_revision, fence.deposed_revision, 1000, "m", "b", "safe", "confirmed"
    )
    scene.put(KEYS.fence("n1"), record)
    assert scene.may_take(lease=False)


def test_an_unmanaged_group_is_never_taken_by_lease() -> None:
    scene = Scene()
    scene.own("n1", "unmanaged")
    scene.depose_n1()
    assert not scene.may_take(now=1e9)


@pytest.mark.parametrize(
    ("state", "evidence", "later", "taken"),
    [
        ("safe", "self-stop", 0, False),  # it says nothing of what was left alone
        ("safe", "watchdog", 0, False),  # it was fed
        ("acting", "off", 0, False),
        ("safe", "off", 0, True),
        ("safe", "reboot", 0, True),
        ("safe", "confirmed", 0, True),
        ("safe", "off", 5, True),  # of a later session
        ("safe", "off", -1, False),  # of an earlier one
    ],
)
def test_what_tells_that_an_unmanaged_group_is_stopped(state: str, evidence: str, later: int, taken: bool) -> None:
    scene = Scene()
    scene.own("n1", "unmanaged")
    scene.depose_n1()
    fence = scene.view.fences["n1"].record
    record = replace(
        fence,
        state=state,
        evidence=evidence,
        session_revision=fence.session_revision + later,  # type: ignore[arg-type]
    )
    scene.put(KEYS.fence("n1"), record)
    assert scene.may_take(now=1e9) == taken
    scene.open("n1")
    assert not scene.may_take(now=1e9), "n1 is there, and decides"


def test_an_unmanaged_group_waits_for_what_cannot_be_read() -> None:
    scene = Scene()
    scene.own("n1", "unmanaged")
    scene.depose_n1()
    for key in (KEYS.fence("n1"), KEYS.node("n1")):
        scene.ledger.apply(Txn((), (Put(key, "{"),)))
        assert not scene.may_take(now=1e9)
        scene.ledger.apply(Txn((), (Delete(key),)))


def test_both_holders_of_an_overlap_must_be_safe() -> None:
    scene = Scene()
    third = scene.open("n3")
    scene.own("n1", holders=(third,))
    scene.depose_n1()
    assert not scene.may_take(now=5000), "n3 has a live session and may be running it"


def test_a_later_session_proves_the_earlier_one_stopped() -> None:
    scene = Scene()
    scene.own("n1")
    scene.depose_n1()
    scene.open("n1")
    assert scene.may_take(lease=False)


def test_acquire_compares_group_session_configuration_and_identity() -> None:
    for broken in ("group", "session", "config", "identity"):
        scene = Scene()
        txn = acquire(scene.writer("n2"), "g", None, 9, scene.config, overlap=False, reason="")
        if broken == "group":
            scene.own("n1")
        elif broken == "session":
            scene.ledger.apply(depose(scene.writer("n1"), "n2", scene.view.sessions["n2"], 0))
        elif broken == "config":
            scene.ledger.apply(Txn((), (Put(KEYS.config, "{}"),)))
        else:
            scene.ledger.apply(recover(scene.view, "v", 0, (), 1000, "{}"))
        assert not scene.ledger.apply(txn).succeeded, broken


def test_a_late_depose_fails_after_a_renewal() -> None:
    scene = Scene()
    txn = depose(scene.writer("n2"), "n1", scene.view.sessions["n1"], 0)
    scene.put(KEYS.node("n1"), Session("s-n1", "m-n1", "b", 1000, 2))
    assert not scene.ledger.apply(txn).succeeded


def test_handoff_overlap_and_its_end() -> None:
    scene = Scene()
    scene.own("n1")
    observed = scene.view.groups["g"]
    txn = hand_over(scene.writer("n1"), "g", observed, scene.holders["n2"], 9, reason="moved", overlap=True)
    assert scene.ledger.apply(txn).succeeded
    offered = scene.view.groups["g"]
    assert (offered.record.state, offered.record.holders) == ("handoff", (scene.holders["n1"],))
    txn = acquire(scene.writer("n2"), "g", offered, 9, scene.config, overlap=True, reason="moved")
    assert scene.ledger.apply(txn).succeeded
    assert scene.view.groups["g"].record.holders == (scene.holders["n1"],), "n1 still runs it"
    txn = leave(scene.writer("n1"), "g", scene.view.groups["g"], (scene.holders["n1"],))
    assert scene.ledger.apply(txn).succeeded
    own = scene.view.groups["g"].record
    assert (own.node, own.state, own.holders) == ("n2", "owned", ())


def test_a_handoff_to_a_session_that_has_ended_fails() -> None:
    scene = Scene()
    scene.own("n1")
    txn = hand_over(
        scene.writer("n1"), "g", scene.view.groups["g"], Holder("n2", "old", 1), 9, reason="", overlap=False
    )
    assert not scene.ledger.apply(txn).succeeded


def test_release_keeps_the_epoch() -> None:
    scene = Scene()
    scene.own("n1")
    assert scene.ledger.apply(release(scene.writer("n1"), "g", scene.view.groups["g"])).succeeded
    own = scene.view.groups["g"].record
    assert (own.state, own.epoch) == ("released", 7)


def test_a_session_in_neither_key_is_lost() -> None:
    scene = Scene()
    scene.own("n1")
    assert lost_holders(scene.view) == []
    from election.store import Delete

    scene.ledger.apply(Txn((), (Delete(KEYS.node("n1")),)))
    assert lost_holders(scene.view) == [scene.holders["n1"]]
    assert not scene.may_take(now=1e9)


def test_after_recover_nothing_is_taken_before_every_past_is_known() -> None:
    scene = Scene()
    scene.own("n1", "released")
    assert scene.ledger.apply(recover(scene.view, "v", 4, ("n3",), 1000, "{}")).succeeded
    view = scene.view
    assert view.identity and view.identity.record.generation == 5
    assert sorted(view.fences) == ["n1", "n2", "n3"] and not view.sessions
    for name, fence in view.fences.items():
        scene.observer.on_fence(name, fence.record, at(0))
    assert not scene.may_take(now=1000)
    assert scene.may_take(now=1025), "the longest lease is over"
    assert not scene.may_take(lease=False, now=1e9)


def test_recover_keeps_an_action_under_way() -> None:
    scene = Scene()
    scene.own("n1", "released")
    acting = FenceRecord("s", 3, 4, 1000, "m", "b", "acting", executor="n2/s-n2", attempts=2, action_ms=2500)
    scene.ledger.apply(Txn((), (Put(KEYS.fence("n1"), acting.to_json()),)))
    assert scene.ledger.apply(recover(scene.view, "v", 4, (), 1000, "{}")).succeeded
    record = scene.view.fences["n1"].record
    assert (record.state, record.executor, record.attempts, record.action_ms) == ("acting", "n2/s-n2", 2, 2500)
    assert (record.generation, record.session_id) == (5, "")


def test_epochs_grow_over_everything() -> None:
    assert next_epoch(1, 0, 50) < next_epoch(1, next_epoch(1, 0, 50), 3)
    assert next_epoch(1, 10**9, 50) < next_epoch(2, 0, 1), "a generation is above all of the one before"
    assert next_epoch(2, next_epoch(1, 0, 99), 5) == next_epoch(2, 0, 5)


def test_an_unreadable_record_of_a_holder_is_no_evidence() -> None:
    scene = Scene()
    scene.own("n1")
    scene.ledger.apply(Txn((), (Put(KEYS.node("n1"), "oops"),)))
    assert scene.verdict() == "/hactl/c/nodes/n1 cannot be read: n1 may be alive"
    scene = Scene()
    scene.own("n1")
    scene.ledger.apply(Txn((), (Delete(KEYS.node("n1")), Put(KEYS.fence("n1"), "oops"))))
    assert scene.verdict() == "/hactl/c/fence/n1 cannot be read"


def test_a_group_whose_ownership_cannot_be_read_is_taken_by_nobody() -> None:
    scene = Scene()
    scene.ledger.apply(Txn((), (Put(KEYS.group("g"), "oops"),)))
    assert scene.verdict() == "/hactl/c/groups/g cannot be read: nobody takes it"


def test_after_a_recover_a_fence_record_that_cannot_be_read_holds_everything_back() -> None:
    scene = Scene()
    scene.ledger.apply(recover(scene.view, "v", 0, (), 1000, "{}"))
    scene.ledger.apply(Txn((), (Put(KEYS.fence("n1"), "oops"),)))
    assert scene.verdict() == "/hactl/c/fence/n1 cannot be read: nothing is known of n1"


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        (None, "n1 has not yet said whether it runs here"),
        ({"phase": "stopped"}, "it runs nowhere"),
        ({"phase": "barred"}, "it runs nowhere"),
        ({"phase": "blocked", "reason": "it hangs"}, "it cannot be stopped on n1: it hangs"),
        ({"phase": "running"}, "it runs on n1, outside of any ownership"),
    ],
)
def test_a_group_without_an_owner_is_taken_when_every_live_node_has_said_that_it_does_not_run_there(
    told: GroupReport | None, verdict: str
) -> None:
    scene = Scene()
    scene.ledger.apply(probe(scene.writer("n2"), "g"))
    asked = scene.view.probes["g"].mod_revision
    for name, group in (("n1", told), ("n2", {"phase": "running"})):
        if group is not None:
            scene.put(KEYS.report(name), Report(f"s-{name}", 1, {"g": group}, {"g": asked}))  # type: ignore[dict-item]
    assert unprobed(scene.view, scene.observer, "g", True, "n2", at(2000)).reason == verdict


def test_nobody_is_asked_and_nobody_can_be_read_are_no_answers() -> None:
    scene = Scene()
    assert unprobed(scene.view, scene.observer, "g", True, "n2", at(0)).reason == "nobody has asked the members yet"
    scene.ledger.apply(probe(scene.writer("n2"), "g"))
    scene.ledger.apply(Txn((), (Put(KEYS.fence("n3"), "oops"),)))
    verdict = unprobed(scene.view, scene.observer, "g", True, "n2", at(0))
    assert verdict.reason == "/hactl/c/fence/n3 cannot be read: it may run there"


def test_a_dead_node_may_run_a_group_without_an_owner_until_it_is_safe() -> None:
    scene = Scene()
    scene.depose_n1()
    scene.ledger.apply(probe(scene.writer("n2"), "g"))
    report = Report("s-n2", 1, {"g": {"phase": "stopped"}}, {"g": scene.view.probes["g"].mod_revision})  # type: ignore[dict-item]
    scene.put(KEYS.report("n2"), report)
    verdict = unprobed(scene.view, scene.observer, "g", False, "n2", at(2000))
    assert verdict.reason == "n1 is not known to be stopped"


def test_an_answer_to_an_earlier_question_is_none() -> None:
    scene = Scene()
    scene.ledger.apply(probe(scene.writer("n2"), "g"))
    asked = scene.view.probes["g"].mod_revision
    for name in ("n1", "n2"):
        report = Report(f"s-{name}", 1, {"g": {"phase": "stopped"}}, {"g": asked - 1})  # type: ignore[dict-item]
        scene.put(KEYS.report(name), report)
    verdict = unprobed(scene.view, scene.observer, "g", True, "n2", at(0))
    assert verdict.reason == "n1 has not yet said whether it runs here"
