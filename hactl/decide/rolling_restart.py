"""The restart of a group that runs on every node (docs/clones.md, *Restart*), for an operator or by another definition:
one instance after the other, by the names of their nodes, and only while all others run. Pure.

A node knows of the others by their reports. What it does not know is a reason to wait.
"""

from __future__ import annotations

from collections.abc import Iterator

from election.records import GroupReport, Restart
from election.view import Versioned
from hactl.decide.local_group import LocalGroup
from hactl.decide.placement.instances import not_here, said_of
from hactl.decide.state import NodeState, Out
from hactl.model.cluster import GroupSpec
from hactl.model.purposes import Purpose

# In place of a request: the instance runs by a definition that is no longer the configured one.
_OUTDATED = -1


def goes_down(state: NodeState, run: LocalGroup, out: Out) -> bool:
    """Whether this node's instance is to stop now, to be started again: by its new definition, or for the operator's
    request."""
    if run.outdated:
        return _begins(state, run, _OUTDATED, _updated_after(state, run, out), out)
    request = state.view.restarts.get(run.spec.name)
    if request is None:
        run.restarting = 0
        return False
    _remember(state, run, request)
    if run.restarted == request.mod_revision:
        return False
    if not _begins(state, run, request.mod_revision, _restarted_after(state, run, request, out), out):
        return False
    if not run.stopped:
        return True
    run.restarted, run.restarting, run.retry_at = request.mod_revision, 0, None
    out.note("group_restarts", group=run.spec.name, by=request.record.by)
    return False


def _remember(state: NodeState, run: LocalGroup, request: Versioned[Restart]) -> None:
    """An earlier daemon of this node may have carried the request out: its last report says so."""
    report = state.view.reports.get(state.node)
    if report is not None and restarted_for(report.record.groups.get(run.spec.name), request):
        run.restarted = request.mod_revision


def _begins(state: NodeState, run: LocalGroup, why: int, waits_for: str, out: Out) -> bool:
    """Whether its stop has begun, or begins now. One that does not run has nobody to wait for."""
    if run.restarting != why:
        if run.acting or run.phase == "unknown" or (run.running and waits_for):
            return False
        run.restarting = why
    return True


def _restarted_after(state: NodeState, run: LocalGroup, request: Versioned[Restart], out: Out) -> str:
    """The node whose instance is to be restarted before this one, or is to run again first; empty: there is none."""
    for node in _others(state, run.spec):
        said = said_of(state.view, run.spec.name, node)
        if not _runs(state, node, said, out) or (node < state.node and not restarted_for(said, request)):
            return node
    return ""


def _updated_after(state: NodeState, run: LocalGroup, out: Out) -> str:
    """The same, for another definition: a node has it in use when it says so."""
    for node in _others(state, run.spec):
        said, report = said_of(state.view, run.spec.name, node), state.view.reports.get(node)
        current = report is not None and report.record.config_revision >= state.config_rev
        updated = said is not None and not said.get("outdated") and current
        if not _runs(state, node, said, out) or (node < state.node and not updated):
            return node
    return ""


def _runs(state: NodeState, node: str, said: GroupReport | None, out: Out) -> bool:
    heard = state.observer.heard_within(node, state.timing.suspect_after_ms, out.now)
    return heard and said is not None and said.get("phase") == "running" and not said.get("leaving")


def restarted_for(said: GroupReport | None, request: Versioned[Restart]) -> bool:
    """Whether a node says that it has restarted its instance for this request."""
    return said is not None and said.get("restarted") == request.mod_revision


def end_requests(state: NodeState, out: Out) -> None:
    """Delete each request that all live nodes have carried out: the first of them by name does."""
    heard_ms = state.timing.suspect_after_ms
    heard = (name for name in state.view.sessions if state.observer.heard_within(name, heard_ms, out.now))
    if state.cluster is None or state.session.state != "live" or state.node != min([state.node, *heard]):
        return
    for clone in state.cluster.clones:
        name, request = clone.name, state.view.restarts.get(clone.name)
        if request is None or state.sending(Purpose.RESTARTED, name=name) or not _is_done(state, clone, request):
            continue
        out.send(Purpose.RESTARTED, state.writer.delete(state.keys.restart(name), request.mod_revision), name=name)


def _is_done(state: NodeState, clone: GroupSpec, request: Versioned[Restart]) -> bool:
    here = state.clones.get(clone.name)
    done_here = here is not None and here.running and here.restarted == request.mod_revision
    if _wanted(state, clone, state.node) and not done_here:
        return False
    said = [said_of(state.view, clone.name, node) for node in _others(state, clone)]
    return all(restarted_for(one, request) and one is not None and one.get("phase") == "running" for one in said)


def _others(state: NodeState, clone: GroupSpec) -> Iterator[str]:
    """The other live nodes that are to have an instance."""
    return (node for node in sorted(state.view.sessions) if node != state.node and _wanted(state, clone, node))


def _wanted(state: NodeState, clone: GroupSpec, node: str) -> bool:
    places = state.plan().places(clone.name) if clone.enabled else None
    return not not_here(clone, node, places, state.view)
