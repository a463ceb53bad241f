"""What operators plan for one group: `hactl group stop`, `start`, `restart`, `ban`, `clear`. Each is one transaction
that holds only on what was read. Calls block, and raise RefusedError with nothing written, or StoreError."""

from __future__ import annotations

import uuid
from typing import NamedTuple

from election.ownership import session_of
from election.reading import ReadView
from election.records import Ban, Restart, Stop
from election.store import Compare, Delete, Put, Store, Txn
from election.view import Versioned
from fencing.linux.clock import utc
from hactl.admin.errors import BadInputError, HarmError, RefusedError
from hactl.admin.requests import Cleared, GroupRequested
from hactl.admin.transaction import check_node, same_history, wanted_group, write
from hactl.decide.placement.plan import plan
from hactl.decide.planned import off, resting
from hactl.model.cluster import ClusterSpec, GroupSpec
from hactl.model.resources import VipSpec
from hactl.status.clones import clone_status

# The longest that something is planned for: no person counts on more. In ms.
LONGEST_MS = 366 * 86_400_000


class Ending(NamedTuple):
    """When something ends: UTC in ms since 1970 (0: by an operator alone), and in words."""

    until_ms: int = 0
    until: str = ""


def stop(
    store: Store,
    view: ReadView,
    spec: ClusterSpec | None,
    group: str,
    by: str,
    *,
    reason: str = "",
    force: bool = False,
) -> GroupRequested:
    """Have the group run nowhere, until `start`. Raises HarmError, unless `force`, where services end with it."""
    wanted = wanted_group(spec, group)
    assert spec is not None
    node = where(view, group)
    if group in view.stopped:
        return GroupRequested(changed=False, node=node)
    runs = node or (wanted.run == "all" and instances_on(view, spec, wanted))
    if runs and not force and (harm := _harm_of_stopping(spec, wanted)):
        raise HarmError(harm)
    key = view.keys.stopped(group)
    writes = (Put(key, Stop(by, utc(), reason).to_json()), Delete(view.keys.restart(group)))
    revision = write(store, Txn((same_history(view), Compare(key, "mod", 0)), writes), f"group {group}")
    return GroupRequested(changed=True, revision=revision, node=node)


def start(store: Store, view: ReadView, spec: ClusterSpec | None, group: str) -> GroupRequested:
    """Have it run again where it may."""
    known, node = view.stopped.get(group), where(view, group)
    if known is None:
        wanted_group(spec, group)
        return GroupRequested(changed=False, node=node)
    key = view.keys.stopped(group)
    compares = (same_history(view), Compare(key, "mod", known.mod_revision))
    revision = write(store, Txn(compares, (Delete(key),)), f"group {group}")
    return GroupRequested(changed=True, revision=revision, node=node)


def restart(store: Store, view: ReadView, spec: ClusterSpec | None, group: str, by: str) -> GroupRequested:
    """Stop everything of it in reverse order, then start it again on the same node; of a group that runs on every node,
    one instance after the other."""
    wanted = wanted_group(spec, group)
    if wanted.run == "all":
        return _restart_clone(store, view, wanted, by)
    current = view.groups.get(group)
    if view.keys.group(group) in view.unreadable:
        raise RefusedError(f"{view.keys.group(group)} cannot be read: see `hactl status` for what to do first")
    if group in view.stopped:
        raise RefusedError(f"group {group} is stopped: `hactl group start {group}`")
    if current is None or current.record.state == "released":
        raise RefusedError(f"group {group} runs nowhere, so it cannot be restarted: see `hactl status` for why")
    own = current.record
    if own.state == "unmanaged":
        raise RefusedError(f"group {group} is left alone (maintenance): `hactl group manage {group}` first")
    if own.state == "handoff" or own.holders:
        raise RefusedError(f"group {group} is on its way to {own.node}: wait, then look at `hactl status`")
    if session_of(view, own.holder) is None:
        raise RefusedError(f"{own.node}, which has group {group}, is lost: it is taken over as soon as that is safe")
    request, key = Restart(uuid.uuid4().hex[:12], own.epoch, by), view.keys.restart(group)
    compares = (same_history(view), Compare(view.keys.group(group), "mod", current.mod_revision))
    revision = write(store, Txn(compares, (Put(key, request.to_json()),)), f"group {group}")
    return GroupRequested(changed=True, revision=revision, node=own.node)


def _restart_clone(store: Store, view: ReadView, clone: GroupSpec, by: str) -> GroupRequested:
    if reason := off(view, clone):
        todo = f": `hactl group start {clone.name}`" if clone.enabled else ""
        raise RefusedError(f"group {clone.name} is {reason}{todo}")
    if resting(view, clone.name):
        raise RefusedError(f"group {clone.name} is left alone (maintenance): end that first")
    key = view.keys.restart(clone.name)
    request = Restart(uuid.uuid4().hex[:12], 0, by)
    compares = (same_history(view), Compare(key, "mod", view.mod_of(key)))
    revision = write(store, Txn(compares, (Put(key, request.to_json()),)), f"what restarts group {clone.name}")
    return GroupRequested(changed=True, revision=revision)


def ban(
    store: Store,
    view: ReadView,
    spec: ClusterSpec | None,
    group: str,
    node: str,
    by: str,
    *,
    ending: Ending,
    reason: str = "",
    force: bool = False,
) -> GroupRequested:
    """Keep the group off the node until `ending`; it replaces an earlier ban. Raises HarmError, unless `force`, where
    no other node may run the group now."""
    wanted = wanted_group(spec, group)
    assert spec is not None
    check_node(spec, node)
    if wanted.nodes and node not in wanted.nodes:
        raise RefusedError(f"group {group} may not run on {node} anyway: its nodes are {', '.join(wanted.nodes)}")
    request = Ban(by, utc(), *ending, reason)
    if not force and not _candidates_with(spec, wanted, view, node, request):
        raise HarmError(f"no other node may run group {group} now, so the ban would stop it: see `hactl status`")
    leaves = where(view, group)
    if wanted.run == "all":
        leaves = node if node in instances_on(view, spec, wanted) else ""
    key = view.keys.ban(group, node)
    compares = (same_history(view), Compare(key, "mod", view.mod_of(key)))
    revision = write(store, Txn(compares, (Put(key, request.to_json()),)), f"what bans group {group} from {node}")
    return GroupRequested(changed=True, revision=revision, node=leaves, until=ending.until)


def clear(store: Store, view: ReadView, spec: ClusterSpec | None, group: str, node: str) -> Cleared:
    """End the bans of the group from `node`, or ("") from every node."""
    banned = {name.partition("/")[2]: ban for name, ban in view.bans.items() if name.partition("/")[0] == group}
    named = {name: ban for name, ban in banned.items() if node in ("", name)}
    if not named:
        wanted_group(spec, group)
        if node:
            check_node(spec, node)
        return Cleared([])
    keys = {name: view.keys.ban(group, name) for name in named}
    compares = (same_history(view), *(Compare(keys[name], "mod", ban.mod_revision) for name, ban in named.items()))
    revision = write(store, Txn(compares, tuple(map(Delete, keys.values()))), f"what bans group {group}")
    return Cleared(sorted(named), revision)


def ending(for_ms: float, wall_s: float) -> Ending:
    """The end of what begins at this wall time and lasts so long; 0: it has none."""
    if not 0 <= for_ms <= LONGEST_MS:
        raise BadInputError("the duration must be between 0 and 366 days")
    at_s = wall_s + for_ms / 1000
    return Ending(int(at_s * 1000), utc(at_s)) if for_ms else Ending()


def where(view: ReadView, group: str) -> str:
    """The node that has the group; "": none."""
    stored = view.groups.get(group)
    return stored.record.node if stored is not None and stored.record.state != "released" else ""


def instances_on(view: ReadView, spec: ClusterSpec, clone: GroupSpec) -> tuple[str, ...]:
    """The live nodes that are to have an instance of it."""
    instances = clone_status(view, plan(spec, view), clone)["nodes"]
    return tuple(instance["node"] for instance in instances if instance["live"] and instance["wanted"])


def _candidates_with(spec: ClusterSpec, group: GroupSpec, view: ReadView, node: str, request: Ban) -> tuple[str, ...]:
    """The nodes that may run the group once it is banned from this one, too."""
    banned = view.copy()
    banned.bans[f"{group.name}/{node}"] = Versioned(request, 0, 0)
    if group.run == "all":
        return instances_on(banned, spec, group)
    return plan(spec, banned).choice(group.name).candidates


def _harm_of_stopping(spec: ClusterSpec, group: GroupSpec) -> str:
    """What ends with the group, in words; empty: nothing else."""
    parts = []
    if services := _services_behind(spec, group):
        parts.append(f"nobody reaches {', '.join(services)} while group {group.name} is stopped")
    if others := [other.name for other in spec.groups if _needs(other, group.name)]:
        parts.append(f"{', '.join(others)} must run with or after group {group.name}, and stop with it")
    return "; ".join(parts)


def _needs(group: GroupSpec, other: str) -> bool:
    relations = (*group.placing.after, *group.placing.together_with)
    return any(relation.must and relation.group == other for relation in relations)


def _services_behind(spec: ClusterSpec, group: GroupSpec) -> list[str]:
    """The services that end with the group: its owner is their one server, or their address is in it."""
    addresses = {
        resource.options.address.partition("/")[0] for resource in group.resources if isinstance(resource, VipSpec)
    }
    return [
        service.name
        for service in spec.services
        if service.options.enabled
        and (group.name in (service.elected_by, service.follows) or addresses & {_host(bind) for bind in service.binds})
    ]


def _host(bind: str) -> str:
    """The address of a bind: `10.0.0.30:5000`, `[fd00::30]:5000`."""
    return bind.rpartition(":")[0].strip("[]")
