"""What is learned of the store, shown to those who follow it: this node's session and what it sees of the others.
Pure."""

from __future__ import annotations

from election import session
from election.store import Get, KeyValue, Put, Txn
from hactl.decide import fencing, lifecycle, namesake
from hactl.decide.state import NodeState, Out


def learned(state: NodeState, changed: list[str], out: Out) -> None:
    """Have the session and the observer look at what changed."""
    for key in changed:
        kind, *rest = state.keys.split(key)
        if kind == "nodes" and rest[0] != state.node:
            state.observer.saw_session(rest[0], state.view.sessions.get(rest[0]), out.now)
        elif kind == "nodes":
            _own_session(state, key, out)
    for key in changed:
        kind, *rest = state.keys.split(key)
        if kind == "fence":
            fence = state.view.fences.get(rest[0])
            fencing.saw(state, rest[0], out)
            state.observer.saw_fence(rest[0], fence.record if fence else None, out.now)


def _own_session(state: NodeState, key: str, out: Out) -> None:
    found = state.view.sessions.get(state.node)
    if state.session.state == "live":
        session.seen(state.session, found, state.view.as_of(key))
    elif found is not None and state.phase == "closing" and found.record.sid == state.opening_sid:
        # The answer to an opening was lost; this is what became of it.
        lifecycle.see_opened(state, found.record.attempt, found.create, out)
    else:
        namesake.saw(state, found, out)


def own_writes(state: NodeState, txn: Txn, revision: int) -> list[str]:
    """Know what a transaction of mine has written, without waiting for the watch. Not of my own session: its
    coming back through the watch is the proof that I am not blind."""
    mine = state.keys.node(state.node)
    changed = []
    for item in txn.success:
        if isinstance(item, Get) or item.key == mine:
            continue
        kv = (
            KeyValue(item.key, item.value, state.view.created(item.key) or revision, revision)
            if isinstance(item, Put)
            else None
        )
        if state.view.learn(item.key, kv, revision):
            changed.append(item.key)
    return changed


def own_writes_seen(state: NodeState) -> None:
    """My last renewal has come back to me: I am not blind."""
    if state.view.revision >= state.session.mod_rev:
        state.unseen_since = None
