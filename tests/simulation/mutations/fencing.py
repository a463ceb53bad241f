"""Fencing without one of its rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest import mock

from election import observer
from election.clock import owner_elapsed
from election.store import Put, Txn
from fencing import job as machine
from hactl.decide import confirming, fencing, own_session, suspicion
from hactl.decide.node import _HANDLERS
from hactl.model import events
from tests.simulation.mutations.mutation import Mutation, all_of, patch
from tests.simulation.scripts import (
    asked_late,
    back_before_attempt,
    back_during_action,
    between_claim_and_device,
    confirmed_during_action,
    executor_hangs,
    renewal_seen_after_the_outage,
    watchdog_and_dead_device,
)


def _not_acting() -> Any:
    """A device is used without a word in the record."""
    original = fencing.write

    def write(state: Any, node: str, fence: Any, record: Any, purpose: str, out: Any) -> bool:
        if purpose != "fence-attempt":
            return original(state, node, fence, record, purpose, out)
        work = state.fencing[node]
        fencing.act(state, node, work, work.switch, None, out)
        return False

    def advance(state: Any, node: str, fence: Any, work: Any, out: Any) -> None:
        mine = replace(fence.record, executor=fencing._myself(state))
        advance_original(state, node, fence._replace(record=mine), work, out)

    advance_original = fencing._advance
    return all_of(patch(fencing, "write", write), patch(fencing, "_advance", advance))


def _no_compare_on_the_attempt() -> Any:
    """What an action came to is written whatever the record says by then."""

    def write(state: Any, node: str, fence: Any, record: Any, purpose: str, out: Any) -> bool:
        if any(sent.purpose.startswith("fence-") and sent.name == node for sent in state.pending.values()):
            return False
        keys = state.keys
        txn = Txn(state.writer.guarded(), (Put(keys.fence(node), record.to_json()),), state.writer.reads())
        out.send(purpose, txn, name=node)
        return True

    return patch(fencing, "write", write)


def _open_while_acting() -> Any:
    return patch(own_session, "in_flight", lambda *args: False)


def _executor_not_waited_for() -> Any:
    return all_of(
        patch(fencing, "in_flight", lambda *args: False), patch(fencing, "_executor_lives", lambda *args: False)
    )


def _begun_at_any_time() -> Any:
    """An action is begun however late it is by then."""
    original = fencing.act
    return patch(
        fencing, "act", lambda state, node, work, switch, until, out: original(state, node, work, switch, None, out)
    )


def _whoever_is_dead() -> Any:
    return patch(fencing, "_wanted", lambda *args: True)


def _unverified() -> Any:
    def switched(job: Any, action: Any, ok: bool, power: str, detail: str, now: Any) -> None:
        original(job, action, ok, power, detail, now)
        if ok and action == job.goal:
            job.verifying, job.target = False, job.target + 1

    original = machine.switched
    return patch(machine, "switched", switched)


def _one_supply_is_enough() -> Any:
    def switched(job: Any, action: Any, ok: bool, power: str, detail: str, now: Any) -> None:
        original(job, action, ok, power, detail, now)
        if ok and action == "status" and power == job.goal:
            job.target = 99

    original = machine.switched
    return patch(machine, "switched", switched)


def _guards_not_heard() -> Any:
    return mock.patch.dict(_HANDLERS, {events.GuardReplied: lambda *args: None})


def _no_time_to_answer() -> Any:
    def ask(*args: Any) -> None:
        original(*args)

    original = suspicion._ask
    return patch(suspicion, "_ask", ask)


def _suspected_after_a_gap() -> Any:
    """A peer that was not seen since a gap of mine is suspected like any other."""

    def renewed_myself(self: Any, now: Any, *answer: Any) -> None:
        renewed = {name: seen.renewed for name, seen in self.sightings.items()}
        original(self, now, *answer)
        for name, seen in self.sightings.items():
            seen.renewed = renewed[name]

    original = observer.Observer.on_own_renewal
    return patch(observer.Observer, "on_own_renewal", renewed_myself)


def _any_renewal_counts() -> Any:
    """A renewal that is seen after a gap counts, even if it was written before."""

    def renewed_myself(self: Any, *given: Any) -> None:
        original(self, *given)
        self.since_gap = 0

    original = observer.Observer.on_own_renewal
    return patch(observer.Observer, "on_own_renewal", renewed_myself)


def _suspected_in_a_gap() -> Any:
    def suspected(self: Any, node: str, session: Any, suspect_after_ms: float, now: Any) -> bool:
        seen = self.sightings.get(node)
        return bool(seen and owner_elapsed(seen.suspect_since, now) >= suspect_after_ms)

    return all_of(
        patch(observer.Observer, "suspected", suspected), patch(observer.Observer, "in_gap", lambda *args: False)
    )


def _watchdog_early() -> Any:
    """A watchdog counts before the lease is over."""
    return patch(observer.Observer, "dead_over", lambda *args: True)


def _confirmed_at_once() -> Any:
    """The operator's word is carried out while a device may still hit the node."""

    def carry_out(state: Any, node: str, fence: Any, word: Any, out: Any) -> None:
        safe = replace(fence.record, state="safe", evidence="confirmed", by=word.by, executor="")
        fencing.write(state, node, fence, safe, "fence-safe", out)

    return patch(confirming, "_carry_out", carry_out)


# fmt: off
MUTATIONS = [
    Mutation("a device used without 'acting'", _not_acting, (), ("S5", "G3", "S2"), script=back_during_action),
    Mutation("an outcome written without a compare on the attempt", _no_compare_on_the_attempt,
             (), ("S5", "G3", "S2"), script=back_before_attempt),
    Mutation("opening while an action may be under way", _open_while_acting, (), ("S5",),
             script=back_during_action),
    Mutation("an executor is not waited for", _executor_not_waited_for, (), ("S5", "G3"), script=executor_hangs),
    Mutation("an action begun however late", _begun_at_any_time, (), ("S5",), script=between_claim_and_device),
    Mutation("fenced though nothing requires it", _whoever_is_dead, ("crash", "pause-daemon", "cut"), ("S4",),
             required=False, devices=True),
    Mutation("off without a status", _unverified, ("device-lies", "freeze-node"), ("G3", "S1", "S2"), required=True,
             devices=True),
    Mutation("one power supply of two", _one_supply_is_enough, ("freeze-node",), ("G3", "S1", "S2"), required=True,
             devices=True),
    Mutation("a guard's answer not heard", _guards_not_heard, ("pause-daemon", "kill-daemon"), ("L2",), required=True,
             devices=True),
    Mutation("a guard has no time to answer", _no_time_to_answer, (), ("L2",), script=asked_late),
    Mutation("suspected at once after a gap", _suspected_after_a_gap, ("store-away", "pause-daemon"), ("S4",),
             required=True, devices=True),
    Mutation("a renewal from before a gap counts after it", _any_renewal_counts, (), ("S4",),
             script=renewal_seen_after_the_outage),
    Mutation("suspecting in a gap", _suspected_in_a_gap, ("store-away",), ("S4", "G5"), required=True, devices=True),
    Mutation("confirmed without waiting for the action", _confirmed_at_once, (), ("S5",),
             script=confirmed_during_action),
    Mutation("a watchdog's time cut short", _watchdog_early, (), ("G3", "S1", "S2"), script=watchdog_and_dead_device),
]
# fmt: on
