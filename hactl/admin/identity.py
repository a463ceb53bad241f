"""`hactl init` and `hactl recover`: where a cluster's history begins, and where it begins anew."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path

from election import recovery
from election.keys import Keys
from election.reading import ReadView
from election.records import Identity, RecordError
from election.store import KeyValue, Put, Store, StoreError, StoreRefusedError
from hactl.admin.errors import RefusedError
from hactl.admin.transaction import TIMEOUT_S
from hactl.config.node import IDENTITY_FILE


def init(store: Store, cluster: str, document: str, state_dir: str) -> Identity:
    """Begin a cluster's history with the stored configuration `document`. Raises RefusedError, StoreError. `state_dir`:
    where this node's daemon keeps what it knows."""
    keys, identity = Keys.of(cluster), Identity(str(uuid.uuid4()), 1)
    _refuse_after_a_loss(store, keys, cluster, state_dir)
    txn = recovery.init(keys, identity.uuid, document)
    txn = txn._replace(success=(*txn.success, Put(keys.config_history(1), document)))
    try:
        answer = store.txn(txn, timeout_s=TIMEOUT_S)
    except StoreRefusedError:
        raise
    except StoreError:
        # The answer is lost: the unique uuid tells whether the write was mine.
        current, _ = store.get(keys.identity, timeout_s=TIMEOUT_S)
        if current is not None and _identity(current).uuid == identity.uuid:
            return identity
        raise
    if answer.succeeded:
        return identity
    current = answer.reads[keys.identity]
    if current is None:
        raise RefusedError(
            f"{keys.config} is there, but no identity: it was a cluster and has lost it; `hactl recover`"
        )
    known = _identity(current)
    raise RefusedError(
        f"there is a cluster `{cluster}` in this store already (uuid {known.uuid}, generation {known.generation}); "
        "to change its configuration: `hactl config apply FILE`"
    )


def _refuse_after_a_loss(store: Store, keys: Keys, cluster: str, state_dir: str) -> None:
    """The nodes of a cluster whose etcd lost everything refuse the history that `init` would begin."""
    file = Path(state_dir, IDENTITY_FILE)
    if file.exists() and store.get(keys.identity, timeout_s=TIMEOUT_S)[0] is None:
        raise RefusedError(
            f"this node was in the cluster `{cluster}` before ({file}), and etcd has lost it: "
            "`hactl recover CLUSTER_YAML` goes on with it; for another one in its place: docs/install.md, *Begin again*"
        )


def recover(
    store: Store,
    view: ReadView,
    known_generation: int,
    nodes: Iterable[str],
    lease_ms: float,
    document: str,
    *,
    lost: bool = False,
) -> int:
    """Begin the history anew; the new generation. `nodes`: all nodes that may ever have run something; `lease_ms`:
    their longest lease. `document`: the stored configuration, for a store that has lost its own; `lost`: it counts as
    lost, as nobody can read it."""
    if (view.config is None or lost) and not document:
        raise RefusedError("the store has lost its configuration: give the file, `hactl recover CLUSTER_YAML`")
    txn = recovery.recover(view, str(uuid.uuid4()), known_generation, nodes, int(lease_ms), document, lost=lost)
    if not store.txn(txn, timeout_s=TIMEOUT_S).succeeded:
        raise RefusedError("the store changed meanwhile (a daemon opened a session): try again")
    current, _ = store.get(view.keys.identity, timeout_s=TIMEOUT_S)
    return _identity(current).generation if current else 0


def _identity(kv: KeyValue) -> Identity:
    try:
        return Identity.from_json(kv.value, kv.key)
    except RecordError as error:
        raise RefusedError(f"{error}: `hactl recover` begins anew") from None
