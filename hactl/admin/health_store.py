"""The health documents in etcd (`hactl.status.health`). Calls block."""

from __future__ import annotations

from election.keys import Keys
from election.store import Compare, Put, Store, Txn
from hactl.status.health import NodeHealth, decode, encode

TIMEOUT_S = 2.0


def read(store: Store, keys: Keys, *, timeout_s: float = TIMEOUT_S) -> dict[str, NodeHealth]:
    """The newest document of each node by its name, of dead ones as well (`hactl.status.health.stale`). Raises
    StoreError."""
    documents = (decode(kv.value) for kv in store.snapshot(keys.health(""), timeout_s=timeout_s).items)
    return {document.node: document for document in documents if document is not None}


def read_own(store: Store, keys: Keys, node: str) -> NodeHealth | None:
    """The document of one node. Raises StoreError."""
    kv, _ = store.get(keys.health(node), timeout_s=TIMEOUT_S)
    return decode(kv.value) if kv else None


def write(store: Store, keys: Keys, health: NodeHealth, session_revision: int) -> bool:
    """Write this node's document; False: its session, created at `session_revision`, is over. Raises StoreError."""
    mine = Compare(keys.node(health.node), "create", session_revision)
    put = Put(keys.health(health.node), encode(health))
    return store.txn(Txn((mine,), (put,)), timeout_s=TIMEOUT_S).succeeded
