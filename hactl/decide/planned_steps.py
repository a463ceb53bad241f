"""Carrying out what operators have planned: a restart in place, and the end of what ends by itself. Pure.

Placement reads no clock: a ban ends by a write, of a node whose clock says that its time is over.
"""

from __future__ import annotations

from collections.abc import Iterator

from election.reading import ReadView
from election.records import Move, Ownership
from election.store import Compare, Delete, Put, Txn
from hactl.decide.local_group import LocalGroup
from hactl.decide.planned import all_maintenance, key_of
from hactl.decide.state import NodeState, Out
from hactl.model.purposes import Purpose

# A move that was to begin longer ago than this is not begun any more, in ms.
LATEST_MS = 600_000.0
_LATE = "its time was over before it could begin"


def restarts(state: NodeState, run: LocalGroup, own: Ownership, out: Out) -> bool:
    """Whether the owner is to bring the group down, for the operator's request to restart it. Once everything is
    stopped it is brought up again, and then the request is deleted; so is one of another ownership."""
    name = run.spec.name
    request = state.view.restarts.get(name)
    if request is None:
        return False
    if request.record.epoch == own.epoch:
        if run.restarted != request.mod_revision:
            if not run.stopped:
                return True
            run.restarted, run.retry_at = request.mod_revision, None
            out.note("group_restarts", group=name, by=request.record.by)
        if not run.running:
            return False
    if not state.sending(Purpose.RESTARTED, name=name):
        out.send(Purpose.RESTARTED, state.writer.delete(state.keys.restart(name), request.mod_revision), name=name)
    return False


def end_planned(state: NodeState, out: Out) -> None:
    """Delete what has come to its end: the first live node by name, each next one a heartbeat later."""
    wall_ms = state.wall_ms(out.now)
    if wall_ms is None or state.session.state != "live":
        return
    for key, until_ms, mod_revision in _ending(state.view):
        if not until_ms or wall_ms < until_ms + state.turn_ms or state.sending(Purpose.PLANNED_OVER, name=key):
            continue
        out.send(Purpose.PLANNED_OVER, state.writer.delete(key, mod_revision), name=key)


def begin_moves(state: NodeState, out: Out) -> None:
    """Of each group that this node owns, and that an operator wants moved at a time that has come: put the request to
    move it now in that one's place. One for which there was no owner, or that was left alone, for too long is void."""
    wall_ms = state.wall_ms(out.now)
    if wall_ms is None or state.session.state != "live":
        return
    for group, known in state.view.scheduled.items():
        record, own = known.record, state.view.groups.get(group)
        late_ms = wall_ms - record.at_ms
        if late_ms < 0 or state.role(group) != "owner" or own is None or own.record.holders:
            continue
        if state.sending(Purpose.SCHEDULED, name=group):
            continue
        problem = "it runs there already" if record.to == state.node else _LATE if late_ms > LATEST_MS else ""
        writes: tuple[Put | Delete, ...] = (Delete(state.keys.scheduled(group)),)
        if not problem:
            move = Move(record.id, record.to, state.node, state.session.session_revision, record.by)
            writes = (*writes, Put(state.keys.move(group), move.to_json()))
        compares = state.writer.guarded(
            Compare(state.keys.scheduled(group), "mod", known.mod_revision),
            Compare(state.keys.group(group), "mod", own.mod_revision),
        )
        out.send(Purpose.SCHEDULED, Txn(compares, writes, state.writer.reads(state.keys.scheduled(group))), name=group)
        if problem:
            out.note("move_refused", group=group, to=record.to, reason=problem, id=record.id)


def _ending(view: ReadView) -> Iterator[tuple[str, int, int]]:
    """Key, end and revision of everything that may end by itself."""
    for name, ban in view.bans.items():
        yield view.keys.ban(*name.split("/", 1)), ban.record.until_ms, ban.mod_revision
    for scope, maintenance in all_maintenance(view).items():
        yield key_of(view.keys, scope), maintenance.record.until_ms, maintenance.mod_revision
