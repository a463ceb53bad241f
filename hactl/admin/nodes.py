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
    here = [group for group in spec.groups if _is_on(view, group.name, node)]
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
    """End a node's standby, have its servers get new connections again, and forget what failed there: it has been
    looked after. False: it was in use."""
    failed = [view.keys.failure(key.rpartition("/")[0], node) for key in view.failures if key.endswith(f"/{node}")]
    keys = (view.keys.standby(node), view.keys.drain(ALL, node), *failed)
    there = [found for key in keys if (found := store.get(key, timeout_s=TIMEOUT_S)[0]) is not None]
    if not there:
        check_node(spec, node)
        return False
    compares = (same_history(view), *(Compare(found.key, "mod", found.mod_revision) for found in there))
    write(store, Txn(compares, tuple(Delete(found.key) for found in there)), f"standby of {node}")
    return True


def _is_on(view: ReadView, group: str, node: str) -> bool:
    found = view.groups.get(group)
    return found is not None and found.record.node == node and found.record.state == "owned"
