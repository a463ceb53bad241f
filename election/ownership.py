"""Ownership as transactions, and when a dead session is safe (docs/protocol.md, *Ownership* and
*When a dead session is safe*). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from election.clock import Instant
from election.keys import Keys
from election.reading import ReadObserver, ReadView
from election.records import FenceRecord, Holder, Maintenance, Ownership, Session, next_epoch
from election.session import dead
from election.store import Compare, Condition, Delete, Get, Operation, Put, Txn
from election.view import Versioned

# Evidence that nothing at all runs on a machine, whoever started it.
MACHINE_STOPPED = frozenset({"off", "reboot", "confirmed"})


class Verdict(NamedTuple):
    """Whether something may be taken, and the reason in the operator's words."""

    safe: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Writer:
    """The writer: my live session and the store's identity. Every transaction compares both, so that nothing is
    written in the name of a session that is over, or into another store's history."""

    keys: Keys
    me: Holder
    identity: Condition

    def guarded(self, *more: Condition) -> tuple[Condition, ...]:
        """`more`, with the compares that every transaction has."""
        return (*more, Compare(self.keys.node(self.me.node), "create", self.me.session_revision), self.identity)

    def reads(self, *keys: str) -> tuple[Get, ...]:
        """The reads of a failed transaction, to tell why it failed."""
        return tuple(Get(key) for key in (*keys, self.keys.node(self.me.node), self.keys.identity))

    def delete(self, key: str, mod_revision: int) -> Txn:
        """Delete the key, if it still is as it was at `mod_revision`."""
        return Txn(self.guarded(Compare(key, "mod", mod_revision)), (Delete(key),), self.reads(key))


def session_of(view: ReadView, holder: Holder) -> Versioned[Session] | None:
    """The holder's session, if it is still the one in the store."""
    session = view.sessions.get(holder.node)
    if session is None or session.create_revision != holder.session_revision:
        return None
    return session if session.record.session_id == holder.session_id else None


def may_live(view: ReadView, holder: Holder) -> bool:
    """Whether the holder's session is in the store, or may be: what is in its key cannot be read, and the key is still
    the one that it created."""
    bad = view.bad_node(holder.node)
    return session_of(view, holder) is not None or (bad is not None and bad.create_revision == holder.session_revision)


def holder_safe(view: ReadView, observer: ReadObserver, holder: Holder, lease_counts: bool, now: Instant) -> Verdict:
    """Whether it is certain that `holder` runs nothing any more. `lease_counts`: the group has `fencing: lease`.

    A session that still is `nodes/N` is never safe: nothing is taken from it. Safe is final.
    """
    if session_of(view, holder):
        return Verdict(False, f"{holder.node} has a live session")
    if may_live(view, holder):
        return Verdict(False, f"{view.keys.node(holder.node)} cannot be read: {holder.node} may be alive")
    session, fence = view.sessions.get(holder.node), view.fences.get(holder.node)
    if session and holder.session_revision < session.create_revision:
        return Verdict(True, f"{holder.node} has opened a later session")
    if fence and holder.session_revision < fence.record.session_revision:
        return Verdict(True, f"{holder.node} has had a later session")
    if fence is None or Holder(holder.node, fence.record.session_id, fence.record.session_revision) != holder:
        keys = (view.keys.node(holder.node), view.keys.fence(holder.node))
        bad = next((f"{key} cannot be read" for key in keys if key in view.unreadable), "")
        return Verdict(False, bad or f"the record of {holder.node}'s session was lost")
    if fence.record.state == "safe":
        return Verdict(True, f"{holder.node}: {fence.record.evidence}")
    if lease_counts and observer.dead_over(holder.node, fence.record, now):
        return Verdict(True, f"{holder.node}'s lease is over")
    waiting = "its lease to be over" if lease_counts else "a reboot, a self-stop, or 'hactl fence confirm'"
    return Verdict(False, f"waiting for {holder.node}: {waiting}")


def takeable(view: ReadView, observer: ReadObserver, group: str, lease_counts: bool, me: str, now: Instant) -> Verdict:
    """Whether `group` may be taken by the session of `me`: everyone who may be running it is safe or is me."""
    if not (verdict := past_known(view, observer, lease_counts, now)).safe:
        return verdict
    observed = view.groups.get(group)
    if view.keys.group(group) in view.unreadable:
        return Verdict(False, f"{view.keys.group(group)} cannot be read: nobody takes it")
    if observed is None:
        return Verdict(True, "it has no owner")
    own = observed.record
    if own.state == "unmanaged":
        return abandoned(view, own)
    others = [holder for holder in own.holders if not (holder.node == me and may_live(view, holder))]
    if own.state == "owned":
        others.append(own.holder)
    verdict = Verdict(True, "it was released" if own.state == "released" else f"{own.node} has not accepted it")
    for holder in others:
        verdict = holder_safe(view, observer, holder, lease_counts, now)
        if not verdict.safe:
            break
    return verdict


def abandoned(view: ReadView, own: Ownership) -> Verdict:
    """Whether it is certain that an unmanaged group does not run on the node that left it alone. The end of a session
    says nothing: nobody stops the group then, neither the guard nor the node itself, so neither a lease that is over
    nor `self-stop` counts, nor a watchdog, which was fed. Only that the machine is off, has booted, or an operator's
    word: of that session, or of a later one. While the node has a session, it decides."""
    node, fence = own.node, view.fences.get(own.node)
    if node in view.sessions:
        return Verdict(False, f"{node} left it alone, and takes it again")
    if view.bad_node(node) is not None or view.bad_fence(node) is not None:
        return Verdict(False, f"what is written of {node} cannot be read: it may run there")
    if fence is None or fence.record.session_revision < own.session_revision:
        return Verdict(False, f"the record of {node}'s session was lost")
    if fence.record.state == "safe" and fence.record.evidence in MACHINE_STOPPED:
        return Verdict(True, f"{node}: {fence.record.evidence}")
    return Verdict(False, f"waiting for {node}: it may run there still; start hactl there, or 'hactl fence confirm'")


def past_known(view: ReadView, observer: ReadObserver, lease_counts: bool, now: Instant) -> Verdict:
    """After `hactl recover` the past of every node is unknown, until it attests or is confirmed (or, for leases,
    the longest lease is over): any of them may be running anything. After one, a record that cannot be read may be
    such a record, unless its node has a session: that was opened after it had attested."""
    recovered = view.identity is not None and view.identity.record.generation > 1
    for node in view.unread("fence") if recovered else ():
        if node not in view.sessions:
            return Verdict(False, f"{view.keys.fence(node)} cannot be read: nothing is known of {node}")
    for node, fence in view.fences.items():
        record = fence.record
        if not record.generation or record.state == "safe":
            continue
        if not (lease_counts and observer.dead_over(node, record, now)):
            return Verdict(False, f"after 'hactl recover': waiting for {node} to attest that it stopped everything")
    return Verdict(True, "")


def lost_holders(view: ReadView) -> list[Holder]:
    """Holders whose session is in neither key: their record was lost, anyone may write it. Not while one of the keys
    holds what cannot be read, nor while there is a session, which could only be an earlier one."""
    lost = {}
    for group in view.groups.values():
        for holder in group.record.runners:
            session, fence = view.sessions.get(holder.node), view.fences.get(holder.node)
            if session or view.bad_node(holder.node) or view.bad_fence(holder.node):
                continue
            if fence is None or fence.record.session_revision < holder.session_revision:
                lost[holder.node] = holder
    return [lost[node] for node in sorted(lost)]


def depose(writer: Writer, node: str, session: Versioned[Session], fence_mod: int, *, over: bool = False) -> Txn:
    """Depose: if `nodes/N` is as observed and my session lives, delete it and put its fence record. `over`: I have not
    seen it renewed for its whole lease."""
    key, fence = writer.keys.node(node), writer.keys.fence(node)
    record = replace(dead(session), by=writer.me.node, over=over)
    return Txn(
        writer.guarded(Compare(key, "mod", session.mod_revision), Compare(fence, "mod", fence_mod)),
        (Delete(key), Put(fence, record.to_json())),
        writer.reads(key, fence),
    )


def lost_record(holder: Holder, lease_ms: int, by: str) -> FenceRecord:
    """The fence record of a session that is in neither key. No state of it was observed by anyone
    (`deposed_revision` 0), so everyone counts from the first sight of the record."""
    return FenceRecord(holder.session_id, holder.session_revision, 0, lease_ms, "", "", "pending", by=by)


def write_lost(writer: Writer, holder: Holder, fence_mod: int, lease_ms: int) -> Txn:
    """Write the record of another node's lost session, if it still has none."""
    key, fence = writer.keys.node(holder.node), writer.keys.fence(holder.node)
    return Txn(
        writer.guarded(Compare(key, "create", 0), Compare(fence, "mod", fence_mod)),
        (Put(fence, lost_record(holder, lease_ms, writer.me.node).to_json()),),
        writer.reads(key, fence),
    )


def acquire(
    writer: Writer,
    group: str,
    observed: Versioned[Ownership] | None,
    epoch: int,
    config_mod: int,
    *,
    overlap: bool,
    reason: str,
    also: Sequence[Compare] = (),
    cleanup: Sequence[str] = (),
) -> Txn:
    """Acquire, reclaim or accept: if `groups/G` and the configuration are the ones I decided on and my session
    lives, I own it with `epoch`. Earlier owners that may still run it (overlap) stay in `holders`; when it is
    taken from a dead owner, all of them were found safe."""
    key, me = writer.keys.group(group), writer.me
    kept: tuple[Holder, ...] = ()
    if observed and observed.record.holder == me:
        kept = tuple(holder for holder in observed.record.holders if holder != me)
    own = Ownership(me.node, me.session_id, me.session_revision, epoch, "owned", kept, overlap, reason)
    return Txn(
        writer.guarded(
            Compare(key, "mod", observed.mod_revision if observed else 0),
            Compare(writer.keys.config, "mod", config_mod),
            *also,
        ),
        (Put(key, own.to_json()), *map(Delete, cleanup)),
        writer.reads(key),
    )


def epoch_for(observed: Versioned[Ownership] | None, me: Holder, generation: int, read_revision: int) -> int:
    """The epoch of my next ownership of a group observed at `read_revision`; a handoff to me has its own."""
    if observed and observed.record.state == "handoff" and observed.record.holder == me:
        return max(observed.record.epoch, next_epoch(generation, 0, 0))
    return next_epoch(generation, observed.record.epoch if observed else 0, read_revision)


def release(
    writer: Writer,
    group: str,
    observed: Versioned[Ownership],
    cleanup: Sequence[str] = (),
    *,
    holders: tuple[Holder, ...] = (),
    reason: str = "",
    also: Sequence[Operation] = (),
) -> Txn:
    """Release: I have stopped it and promise not to start it before another write of mine. `holders` may still run
    it: in an overlap it is given back to them."""
    key = writer.keys.group(group)
    own = replace(observed.record, state="released", holders=holders, reason=reason or observed.record.reason)
    writes: tuple[Operation, ...] = (Put(key, own.to_json()), *map(Delete, cleanup), *also)
    return Txn(writer.guarded(Compare(key, "mod", observed.mod_revision)), writes, writer.reads(key))


def hand_over(
    writer: Writer, group: str, observed: Versioned[Ownership], to: Holder, epoch: int, *, reason: str, overlap: bool
) -> Txn:
    """Handoff: I have stopped it (or, with overlap, go on until `to` has started); `to` may accept it. Takes the
    operator's request to move the group away: it was for this once."""
    key, keys = writer.keys.group(group), writer.keys
    kept = tuple(holder for holder in observed.record.holders if holder not in (to, writer.me))
    holders = (*kept, writer.me) if overlap else kept
    own = Ownership(to.node, to.session_id, to.session_revision, epoch, "handoff", holders, overlap, reason)
    return Txn(
        writer.guarded(
            Compare(key, "mod", observed.mod_revision), Compare(keys.node(to.node), "create", to.session_revision)
        ),
        (Put(key, own.to_json()), Delete(keys.move(group))),
        writer.reads(key, keys.node(to.node)),
    )


def leave(writer: Writer, group: str, observed: Versioned[Ownership], gone: Sequence[Holder]) -> Txn:
    """The end of an overlap: `gone` have stopped it (I myself) or are safe, and hold it no more."""
    key = writer.keys.group(group)
    own = replace(observed.record, holders=tuple(holder for holder in observed.record.holders if holder not in gone))
    return Txn(
        writer.guarded(Compare(key, "mod", observed.mod_revision)), (Put(key, own.to_json()),), writer.reads(key)
    )


def unmanage(
    writer: Writer, group: str, observed: Versioned[Ownership], asked: Versioned[Maintenance], key: str
) -> Txn:
    """Leave it alone from now on, as the operator `asked` at `key`. A promise: I start it no more before another write
    of mine."""
    own, mine = replace(observed.record, state="unmanaged"), writer.keys.group(group)
    compares = writer.guarded(Compare(mine, "mod", observed.mod_revision), Compare(key, "mod", asked.mod_revision))
    return Txn(compares, (Put(mine, own.to_json()),), writer.reads(mine, key))


def probe(writer: Writer, group: str, group_mod: int = 0, probe_mod: int = 0) -> Txn:
    """Ask every live member whether `group`, which has no owner who watches over it, runs there. `group_mod`,
    `probe_mod`: of its ownership and of an earlier question, 0: there is none."""
    key, probe_of_group = writer.keys.group(group), writer.keys.probe(group)
    return Txn(
        writer.guarded(Compare(key, "mod", group_mod), Compare(probe_of_group, "mod", probe_mod)),
        (Put(probe_of_group, writer.me.session_id),),
        writer.reads(key, probe_of_group),
    )


def unprobed(view: ReadView, observer: ReadObserver, group: str, lease_counts: bool, me: str, now: Instant) -> Verdict:
    """Whether it is known that a group without an ownership record runs nowhere but, perhaps, here: every live
    member has answered the probe, every dead one is safe."""
    verdict = answered(view, group, me)
    if not verdict.safe:
        return verdict
    for node, fence in view.fences.items():
        record = fence.record
        if record.state != "safe" and not (lease_counts and observer.dead_over(node, record, now)):
            return Verdict(False, f"{node} is not known to be stopped")
    return verdict


def answered(view: ReadView, group: str, me: str) -> Verdict:
    """Whether every live member has answered the probe, and it runs on none of them but, perhaps, here."""
    probe_of_group = view.probes.get(group)
    if probe_of_group is None:
        return Verdict(False, "nobody has asked the members yet")
    for key in (*map(view.keys.node, view.unread("nodes")), *map(view.keys.fence, view.unread("fence"))):
        if key.rpartition("/")[2] not in view.sessions:
            return Verdict(False, f"{key} cannot be read: it may run there")
    for node, session in view.sessions.items():
        report = view.reports.get(node)
        if (
            report is None
            or report.record.session_id != session.record.session_id
            or report.record.probes.get(group) != probe_of_group.mod_revision
        ):
            return Verdict(False, f"{node} has not yet said whether it runs here")
        reported = report.record.groups.get(group, {})
        if node == me or reported.get("phase") in ("stopped", "barred"):
            continue  # barred: its state there cannot be told, but hactl has not started it there since that boot
        if reported.get("phase") == "blocked":
            return Verdict(False, f"it cannot be stopped on {node}: {reported.get('reason', '')}")
        return Verdict(False, f"it runs on {node}, outside of any ownership")
    return Verdict(True, "it runs nowhere")
