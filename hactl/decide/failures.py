"""When this node's failures end: the records that keep a group off a node on which it failed. Pure.

The end of a failure is a write of the node that it is about, not a clock's. A group that can run on no node of its
first choices goes through all of them: so a failure whose time is over stands as long as a node is left on which the
group was not tried, and the group does not run well anywhere. Else a group that takes long to fail on two nodes would
pass between those two without end, and never reach the third.
"""

from __future__ import annotations

from election.clock import owner_elapsed
from election.records import Failure
from election.store import Delete, Txn
from hactl.decide.local_group import LocalGroup
from hactl.decide.planned import off
from hactl.decide.state import NodeState, Out
from hactl.model.purposes import Purpose

# Long enough ago for every expiry.
_LONG_AGO_MS = 1e9


def trouble_over(state: NodeState, out: Out) -> None:
    """This node has got over something: what could not even be begun for its sake may be tried again at once."""
    for key, failure in state.view.failures.items():
        group, _, node = key.partition("/")
        if node == state.node and failure.record.unregistered:
            state.failures_since[group] = out.now.plus(-_LONG_AGO_MS)


def expire_failures(state: NodeState, out: Out) -> None:
    """Take back this node's failures whose time is over, or whose cause is gone."""
    mine = {key.partition("/")[0]: key for key in state.view.failures if key.partition("/")[2] == state.node}
    for seen in (state.failures_since, state.failures_quiet):
        for group in [group for group in seen if group not in mine]:
            del seen[group]
    state.failures_unfit.intersection_update(mine)
    for group, name in mine.items():
        state.failures_since.setdefault(group, out.now)
        _see_quiet(state, group, out)
        run, failure = state.runs.get(group), state.view.failures[name].record
        gone = _cause_is_gone(state, group, failure)
        if (gone or _is_over(state, run, group, failure, out)) and state.session.state == "live":
            state.failures_since[group] = out.now
            key = state.keys.failure(group, state.node)
            out.send(Purpose.FAILURE_EXPIRED, Txn(state.writer.guarded(), (Delete(key),), state.writer.reads(key)))
            if gone:
                out.note("failure_cause_gone", group=group, resource=failure.resource)
            if run:
                run.restarts = 0


def _see_quiet(state: NodeState, group: str, out: Out) -> None:
    """Since when all of it has run where it is."""
    ownership = state.view.groups.get(group)
    report = state.view.reports.get(ownership.record.node) if ownership is not None else None
    if report is not None and report.record.groups.get(group, {}).get("phase") == "running":
        state.failures_quiet.setdefault(group, out.now)
    else:
        state.failures_quiet.pop(group, None)


def _is_over(state: NodeState, run: LocalGroup | None, group: str, failure: Failure, out: Out) -> bool:
    """Whether its time is over, and nothing is to be tried first."""
    if run is None or state.cluster is None:
        return True
    expiry = run.spec.failure_expiry_ms
    if owner_elapsed(state.failures_since[group], out.now) < expiry:
        return False
    if failure.unregistered or off(state.view, run.spec) or not state.choice(group).candidates:
        return True
    quiet = state.failures_quiet.get(group)
    return quiet is not None and owner_elapsed(quiet, out.now) >= expiry


def _cause_is_gone(state: NodeState, group: str, failure: Failure) -> bool:
    """Whether the resource that failed could not be started here for a reason that was seen (no link, no interface, no
    program), and for some time now it could."""
    own = state.readiness.get(group)
    if own is not None and f"resource/{failure.resource}" in own.sources:
        state.failures_unfit.add(group)
        return False
    return group in state.failures_unfit and (own is None or own.reported.level != "unfit")
