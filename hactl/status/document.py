"""The cluster's state as one JSON-able document, for `hactl status` and the API. Pure.

Made of what the store holds, by the same rules everywhere; what only a daemon knows comes as `Local`. The keys of
the document stay; later versions of hactl add to them, and raise `version` when they change what is there.

- `version`, `cluster`, `generation`, `revision` (of the store), `source` (`daemon` or `etcd`), `asked` (the node)
- `warnings`: `level` (`error`, `warning`, `notice`), `what`, `do`; the worst first
- `nodes`: `name`, `address`, `version`, `state` (NODE_STATES, or `absent`: never seen), `sid`, `srev`, `boot` (an id),
  `runs` (groups), `instances` (clones of which something is there), `config_revision`, `config_current`,
  `silent_ms` (as this daemon sees it), `me`, `fencing` (None, or
  `action`, `levels`, `device`, `by`: who could fence it now, `untested`), `troubles` (what does not work there, by
  source: `what`, `do`, `since`), `checks` (its health checks: `name`, `ok`, `then`, `groups`, `text`, `since`,
  and `value` where there is one)
- `devices`: what each live node found when it tested the fence devices: `node`, `test`, `at`, `targets`
- `groups`: `name`, `state` (see `group_state`), `owner`, `phase`, `epoch`, `generation`, `number`, `holders`,
  `blocked` (None, or `node`, `text`, `do`: nobody starts it), `held` (the same: it stays there),
  `fenced_for` (the node that had itself fenced for it, and why; "": none), `vips`,
  `client_views` (how the other nodes see its address: `epoch`, `level` well, failed or unreached, `why`),
  `resources`, `waiting` (why it does not run),
  `reason` (of its ownership), `candidates`, `excluded`,
  `readiness` (of the nodes that are not ready for it: `level`, `why`), `stopped` (None, or `by`, `at`, `reason`: an
  operator wants it to run nowhere), `bans` (`node`, `by`, `at`, `until`, `reason`), `restarting`,
  `maintenance` (None, or `by`, `at`, `until`, `reason`: it is left alone)
- `clones`: the groups that run on every node: `name`, `state` (one word, see `hactl/status/clones.py`), `running` of
  `wanted` instances, `enabled`, `configured`, `resources` (`name`, `kind`), `nodes` (on each: `node`, `live`, `wanted`,
  `why_not`, `state`, `phase`, `resources`, `reason`, `given_up`, `leaving`, `alone`, `outdated`, `restarted`);
  `stopped`, `bans`, `maintenance`, `restarting` as of a group. `groups` are those that run on one node at a time
- `balancers`: HAProxy on each node: `node`, `live`, `wanted` (it is to run there), `told` (what follows is known),
  `running`, `version`, `error`, `at`
- `services`: `name`, `mode`, `binds`, `enabled`, `writer` (None: it has none to be elected), `group`, `role` (what
  its check asks for, such as `master`), `probe` (None, or `kind`, `target`, `by`, `outcome`, `nodes`: what each
  found), `follows` (the clone whose instances its servers are, ""), `servers`: `name`, `node`, `address`, `live` (its
  node; None: it is on none), `drained`, `away` (it gets no new connections: its instance goes down, or is not to run),
  `writer`,
  `state` (what all balancers say: up, down, drained, disabled, another word of HAProxy's; `disagree`; `unknown`),
  `sessions` (of those that are to end), `haproxy` (what this node's says), `balancers` (what each says: `word`,
  `status`, `weight`, `sessions`, `check`, `detail`, `since`)
- `resource_warnings`: what is wrong with resources, as the nodes on which they are say: `node`, `group`, `resource`,
  `topic`, `text`, `mac`, `station` (the node and interface that has this MAC address, None: nobody's)
- `fences` (with `fencing`: it is to be fenced, and `waiting`: for what), `failures`, `moves`: the records, with names
- `unreadable`: documents in etcd that do not fit: `key`, `problem`, `level`, `waits`, `fix`; the first 20
- `config`: revision, serial, by, at, problem
- `local`: of the daemon that was asked, None without one
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from election.clock import Instant
from election.observer import Observer
from election.ownership import abandoned, session_of, takeable, unprobed
from election.reading import ReadObserver, ReadView
from election.records import GENERATION_BITS, Count, Failure, Ownership, Record, RecordError
from election.text import printable
from election.view import Versioned
from hactl.decide.blocking import blocked, fenced_for
from hactl.decide.client_reports import client_views
from hactl.decide.placement.plan import Plan, plan
from hactl.decide.planned import maintenance_of
from hactl.decide.readiness import reported
from hactl.decide.resources import LONGEST_RETRY_MS
from hactl.decide.timing import format_ms
from hactl.decide.troubles import troubles_of
from hactl.model.cluster import ClusterSpec, GroupSpec
from hactl.model.resources import VipSpec
from hactl.status import unreadable
from hactl.status.clone_words import is_on
from hactl.status.clones import clones_status
from hactl.status.fences import being_fenced, device_reports, fence_status, matters, node_fencing
from hactl.status.health import NodeHealth
from hactl.status.local import Local
from hactl.status.node_checks import node_checks
from hactl.status.planned import maintenance_status, planned_status, scheduled_status, stopped_by
from hactl.status.resource_warnings import reported_warnings
from hactl.status.services import balancer_status, service_status
from hactl.status.stale import mark_as_old
from hactl.status.warnings import warnings

VERSION = 1

NODE_STATES = ("online", "standby", "dead", "fence_pending", "unreadable")

# Without a daemon nobody has counted anything: an observer that has seen nothing calls no lease over.
_NO_TIME = Instant(0.0, 0.0)


def status(
    view: ReadView,
    spec: ClusterSpec | None,
    me: str = "",
    *,
    local: Local | None = None,
    observer: ReadObserver | None = None,
    now: Instant = _NO_TIME,
    config_problem: str = "",
    health: Mapping[str, NodeHealth] | None = None,
    etcd: Mapping[str, Any] | None = None,
    stale_ms: int | None = None,
) -> dict[str, Any]:
    """The document. `me`: the node that is asked. `observer` and `now`: the daemon's, where there is one.
    `config_problem`: why there is no `spec` though the store holds a configuration. `health`: the nodes' documents.
    `etcd`: what is wrong with that (`problems`, `etcdctl`). `stale_ms`: etcd does not answer, and `view` is what was
    known so long ago; None: it is what etcd holds."""
    observer = observer or Observer(0.0, 0.0)
    planned = plan(spec, view) if spec else None
    clones = clones_status(view, planned, spec)
    document: dict[str, Any] = {
        "version": VERSION,
        "cluster": view.keys.prefix.strip("/").rpartition("/")[2],
        "generation": view.identity.record.generation if view.identity else 0,
        "revision": view.revision,
        "source": "daemon" if local else "etcd" if stale_ms is None else "disk",
        "stale_ms": stale_ms,
        "etcd": etcd,
        "asked": me,
        "warnings": [],
        "nodes": [_node(view, spec, name, me, local, clones) for name in node_names(view, spec)],
        "groups": [group_status(view, planned, group, observer, me, now) for group in _groups(view, spec)],
        "clones": clones,
        "balancers": balancer_status(view, spec, me, health or {}),
        "services": service_status(view, spec, me, health or {}) if spec else [],
        "resource_warnings": reported_warnings(view),
        "fences": _fences(view, spec, local),
        "devices": device_reports(view, spec),
        "failures": [_failure(key, failure) for key, failure in sorted(view.failures.items())],
        "moves": [move_status(group, view) for group in sorted(view.moves)],
        "maintenance": maintenance_status(view),
        "scheduled": scheduled_status(view),
        "unreadable": unreadable.shown(view, etcd["etcdctl"] if etcd else "etcdctl"),
        "config": _config(view, local.config_problem if local else config_problem),
        "local": asdict(local) if local else None,
    }
    mark_as_old(document, stale_ms)
    document["warnings"] = warnings(document, view)
    return document


def _fences(view: ReadView, spec: ClusterSpec | None, local: Local | None) -> list[dict[str, Any]]:
    left = local.fence_left_ms if local else {}
    return [fence_status(name, view, spec, left.get(name)) for name in sorted(view.fences)]


def node_names(view: ReadView, spec: ClusterSpec | None) -> list[str]:
    """The configured nodes in their order, then others that the store knows of."""
    configured = [node.name for node in spec.nodes] if spec else []
    known = {*view.sessions, *view.fences, *view.members} - set(configured)
    if spec is not None:  # of a node that was taken out of the configuration nothing is left to be said
        known = {name for name in known if name in view.sessions or matters(name, view, spec)}
    unread = {*view.unread("nodes"), *view.unread("fence")} - set(configured)
    return [*configured, *sorted(known | unread)]


def node_state(view: ReadView, name: str, spec: ClusterSpec | None) -> str:
    """One of NODE_STATES. A dead session that nobody waits for is not pending, whether it is known to be stopped or
    not: a node that was emptied and switched off is dead, as planned."""
    if name in view.sessions:
        return "standby" if name in view.standby else "online"
    if view.bad_node(name) or view.bad_fence(name):
        return "unreadable"
    return "fence_pending" if matters(name, view, spec) else "dead"


def group_state(view: ReadView, group: GroupSpec) -> str:
    """In one word: running, starting, stopping, blocked, failed, unknown (of its owner's report); handoff, released,
    unmanaged, unowned; lost (its owner has no session); unreadable (what the store says of it); disabled; stopped (by
    an operator)."""
    stored = view.groups.get(group.name)
    if view.keys.group(group.name) in view.unreadable:
        return "unreadable"
    if stored is None or stored.record.state == "released":
        nobody = "released" if stored else "unowned"
        return "disabled" if not group.enabled else "stopped" if group.name in view.stopped else nobody
    own = stored.record
    if own.state != "owned":
        return own.state
    if session_of(view, own.holder) is None:
        return "lost"
    group_report = _reported(view, group.name, own)
    phase = str(group_report.get("phase", "starting"))
    if phase == "stopped":
        return "failed" if group_report.get("failed") else "starting"
    return phase


def group_status(
    view: ReadView, planned: Plan | None, group: GroupSpec, observer: ReadObserver, me: str, now: Instant = _NO_TIME
) -> dict[str, Any]:
    """One group's part of the document. `planned`: None without a configuration."""
    stored = view.groups.get(group.name)
    own = stored.record if stored else None
    held = own is not None and own.state != "released"
    group_report = _reported(view, group.name, own) if own else {}
    choice = planned.choice(group.name) if planned else None
    state = group_state(view, group)
    epoch, health = own.epoch if own else 0, group_report.get("resources", {})
    return {
        "name": group.name,
        "state": state,
        "owner": own.node if own and held else "",
        "phase": group_report.get("phase", ""),
        "ownership": own.state if own else "",
        "epoch": epoch,
        "generation": epoch >> GENERATION_BITS,
        "number": epoch & ((1 << GENERATION_BITS) - 1),
        "reason": own.reason if own and held else "",
        "holders": [holder.node for holder in own.holders] if own and held else [],
        "vips": [resource.options.address for resource in group.resources if isinstance(resource, VipSpec)],
        "resources": [
            {"name": resource.name, "kind": resource.kind, "health": health.get(resource.name, "")}
            for resource in group.resources
        ],
        "enabled": group.enabled,
        "configured": planned is not None and planned.cluster.exclusive_group(group.name) is not None,
        "fencing": group.fencing,
        "overlap": group.overlap,
        "waiting": _waiting(view, planned, group, state, observer, me, now),
        "blocked": blocked_status(view, group.name),
        "fenced_for": fenced_for(view, group.name),
        "held": held_status(view, group),
        "client_views": client_views(view, group.name),
        "candidates": list(choice.candidates) if choice else [],
        "excluded": dict(choice.excluded) if choice else {},
        "readiness": _readiness(view, planned.cluster if planned else None, group),
        **planned_status(view, group.name),
    }


def _readiness(view: ReadView, spec: ClusterSpec | None, group: GroupSpec) -> dict[str, dict[str, str]]:
    order = group.nodes or (tuple(node.name for node in spec.nodes) if spec else ())
    standings = {name: reported(view, group.name, name) for name in order}
    return {name: standing._asdict() for name, standing in standings.items() if standing.level != "ready"}


def _groups(view: ReadView, spec: ClusterSpec | None) -> list[GroupSpec]:
    """The configured groups, then those that the store alone knows and that somebody may still run."""
    configured = list(spec.exclusive) if spec else []
    held = {name for name, stored in view.groups.items() if stored.record.state != "released"}
    others = {*held, *view.unread("groups")} - {group.name for group in configured}
    return configured + [GroupSpec(name, ()) for name in sorted(others)]


def _reported(view: ReadView, group: str, own: Ownership) -> Mapping[str, Any]:
    """The owner's report of the group, if it is of this ownership."""
    report = view.reports.get(own.node)
    if report is None or report.record.session_id != own.session_id:
        return {}
    group_report: Mapping[str, Any] = report.record.groups.get(group, {})
    return group_report if group_report.get("epoch") == own.epoch or group_report.get("phase") == "blocked" else {}


def _waiting(
    view: ReadView,
    planned: Plan | None,
    group: GroupSpec,
    state: str,
    observer: ReadObserver,
    me: str,
    now: Instant,
) -> str:
    """Why it does not run; empty when it runs, is on its way, or is not wanted."""
    stored = view.groups.get(group.name)
    if state == "stopped":
        return stopped_by(view.stopped[group.name].record)
    if state == "unmanaged" and maintenance_of(view, group.name) is None:
        return _not_taken_yet(view, group.name, view.groups[group.name].record)
    if state in ("running", "disabled", "unmanaged") or planned is None:
        return ""
    if stored is not None and stored.record.state == "owned" and state != "lost":
        return str(_reported(view, group.name, stored.record).get("reason", ""))
    if state == "handoff":
        return "" if stored and session_of(view, stored.record.holder) else "it was handed to a node that is gone"
    if reason := blocked(view, group.name):
        return reason
    lease_counts = group.fencing == "lease"
    judge = takeable if stored else unprobed
    verdict = judge(view, observer, group.name, lease_counts, me, now)
    if not verdict.safe:
        owner = stored.record.node if stored and not lease_counts else ""
        return f"waiting for {owner} to be fenced" if being_fenced(owner, view, planned.cluster) else verdict.reason
    choice = planned.choice(group.name)
    if not choice.candidates:
        return "no node may run it: " + "; ".join(f"{name}: {why}" for name, why in choice.excluded.items())
    return f"{choice.candidates[0]} will take it"


def _not_taken_yet(view: ReadView, group: str, own: Ownership) -> str:
    """Why a group is left alone still though its maintenance has ended."""
    if own.node not in view.sessions:
        return abandoned(view, own).reason
    report = view.reports.get(own.node)
    return str(report.record.groups.get(group, {}).get("reason", "")) if report else ""


def _node(
    view: ReadView, spec: ClusterSpec | None, name: str, me: str, local: Local | None, clones: list[dict[str, Any]]
) -> dict[str, Any]:
    configured = next((node for node in spec.nodes if node.name == name), None) if spec else None
    member, session, report = view.members.get(name), view.sessions.get(name), view.reports.get(name)
    used = report.record.config_revision if report else member.record.config_revision if member else 0
    seen = member or session or name in view.fences or view.bad_node(name) or view.bad_fence(name)
    return {
        "name": name,
        "address": configured.address if configured else member.record.address if member else "",
        "version": member.record.version if member else "",
        "standby": name in view.standby,
        "state": node_state(view, name, spec) if seen else "absent",
        "configured": configured is not None,
        "me": name == me,
        "sid": session.record.session_id if session else "",
        "srev": session.create_revision if session else 0,
        "boot": session.record.boot_id if session else "",
        "lease_ms": session.record.lease_ms if session else 0,
        "silent_ms": local.silent_ms.get(name) if local else None,
        "runs": sorted(group for group, known in view.groups.items() if _may_run(known.record, name)),
        "instances": [clone["name"] for clone in clones if is_on(clone, name)],
        "config_revision": used,
        "config_current": bool(view.config and used == view.config.mod_revision),
        "fencing": node_fencing(name, view, spec),
        "troubles": troubles_of(view, name),
        "checks": node_checks(view, spec, name, local if name == me else None),
    }


def _may_run(own: Ownership, node: str) -> bool:
    return any(holder.node == node for holder in own.runners)


def _failure(key: str, stored: Versioned[Failure]) -> dict[str, Any]:
    group, _, node = key.partition("/")
    record = stored.record
    return {"group": group, "node": node, "resource": record.resource, "count": record.count, "reason": record.reason}


def blocked_status(view: ReadView, group: str) -> dict[str, str] | None:
    """Why nobody may start the group, and how that ends; None: it is not blocked."""
    stored = view.blocks.get(group)
    if stored is None or stored.record.fenced:
        return None
    return {"node": stored.record.node, "text": blocked(view, group), "do": f"`hactl group cleanup {group}`"}


def held_status(view: ReadView, group: GroupSpec) -> dict[str, Any] | None:
    """That the group stays where it is, since its failures moved it too often; None: it does not."""
    stored, ownership = view.flapping.get(group.name), view.groups.get(group.name)
    if stored is None or ownership is None or stored.record.held != ownership.record.node:
        return None
    record = stored.record
    text = (
        f"it was moved {len(record.moves)} times within {format_ms(group.moves_window_ms)} by its failures, so it "
        f"stays there and is restarted every {format_ms(LONGEST_RETRY_MS)} ({record.reason})"
    )
    return {"node": record.held, "text": text, "do": f"repair it, then `hactl group cleanup {group.name}`"}


def move_status(group: str, view: ReadView) -> dict[str, Any] | None:
    """The operator's request to move a group; None: there is none."""
    stored = view.moves.get(group)
    if stored is None:
        return None
    record = stored.record
    return {"group": group, "id": record.id, "from": record.from_node, "to": record.to, "by": record.by}


def _config(view: ReadView, problem: str) -> dict[str, Any]:
    try:
        stored = _Written.from_json(view.config.record) if view.config else _Written()
    except RecordError as error:
        stored, problem = _Written(), problem or error.problem
    return {
        "revision": view.config.mod_revision if view.config else 0,
        "serial": stored.serial,
        "by": printable(stored.by),
        "at": printable(stored.at),
        "problem": problem,
    }


@dataclass(frozen=True, slots=True)
class _Written(Record):
    """The part of the stored configuration that is for people."""

    limit = 1 << 20

    serial: Count = 0
    by: str = ""
    at: str = ""
