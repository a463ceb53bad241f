"""News of the store, shown to the parts that follow it: this node's session and what it sees of the others. Pure."""

from __future__ import annotations

from election import session
from election.store import Get, KeyValue, Put, Txn
from election.text import printable
from hactl.decide import fencing, namesake, own_session
from hactl.decide.state import NodeState, Out

# So many of the documents that cannot be read are noted one by one.
NOTED = 50


def learned(state: NodeState, changed: list[str], out: Out) -> None:
    """Have the session and the observer look at what changed."""
    kinds = [(*state.keys.kind_of(key), key) for key in changed]
    for kind, name, key in kinds:
        if kind == "nodes" and name != state.node:
            state.observer.on_session(name, state.view.sessions.get(name), out.now)
        elif kind == "nodes":
            _own_session(state, key, out)
    for kind, name, _ in kinds:
        if kind == "fence":
            fence = state.view.fences.get(name)
            fencing.on_change(state, name, out)
            state.observer.on_fence(name, fence.record if fence else None, out.now)
    _unreadable(state, changed, out)


def _unreadable(state: NodeState, changed: list[str], out: Out) -> None:
    """A document that cannot be read is noted once, not again as long as the reason is the same; beyond NOTED they are
    only counted."""
    for key in changed:
        topic, bad = f"unreadable/{key}", state.view.unreadable.get(key)
        if bad is not None and (topic in state.noted or len(state.view.unreadable) <= NOTED):
            out.note_once(topic, "document_unreadable", key=printable(key), problem=bad.problem)
        elif bad is None and state.noted.pop(topic, ""):
            out.note("document_readable", key=printable(key))


def _own_session(state: NodeState, key: str, out: Out) -> None:
    stored = state.view.sessions.get(state.node)
    if state.session.state == "live" and (bad := state.view.unreadable.get(key)) is not None:
        session.overwritten(state.session, bad, out.now)
    elif state.session.state == "live":
        session.seen(state.session, stored, state.view.as_of(key))
    elif stored is not None and state.phase == "closing" and stored.record.session_id == state.opening_session_id:
        # The answer to an opening was lost; this is what became of it.
        own_session.see_opened(state, stored.record.attempt, stored.create_revision, out)
    else:
        namesake.on_session(state, stored, out)


def own_writes(state: NodeState, txn: Txn, revision: int) -> list[str]:
    """Know what a transaction of mine has written, without waiting for the watch. Not of my own session: its
    coming back through the watch is the proof that I am not blind."""
    mine = state.keys.node(state.node)
    changed = []
    for operation in txn.success:
        if isinstance(operation, Get) or operation.key == mine:
            continue
        kv, key = None, operation.key
        if isinstance(operation, Put):
            kv = KeyValue(key, operation.value, state.view.created(key) or revision, revision)
        if state.view.learn(key, kv, revision):
            changed.append(key)
    return changed


def own_writes_seen(state: NodeState) -> None:
    """My last renewal has come back to me: I am not blind."""
    if state.view.revision >= state.session.mod_revision:
        state.unseen_since = None
