"""`hactl failover`: a planned move of a group, requested and withdrawn."""

from __future__ import annotations

import uuid

from election.keys import Keys
from election.ownership import session_of
from election.reading import ReadView
from election.records import Move, RecordError, Scheduled
from election.store import Compare, Delete, Operation, Put, Store, Txn
from fencing.linux.clock import utc
from hactl.admin.errors import BadInputError, RefusedError
from hactl.admin.planned import LONGEST_MS, where
from hactl.admin.requests import GroupRequested
from hactl.admin.transaction import TIMEOUT_S, check_node, exclusive_group, same_history, wanted_group, write
from hactl.decide.placement.plan import plan
from hactl.decide.readiness import reported
from hactl.model.cluster import ClusterSpec, GroupSpec


def failover(store: Store, view: ReadView, spec: ClusterSpec | None, group: str, to: str, by: str) -> tuple[Move, int]:
    """Request one move of `group`, to the node `to` or ("") to the best other one. Returns the request and the revision
    at which it was written. It replaces an earlier request. Naming a node on which the group failed says that this is
    repaired: the failure is forgotten."""
    keys, current = view.keys, view.groups.get(group)
    wanted = exclusive_group(spec, group)
    assert spec is not None
    if to:
        check_node(spec, to)
    if keys.group(group) in view.unreadable:
        raise RefusedError(f"{keys.group(group)} cannot be read: see `hactl status` for what to do first")
    if current is None or current.record.state == "released":
        raise RefusedError(f"group {group} runs nowhere, so it cannot be moved: see `hactl status` for why")
    own = current.record
    if own.state == "unmanaged":
        raise RefusedError(f"group {group} is left alone (maintenance): end that first")
    if own.state == "handoff":
        raise RefusedError(f"group {group} is on its way to {own.node} already: wait, then look at `hactl status`")
    if session_of(view, own.holder) is None:
        raise RefusedError(f"{own.node}, which has group {group}, is lost: it is taken over as soon as that is safe")
    if to == own.node:
        raise RefusedError(f"group {group} is on {to} already")
    forgotten = _check_target(spec, wanted, view, own.node, to)
    move = Move(uuid.uuid4().hex[:12], to, own.node, own.session_revision, by)
    compares = (
        same_history(view),
        Compare(keys.group(group), "mod", current.mod_revision),
        Compare(keys.move(group), "mod", view.mod_of(keys.move(group))),
    )
    writes: tuple[Operation, ...] = (Put(keys.move(group), move.to_json()), *(Delete(key) for key in forgotten))
    return move, write(store, Txn(compares, writes), f"group {group}")


def schedule(
    store: Store, view: ReadView, spec: ClusterSpec | None, group: str, to: str, by: str, at_s: float, wall_s: float
) -> GroupRequested:
    """Request one move of `group` at the wall time `at_s`, to the node `to` or ("") to the best other one; it replaces
    an earlier request for the same. Whether it may go there is looked at then."""
    wanted = exclusive_group(spec, group)
    if to:
        check_node(spec, to)
        if wanted.nodes and to not in wanted.nodes:
            raise RefusedError(f"group {group} may not run on {to}: its nodes are {', '.join(wanted.nodes)}")
    if not wall_s < at_s <= wall_s + LONGEST_MS / 1000:
        raise BadInputError(f"the time must be later than now ({utc(wall_s)}), and within a year")
    key, at = view.keys.scheduled(group), utc(at_s)
    request = Scheduled(uuid.uuid4().hex[:12], to, int(at_s * 1000), at, by)
    compares = (same_history(view), Compare(key, "mod", view.mod_of(key)))
    revision = write(store, Txn(compares, (Put(key, request.to_json()),)), f"what is scheduled for group {group}")
    return GroupRequested(changed=True, revision=revision, node=where(view, group), until=at)


def cancel(store: Store, view: ReadView, spec: ClusterSpec | None, group: str) -> bool:
    """Take back what was scheduled; False: there was nothing."""
    known, key = view.scheduled.get(group), view.keys.scheduled(group)
    if known is None:
        wanted_group(spec, group)
        return False
    write(
        store,
        Txn((same_history(view), Compare(key, "mod", known.mod_revision)), (Delete(key),)),
        f"what is scheduled for group {group}",
    )
    return True


def withdraw(store: Store, keys: Keys, group: str, move_id: str) -> bool:
    """Withdraw a request; False: it is not there any more (carried out, refused, or replaced)."""
    request, _ = store.get(keys.move(group), timeout_s=TIMEOUT_S)
    try:
        if request is None or Move.from_json(request.value, request.key).id != move_id:
            return False
    except RecordError:
        return False
    txn = Txn((Compare(request.key, "mod", request.mod_revision),), (Delete(request.key),))
    return store.txn(txn, timeout_s=TIMEOUT_S).succeeded


def _check_target(spec: ClusterSpec, group: GroupSpec, view: ReadView, owner: str, to: str) -> list[str]:
    """The keys of the failures that the move forgets. Raises RefusedError where the group may not go there."""
    choice, failure = plan(spec, view).choice(group.name), f"{group.name}/{to}"
    if to and to not in choice.candidates and failure in view.failures:
        forgiving = view.copy()
        del forgiving.failures[failure]
        choice = plan(spec, forgiving).choice(group.name)
        if to in choice.candidates:
            return [view.keys.failure(group.name, to)]
    if to and to not in choice.candidates:
        raise RefusedError(f"group {group.name} may not run on {to}: {choice.excluded.get(to, 'not eligible')}")
    if not to and choice.best_but(owner) is None:
        why = "; ".join(f"{name}: {reason}" for name, reason in choice.excluded.items())
        raise RefusedError(f"no other node may run group {group.name}: {why or 'it has one node only'}")
    target = to or choice.best_but(owner) or ""
    there = reported(view, group.name, target)
    if there.badness > reported(view, group.name, owner).badness:
        raise RefusedError(f"{target} is not well for group {group.name}, which would leave it again: {there.why}")
    return []
