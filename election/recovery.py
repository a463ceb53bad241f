"""Beginning a store's history, and beginning it anew after a restore or a loss (docs/protocol.md, *Identity*). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from election.keys import Keys
from election.reading import ReadView
from election.records import FenceRecord, Identity
from election.store import Compare, Condition, Delete, Get, Operation, Put, Txn


def init(keys: Keys, uuid: str, config: str) -> Txn:
    """Begin: only where there is no identity yet."""
    return Txn(
        (Compare(keys.identity, "create", 0), Compare(keys.config, "create", 0)),
        (Put(keys.identity, Identity(uuid, 1).to_json()), Put(keys.config, config)),
        (Get(keys.identity), Get(keys.config)),
    )


def recover(
    view: ReadView,
    uuid: str,
    known_generation: int,
    nodes: Iterable[str],
    lease_ms: int,
    config: str,
    *,
    lost: bool = False,
) -> Txn:
    """Begin anew: the generation rises above all that is known, and with it every epoch; the whole past of every
    node is unknown until it attests or is confirmed. `config`: used where the store has lost its own; `lost`: it has,
    as nobody can read it."""
    keys = view.keys
    generation = max(known_generation, view.identity.record.generation if view.identity else 0) + 1
    unread = (*view.unread("nodes"), *view.unread("fence"), *view.unread("members"))
    names = sorted({*nodes, *view.sessions, *view.fences, *view.members, *unread})
    longest = max([lease_ms, *(known.record.lease_ms for known in view.sessions.values())])
    compares: list[Condition] = [view.same_history]
    writes: list[Operation] = [Put(keys.identity, Identity(uuid, generation).to_json())]
    for name in names:
        fence, session = view.fences.get(name), view.created(keys.node(name))
        compares.append(Compare(keys.node(name), "create", session))
        compares.append(Compare(keys.fence(name), "mod", view.mod_of(keys.fence(name))))
        # Any session in this store has a lower number than the revision that this transaction will get.
        record = FenceRecord("", view.revision + 1, 0, longest, "", "", "pending", by="recover", generation=generation)
        if fence and (old := fence.record).state == "acting":
            # A device may be used on it just now: it is not to come back before that is over (S5).
            record = replace(
                record, state="acting", executor=old.executor, attempts=old.attempts, action_ms=old.action_ms
            )
        writes.append(Put(keys.fence(name), record.to_json()))
        if session:
            writes.append(Delete(keys.node(name)))
    if view.config is None or lost:
        compares.append(Compare(keys.config, "mod", view.config.mod_revision if view.config else 0))
        writes.append(Put(keys.config, config))
    return Txn(tuple(compares), tuple(writes), (Get(keys.identity),))
