"""`hactl fence confirm` while a fence device is in use (docs/protocol.md, *Fencing*). Pure.

While the word stands nobody begins an action. The executor ends the one that is under way and sees it dead; where the
executor is gone itself its time is awaited. Only then is the record safe, so that nothing hits the node when it is back
(S5). It is carried out by the daemons: an operator who goes away in the middle leaves nothing behind.
"""

from __future__ import annotations

from dataclasses import replace

from election.clock import observer_elapsed
from election.records import Confirm, FenceRecord
from election.store import Delete
from election.view import Versioned
from hactl.decide.fencing import confirmed, in_flight, is_executor, write, writing
from hactl.decide.state import NodeState, Out
from hactl.model.effects import FenceCancel
from hactl.model.purposes import Purpose


def step_confirmations(state: NodeState, out: Out) -> None:
    """Carry out every word that was given."""
    if state.session.state != "live" or state.blind(out.now):
        return
    for node, word in list(state.view.confirms.items()):
        fence = state.view.fences.get(node)
        if fence is not None and confirmed(state.view, node, fence.record):
            _carry_out(state, node, fence, word.record, out)
        elif not state.view.bad_fence(node):
            _forget(state, node, word, out)


def _carry_out(state: NodeState, node: str, fence: Versioned[FenceRecord], word: Confirm, out: Out) -> None:
    work = state.fencing.get(node)
    if fence.record.state == "acting" and is_executor(state, fence.record):
        if writing(state, node) or (work is not None and work.until is not None):
            return  # an action may be begun by the answer
        if work is not None and work.action:
            if work.cancelled != work.action:
                work.cancelled = work.action
                out.effects.append(FenceCancel(work.action))
                out.note("fence_action_ended", node=node, by=word.by)
            return
    elif in_flight(state, node, fence, out.now):
        return
    seen = state.fence_seen.get(node)
    my_turn = seen is not None and observer_elapsed(seen[1], out.now) >= state.turn_ms
    if (my_turn or is_executor(state, fence.record)) and state.observer.dead_over(node, fence.record, out.now):
        safe = replace(fence.record, state="safe", evidence="confirmed", by=word.by, executor="")
        write(state, node, fence, safe, Purpose.FENCE_SAFE, out, Delete(state.keys.confirm(node)))


def _forget(state: NodeState, node: str, word: Versioned[Confirm], out: Out) -> None:
    """A word about a session that is known to be stopped, or that is not the last one any more: it was of no use."""
    if min(state.view.sessions, default="") != state.node:
        return
    if not state.sending(Purpose.CONFIRM_SPENT, name=node):
        out.send(Purpose.CONFIRM_SPENT, state.writer.delete(state.keys.confirm(node), word.mod_revision), name=node)
