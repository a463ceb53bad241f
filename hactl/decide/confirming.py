"""`hactl fence confirm` while a fence device is in use (docs/protocol.md, *Fencing*). Pure.

While the word stands nobody begins an action. The executor ends the one that is under way and sees it dead; where the
executor is gone itself its time is awaited. Only then is the record safe, so that nothing hits the node when it is back
(S5). It is carried out by the daemons: an operator who goes away in the middle leaves nothing behind.
"""

from __future__ import annotations

from dataclasses import replace

from election.clock import observer_elapsed
from election.records import Confirm, FenceRecord
from election.store import Compare, Delete, Txn
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
        found = state.view.fences.get(node)
        if state.view.bad_fence(node):
            continue
        if found is not None and confirmed(state.view, node, found.record):
            _carry_out(state, node, found, word.record, out)
        else:
            _forget(state, node, word, out)


def _carry_out(state: NodeState, node: str, found: Versioned[FenceRecord], word: Confirm, out: Out) -> None:
    work = state.fencing.get(node)
    if found.record.state == "acting" and is_executor(state, found.record):
        if writing(state, node) or (work is not None and work.until is not None):
            return  # an action may be begun by the answer
        if work is not None and work.action:
            if work.cancelled != work.action:
                work.cancelled = work.action
                out.effects.append(FenceCancel(work.action))
                out.note("fence_action_ended", node=node, by=word.by)
            return
    elif in_flight(state, node, found, out.now):
        return
    seen = state.fence_seen.get(node)
    my_turn = seen is not None and observer_elapsed(seen[1], out.now) >= state.turn_ms
    if (my_turn or is_executor(state, found.record)) and state.observer.dead_over(node, found.record, out.now):
        safe = replace(found.record, state="safe", evidence="confirmed", by=word.by, executor="")
        write(state, node, found, safe, Purpose.FENCE_SAFE, out, Delete(state.keys.confirm(node)))


def _forget(state: NodeState, node: str, word: Versioned[Confirm], out: Out) -> None:
    """A word about a session that is known to be stopped, or that is not the last one any more: it was of no use."""
    if min(state.view.sessions, default="") != state.node:
        return
    key = state.keys.confirm(node)
    if not state.sending(Purpose.CONFIRM_SPENT, name=node):
        txn = Txn(state.writer.guarded(Compare(key, "mod", word.mod_revision)), (Delete(key),), state.writer.reads(key))
        out.send(Purpose.CONFIRM_SPENT, txn, name=node)
