"""Carrying out what operators have planned: a restart in place, and the end of what ends by itself. Pure.

Placement reads no clock: a ban ends by a write, of a node whose clock says that its time is over.
"""

from __future__ import annotations

from collections.abc import Iterator

from election.reading import ReadView
from election.records import Ownership
from hactl.decide.local_group import LocalGroup
from hactl.decide.state import NodeState, Out
from hactl.model.purposes import Purpose


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


def _ending(view: ReadView) -> Iterator[tuple[str, int, int]]:
    """Key, end and revision of everything that may end by itself."""
    for name, ban in view.bans.items():
        yield view.keys.ban(*name.split("/", 1)), ban.record.until_ms, ban.mod_revision
    for name, maintenance in view.maintenance.items():
        yield view.keys.maintenance(name), maintenance.record.until_ms, maintenance.mod_revision
