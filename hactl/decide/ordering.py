"""Groups that start after others, and stop before them, on whatever nodes they are (docs/placement.md, *Order*). Pure.

A group that must run after another one starts when that runs, and stops when that does not. A planned stop of the other
one waits for it. A group that should only starts later: it does not wait for what is not on its way, nor for ever.

What another node's group does is known by that node's report. What is not known is no reason to stop anything: a daemon
that has just begun, an owner that is silent, a record that cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from election.clock import Instant, owner_elapsed
from election.ownership import session_of
from hactl.decide.local_group import LocalGroup
from hactl.decide.placement.eligible import reported_running
from hactl.decide.placement.instances import said_of
from hactl.decide.planned import off
from hactl.decide.state import NodeState
from hactl.model.placing import Relation

# A group that should start after another one does not wait longer for it.
LONGEST_WAIT_MS = 60_000.0
# How much longer than their stops may take those that stop first are waited for, in leases.
PATIENCE_LEASES = 2.0

# coming: it has an owner, or will have one, and is not known to have failed.
Standing = Literal["running", "coming", "down", "unknown"]
# Of several instances the best counts; what is not known may be running.
_FROM_BEST: tuple[Standing, ...] = ("running", "unknown", "coming", "down")


def waits_for(state: NodeState, run: LocalGroup, now: Instant) -> str:
    """Why the group may not start yet; empty: it may."""
    waiting = ""
    for relation in run.spec.runs_after:
        standing = _standing(state, run, relation.group, now)
        if relation.must and standing != "running":
            waiting = f"it starts when {relation.group} runs"
        elif standing == "coming" and not _waited(run, now):
            waiting = waiting or f"it starts after {relation.group}"
    if not waiting:
        run.waits_since = None
    elif run.waits_since is None:
        run.waits_since = now
    return waiting


def _waited(run: LocalGroup, now: Instant) -> bool:
    return run.waits_since is not None and owner_elapsed(run.waits_since, now) >= LONGEST_WAIT_MS


def must_stop(state: NodeState, run: LocalGroup, now: Instant) -> str:
    """Why the group, which may run, is to stop: one that it must run after is known not to run. Empty: it goes on."""
    for relation in run.spec.runs_after:
        if relation.must and _standing(state, run, relation.group, now) in ("coming", "down"):
            return f"{relation.group}, after which it runs, does not run"
    return ""


def goes_first(state: NodeState, run: LocalGroup, now: Instant) -> str:
    """Which group has to stop before this one, which is to stop in order; empty: none, or they took too long."""
    if state.cluster is None:
        return ""
    if run.leaving_since is None:
        run.leaving_since = now
    longest_ms = 0.0
    first = ""
    for name in _those_after(state, run):
        other = state.cluster.group(name)
        if other is not None and _may_run(state, name):
            first = first or name
            longest_ms = max(longest_ms, sum(resource.stop_timeout_ms for resource in other.resources))
    limit_ms = longest_ms + PATIENCE_LEASES * state.timing.lease_ms
    return first if owner_elapsed(run.leaving_since, now) < limit_ms else ""


def _those_after(state: NodeState, run: LocalGroup) -> Iterator[str]:
    """The groups that are to stop before this one. An instance of a clone that goes while others stay is missed by none
    but those that run with it here; one that is restarted by none of these but those that run after it, too."""
    rules, name = state.plan().rules, run.spec.name
    behind = rules.behind.get(name, ())
    if run.spec.run == "one":
        yield from behind
        return
    assert state.cluster is not None
    clone = state.cluster.group(name)
    if clone is None or clone.run == "one" or off(state.view, clone):
        yield from behind
    else:
        yield from (other for other in behind if other in state.clones and not state.clones[other].stopped)
    with_it = (other for other, relations in rules.instances.items() if _must(relations, name))
    for other in with_it:
        if state.role(other) in ("owner", "holder") and (not run.restarting or other in behind):
            yield other


def _must(relations: Iterable[Relation], name: str) -> bool:
    return any(relation.must and relation.group == name for relation in relations)


def _standing(state: NodeState, run: LocalGroup, name: str, now: Instant) -> Standing:
    """How it is with a group that this one runs after: of a clone, with the instance of this node where the two run
    together, or are both on every node; else with the best of all."""
    clone = state.cluster.group(name) if state.cluster is not None else None
    if clone is None or clone.run == "one":
        return standing_of(state, name, now)
    if off(state.view, clone):
        return "down"
    together = run.spec.run == "all" or _must(run.spec.runs_with, name)
    if together and name in state.clones:
        return _instance_here(state, name)
    others = (_instance_on(state, name, node, now) for node in state.view.sessions if node != state.node)
    known = {_instance_here(state, name) if name in state.clones else "down", *others}
    return next((standing for standing in _FROM_BEST if standing in known), "down")


def _instance_here(state: NodeState, name: str) -> Standing:
    run = state.clones[name]
    return _of_phase(run.phase, leaving=run.leaving, failed=bool(run.failure))


def _instance_on(state: NodeState, name: str, node: str, now: Instant) -> Standing:
    said = said_of(state.view, name, node)
    if said is None or not state.observer.heard_within(node, state.timing.suspect_after_ms, now):
        return "unknown"
    phase = said.get("phase", "stopped")
    return _of_phase(phase, leaving=said.get("leaving", False), failed=said.get("failed", False))


def _of_phase(phase: str, *, leaving: bool, failed: bool) -> Standing:
    if phase == "unknown":
        return "unknown"
    if phase == "running":
        return "coming" if leaving else "running"
    return "down" if failed or phase in ("blocked", "barred", "stopped") else "coming"


def standing_of(state: NodeState, name: str, now: Instant) -> Standing:
    """How it is with a group that runs on one node at a time, wherever it is. What a node says that was not seen to
    renew its session lately is not known: it may be dead."""
    if state.cluster is None or (spec := state.cluster.group(name)) is None or off(state.view, spec):
        return "down"
    if state.frozen(name):
        return "unknown"
    known = state.view.groups.get(name)
    if known is None or known.record.state in ("released", "handoff"):
        return "coming" if state.choice(name).target else "down"
    own, here = known.record, state.runs.get(name)
    if own.holder == state.me and here is not None:
        phase, epoch, leaving, failed = here.phase, here.epoch, here.leaving, bool(here.failure)
    else:
        report = state.view.reports.get(own.node)
        if session_of(state.view, own.holder) is None or report is None or report.record.session_id != own.session_id:
            return "unknown"
        said = report.record.groups.get(name, {})
        phase, epoch = said.get("phase", "unknown"), said.get("epoch", 0)
        leaving, failed = said.get("leaving", False), said.get("failed", False)
        if not state.observer.heard_within(own.node, state.timing.suspect_after_ms, now):
            return "unknown"
    if phase == "unknown" or own.state == "unmanaged":
        return "unknown"
    if phase == "running" and epoch == own.epoch and not leaving:
        return "running"
    return "down" if failed or phase in ("blocked", "barred") else "coming"


def _may_run(state: NodeState, name: str) -> bool:
    """Whether something of a group that is owned by a live session, or an instance of a clone, runs, or may run."""
    if state.cluster is not None and (clone := state.cluster.group(name)) is not None and clone.run == "all":
        here = state.clones.get(name)
        if here is not None and not (here.stopped or here.barred):
            return True
        return any(reported_running(state.view, name, node) for node in state.view.sessions if node != state.node)
    known = state.view.groups.get(name)
    if known is None or known.record.state != "owned":
        return False
    own, here = known.record, state.runs.get(name)
    if own.holder == state.me and here is not None:
        return not (here.stopped or here.barred)
    if session_of(state.view, own.holder) is None:
        return False
    report = state.view.reports.get(own.node)
    current = report is not None and report.record.session_id == own.session_id
    phase = report.record.groups.get(name, {}).get("phase", "unknown") if report is not None and current else "unknown"
    return phase not in ("stopped", "barred")
