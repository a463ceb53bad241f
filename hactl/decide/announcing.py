"""When a group's addresses are announced again after a takeover. Pure.

A node that was frozen and goes on answers questions for its addresses until its guard has taken them off, and stations
that heard it turn to it. It cannot call them back: only the new owner can. So that one announces every second for a
while after it took a group from a node that is not known to be stopped, and for some seconds whenever it sees a sign
of that node: its fence record changes (it has stopped, it was switched off), or its session.
"""

from __future__ import annotations

from election.clock import owner_elapsed
from hactl.decide.local_group import LocalGroup, Takeover
from hactl.decide.state import NodeState, Out
from hactl.model.effects import Announce

EVERY_MS = 1_000.0
# After a takeover, while its old node is not known to be stopped.
AT_FIRST_MS = 60_000.0
AFTER_SIGN_MS = 5_000.0


def taking(state: NodeState, run: LocalGroup, node: str, out: Out) -> None:
    """The group is being taken from a node that did not release it."""
    run.takeover = Takeover(node, out.now, AFTER_SIGN_MS if _stopped(state, node) else AT_FIRST_MS)


def step_announcement(state: NodeState, run: LocalGroup, out: Out) -> None:
    """Announce, if it is time to."""
    takeover = run.takeover
    if takeover is None:
        return
    if state.role(run.spec.name) != "owner":
        if not run.txn:
            run.takeover = None
        return
    sign = _sign(state, takeover.node)
    if takeover.sign is not None and sign != takeover.sign:
        left_ms = 0.0 if _stopped(state, takeover.node) else _left_ms(takeover, out)
        takeover.since, takeover.for_ms, takeover.last = out.now, max(AFTER_SIGN_MS, left_ms), None
    takeover.sign = sign
    if not run.running or _left_ms(takeover, out) <= 0:
        return
    if takeover.last is None or owner_elapsed(takeover.last, out.now) >= EVERY_MS:
        takeover.last = out.now
        out.effects.append(Announce(run.spec.name))


def _left_ms(takeover: Takeover, out: Out) -> float:
    return takeover.for_ms - owner_elapsed(takeover.since, out.now)


def _sign(state: NodeState, node: str) -> tuple[int, int]:
    fence, session = state.view.fences.get(node), state.view.sessions.get(node)
    return fence.mod_revision if fence else 0, session.create_revision if session else 0


def _stopped(state: NodeState, node: str) -> bool:
    fence = state.view.fences.get(node)
    return fence is not None and fence.record.state == "safe"
