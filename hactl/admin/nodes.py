"""`hactl node standby` and `online`; what is left of a node that is gone for good."""

from __future__ import annotations

from collections.abc import Mapping

from election.reading import ReadView
from election.store import Compare, Delete, Put, Store, Txn
from hactl.admin.errors import HarmError, RefusedError
from hactl.admin.planned import instances_on
from hactl.admin.transaction import TIMEOUT_S, check_node, same_history, write
from hactl.decide.placement.plan import plan
from hactl.decide.routing import ALL
from hactl.model.cluster import ClusterSpec

# etcd takes 128 operations a transaction (its `--max-txn-ops`).
_AT_ONCE = 100


def standby(
    store: Store,
    view: ReadView,
    spec: ClusterSpec | None,
    node: str,
    by: str,
    *,
    force: bool = False,
    check: bool = False,
) -> tuple[list[str], int]:
    """Have every group leave `node`; the groups that it has now, and the revision at which that was written (0: it was
    so already). Refused, unless `force`, when one of them could run nowhere else: it would be stopped. `check`: only
    look whether it would be refused."""
    check_node(spec, node)
    assert spec is not None
    owned = [name for name, kv in view.groups.items() if kv.record.node == node and kv.record.state == "owned"]
    here = [group for group in spec.groups if group.name in owned]
    planned = plan(spec, view)
    stuck = [group.name for group in here if planned.choice(group.name).best_but(node) is None]
    clones = [clone for clone in spec.clones if node in instances_on(view, spec, clone)]
    stuck += [clone.name for clone in clones if instances_on(view, spec, clone) == (node,)]
    here += clones
    if stuck and not force:
        raise HarmError(f"no other node may run {', '.join(stuck)} now, so standby would stop it: see `hactl status`")
    if check or node in view.standby:
        return [group.name for group in here], 0
    txn = Txn((same_history(view), Compare(view.keys.standby(node), "mod", 0)), (Put(view.keys.standby(node), by),))
    return [group.name for group in here], write(store, txn, f"standby of {node}")


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


def remembered(view: ReadView, node: str) -> list[str]:
    """The keys that are about `node` alone and outlive its last session. Its fence record is among them once it is safe
    and no group names that session: others could not know any more that it runs nothing."""
    keys = view.keys
    single: dict[str, Mapping[str, object]] = {
        keys.member(node): view.members,
        keys.report(node): view.reports,
        keys.devices(node): view.devices,
        keys.refused(node): view.refusals,
        keys.standby(node): view.standby,
        keys.node_maintenance(node): view.node_maintenance,
        keys.confirm(node): view.confirms,
    }
    named = [key for key, known in single.items() if node in known or key in view.unreadable]
    named += [keys.drain(*drain.split("/", 1)) for drain in view.drains if drain.endswith(f"/{node}")]
    named += [keys.failure(*failure.split("/", 1)) for failure in view.failures if failure.endswith(f"/{node}")]
    fence = view.fences.get(node)
    needed = any(holder.node == node for group in view.groups.values() for holder in group.record.runners)
    if fence is not None and fence.record.state == "safe" and not needed:
        named.append(keys.fence(node))
    return named


def forget(store: Store, view: ReadView, spec: ClusterSpec | None, node: str) -> bool:
    """Delete what the cluster remembers of a node that is gone for good, up to a hundred keys at once; False: it
    remembers nothing. Refused while the node is configured, or has a session."""
    if spec is None or any(known.name == node for known in spec.nodes):
        raise RefusedError(f"{node} is a node of the cluster: take it out of cluster.yaml first")
    if node in view.sessions or view.bad_node(node):
        raise RefusedError(f"{node} is alive: stop hactl there first")
    named = remembered(view, node)
    if not named:
        return False
    compares = (
        same_history(view),
        Compare(view.keys.config, "mod", view.mod_of(view.keys.config)),
        Compare(view.keys.node(node), "create", 0),
        Compare(view.keys.fence(node), "mod", view.mod_of(view.keys.fence(node))),
    )
    writes = tuple(Delete(key) for key in (*named[:_AT_ONCE], view.keys.health(node)))
    write(store, Txn(compares, writes), f"what is known of {node}")
    return True
