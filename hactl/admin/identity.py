"""`hactl init` and `hactl recover`: where a cluster's history begins, and where it begins anew."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from election import recovery
from election.keys import Keys
from election.reading import ReadView
from election.records import Identity, RecordError
from election.store import Put, Store, StoreError, StoreRefusedError
from hactl.admin.errors import RefusedError
from hactl.admin.transaction import TIMEOUT_S


def init(store: Store, cluster: str, document: str) -> Identity:
    """Begin a cluster's history with the stored configuration `document`."""
    keys, identity = Keys.of(cluster), Identity(str(uuid.uuid4()), 1)
    txn = recovery.init(keys, identity.uuid, document)
    txn = txn._replace(success=(*txn.success, Put(keys.config_history(1), document)))
    try:
        answer = store.txn(txn, timeout_s=TIMEOUT_S)
    except StoreRefusedError:
        raise
    except StoreError:
        # Lost answers: mine or not is told by the uuid, which is nobody else's.
        found, _ = store.get(keys.identity, timeout_s=TIMEOUT_S)
        if found is not None and _identity(found.value, found.key).uuid == identity.uuid:
            return identity
        raise
    if answer.succeeded:
        return identity
    there = answer.reads[keys.identity]
    if there is None:
        raise RefusedError(
            f"{keys.config} is there, but no identity: it was a cluster and has lost it; `hactl recover`"
        )
    known = _identity(there.value, there.key)
    raise RefusedError(
        f"there is a cluster `{cluster}` in this store already (uuid {known.uuid}, generation {known.generation}); "
        "to change its configuration: `hactl config apply FILE`"
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
    """Begin the history anew; the new generation. `nodes`: all that may ever have run something; `lease_ms`: the
    longest lease of theirs. `document`: the stored configuration, for where the store has lost its own; `lost`: it
    has, as nobody can read it."""
    if (view.config is None or lost) and not document:
        raise RefusedError("the store has lost its configuration: give the file, `hactl recover CLUSTER_YAML`")
    begun = str(uuid.uuid4())
    txn = recovery.recover(view, begun, known_generation, nodes, int(lease_ms), document, lost=lost)
    answer = store.txn(txn, timeout_s=TIMEOUT_S)
    if not answer.succeeded:
        raise RefusedError("the store changed meanwhile (a daemon opened a session): try again")
    found, _ = store.get(view.keys.identity, timeout_s=TIMEOUT_S)
    return _identity(found.value, found.key).generation if found else 0


def _identity(text: str, key: str) -> Identity:
    try:
        return Identity.from_json(text, key)
    except RecordError as error:
        raise RefusedError(f"{error}: `hactl recover` begins anew") from None
