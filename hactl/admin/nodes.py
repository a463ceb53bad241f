"""`hactl node standby` and `online`."""

from __future__ import annotations

from election.reading import ReadView
from election.store import Compare, Delete, Put, Store, Txn
from hactl.admin.errors import RefusedError
from hactl.admin.transaction import TIMEOUT_S, check_node, same_history, write
from hactl.decide.placement import place
from hactl.decide.routing import ALL
from hactl.model.cluster import ClusterSpec


def standby(
    store: Store,
    view: ReadView,
    spec: ClusterSpec | None,
    node: str,
    by: str,
    *,
    force: bool = False,
    check: bool = False,
) -> list[str]:
    """Have every group leave `node`; the groups that it has now. Refused, unless `force`, when one of them could
    run nowhere else: it would be stopped. `check`: only look whether it would be refused."""
    check_node(spec, node)
    assert spec is not None
    owned = [name for name, kv in view.groups.items() if kv.record.node == node and kv.record.state == "owned"]
    here = [group for group in spec.groups if group.name in owned]
    stuck = [group.name for group in here if place(spec, group, view).best_but(node) is None]
    if stuck and not force:
        raise RefusedError(
            f"no other node may run {', '.join(stuck)} now, so standby would stop it: see `hactl status`; "
            "`--force` does it all the same"
        )
    if check or node in view.standby:
        return [group.name for group in here]
    txn = Txn((same_history(view), Compare(view.keys.standby(node), "mod", 0)), (Put(view.keys.standby(node), by),))
    write(store, txn, f"standby of {node}")
    return [group.name for group in here]


def online(store: Store, view: ReadView, spec: ClusterSpec | None, node: str) -> bool:
    """End a node's standby, have its servers get new connections again, and forget its failures: it has been repaired.
    False: it was in use."""
    failed = [view.keys.failure(key.rpartition("/")[0], node) for key in view.failures if key.endswith(f"/{node}")]
    keys = (view.keys.standby(node), view.keys.drain(ALL, node), *failed)
    present = [kv for key in keys if (kv := store.get(key, timeout_s=TIMEOUT_S)[0]) is not None]
    if not present:
        check_node(spec, node)
        return False
    compares = (same_history(view), *(Compare(kv.key, "mod", kv.mod_revision) for kv in present))
    write(store, Txn(compares, tuple(Delete(kv.key) for kv in present)), f"standby of {node}")
    return True
