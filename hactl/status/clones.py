"""Groups that run on every node (docs/clones.md), in the status document. Pure.

What an instance does, its node says. Of a node without a session nothing is known, and nothing of it is told here: that
is told of the node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from election.reading import ReadView
from hactl.decide.placement.instances import not_here, said_of
from hactl.decide.placement.plan import Plan
from hactl.decide.planned import off, resting
from hactl.model.cluster import ClusterSpec, GroupSpec
from hactl.status.clone_words import DOWN
from hactl.status.planned import planned_status


def clones_status(view: ReadView, planned: Plan | None, spec: ClusterSpec | None) -> list[dict[str, Any]]:
    """All clones: those of the configuration, then others of which a node still has something."""
    configured = list(spec.clones) if spec else []
    known = {group.name for group in spec.groups} if spec else set()
    owned = {name for name, stored in view.groups.items() if stored.record.state != "released"}
    reported = {name for node in view.sessions for name in _groups_of(view, node) if _has(view, name, node)}
    others = [GroupSpec(name, (), run="all") for name in sorted(reported - known - owned)] if spec else []
    return [clone_status(view, planned, clone) for clone in [*configured, *others]]


def _groups_of(view: ReadView, node: str) -> Iterator[str]:
    report = view.reports.get(node)
    yield from report.record.groups if report is not None else ()


def _has(view: ReadView, clone: str, node: str) -> bool:
    """Whether the node says that something of it is there. A group that is owned has an epoch."""
    said = said_of(view, clone, node)
    return said is not None and said.get("phase", "") not in DOWN and not said.get("epoch")


def clone_status(view: ReadView, planned: Plan | None, clone: GroupSpec) -> dict[str, Any]:
    """One clone's part of the document. `planned`: None without a configuration."""
    configured = planned is not None and planned.cluster.group(clone.name) is not None
    instances = _instances(view, planned, clone, configured=configured)
    wanted = [instance for instance in instances if instance["wanted"]]
    return {
        "name": clone.name,
        "state": _state(view, clone, instances),
        "running": sum(instance["state"] == "running" for instance in wanted),
        "wanted": len(wanted),
        "enabled": clone.enabled,
        "configured": configured,
        "resources": [{"name": resource.name, "kind": resource.kind} for resource in clone.resources],
        "nodes": instances,
        **planned_status(view, clone.name),
        "restarting": clone.name in view.restarts,
    }


def _instances(view: ReadView, planned: Plan | None, clone: GroupSpec, *, configured: bool) -> list[dict[str, Any]]:
    """On each node that is to have one, may have one, or has something of it."""
    names = list(planned.rules.nodes) if planned is not None else []
    places = planned.places(clone.name) if planned is not None and configured and clone.enabled else None
    never = {name for name, _ in places.excluded} if places is not None else set()
    instances = []
    for node in dict.fromkeys([*names, *sorted(view.sessions)]):
        why_not = not_here(clone, node, places, view) if configured and node in names else "not in the configuration"
        if _has(view, clone.name, node) or (configured and node in names and node not in never):
            instances.append(_instance(view, clone, node, why_not))
    return instances


def _instance(view: ReadView, clone: GroupSpec, node: str, why_not: str) -> dict[str, Any]:
    said = said_of(view, clone.name, node) or {}
    phase, live = str(said.get("phase", "")), node in view.sessions
    request = view.restarts.get(clone.name)
    health: Mapping[str, str] = said.get("resources", {})
    return {
        "node": node,
        "live": live,
        "wanted": not why_not,
        "why_not": why_not,
        "state": _word(said, phase, live=live),
        "phase": phase,
        "resources": {resource.name: health.get(resource.name, "") for resource in clone.resources} or dict(health),
        "reason": str(said.get("reason", "")),
        "given_up": bool(said.get("given_up")),
        "leaving": bool(said.get("leaving")),
        "alone": bool(said.get("alone")),
        "outdated": bool(said.get("outdated")),
        "restarted": request is not None and said.get("restarted") == request.mod_revision,
    }


def _word(said: Mapping[str, Any], phase: str, *, live: bool) -> str:
    """An instance in one word: away (its node is), running, starting, stopping, stopped, failed, blocked, unknown."""
    if not live:
        return "away"
    if phase == "running":
        return "stopping" if said.get("leaving") else "running"
    if phase in ("blocked", "stopping"):
        return phase
    failed = phase == "barred" or said.get("failed") or said.get("given_up")
    return "failed" if failed else phase or "unknown"


def _state(view: ReadView, clone: GroupSpec, instances: list[dict[str, Any]]) -> str:
    """In one word: running (on all live nodes where it is to), starting, stopping, partial (on some), failed (on none),
    blocked; stopped, disabled; unmanaged (maintenance); nowhere (no node is to have it), lost (none of them lives)."""
    if resting(view, clone.name):
        return "unmanaged"
    here = [instance for instance in instances if instance["live"]]
    states = {instance["state"] for instance in here if instance["wanted"]}
    if any(instance["state"] == "blocked" for instance in here):
        return "blocked"
    if not states:
        there = any(instance["phase"] not in DOWN for instance in here)
        return "stopping" if there else _resting_word(view, clone, instances)
    if states == {"running"}:
        return "running"
    if "failed" in states:
        return "partial" if "running" in states else "failed"
    return "starting"


def _resting_word(view: ReadView, clone: GroupSpec, instances: list[dict[str, Any]]) -> str:
    if off(view, clone):
        return "stopped" if clone.enabled else "disabled"
    return "lost" if any(instance["wanted"] for instance in instances) else "nowhere"
