"""What the other nodes see of a group: its probes (`GroupSpec.probes`) ask its address as a client does. Pure.

Each live node that has nothing of the group asks, counts by itself, and reports: it sees the group *well*, *failed*, or
it never saw it well in this ownership: *unreached*. The owner counts a failure of the group when at least one node says
failed and none says well. A node that never reached the group has no say: else a firewall, or a probe that is wrong,
would stop what runs.

The group is then restarted as a whole, at most `restarts` times; then it moves. Where it cannot move it stays as it is:
a restart does not help. On the next node nothing counts before somebody has seen it well there.
"""

from __future__ import annotations

from collections.abc import Mapping

from election.clock import Instant, owner_elapsed
from election.records import ClientViewReport
from hactl.decide.client_reports import holding, unseen_because
from hactl.decide.local_group import LocalGroup
from hactl.decide.reading import ReadState
from hactl.decide.resources import failed
from hactl.decide.state import NodeState, Out
from hactl.model.cluster import GroupSpec
from hactl.model.events import GroupProbed

_LONGEST_REASON = 300


def epoch_to_ask(state: ReadState, group: str) -> int:
    """The epoch of the ownership in which this node is to ask the group's address; 0: it is not to ask."""
    known = state.view.groups.get(group)
    if known is None or known.record.state != "owned" or state.phase != "live" or state.node not in state.view.sessions:
        return 0
    nobody = state.node in holding(known.record) or known.record.node not in state.view.sessions
    return 0 if nobody else known.record.epoch


def probed(state: NodeState, event: GroupProbed) -> None:
    """A verdict of this node's probes: kept for its report."""
    before = state.client_views.get(event.group) or _own_reports(state).get(event.group, ClientViewReport())
    seen_well = before.get("epoch") == event.epoch and before.get("level") != "unreached"
    level = "well" if event.well else "failed" if seen_well else "unreached"
    view = ClientViewReport(epoch=event.epoch, level=level)
    if not event.well:
        view["why"] = event.why[:_LONGEST_REASON]
    state.client_views[event.group] = view


def own_views(state: NodeState) -> dict[str, ClientViewReport]:
    """What this node reports: of present ownerships of other nodes."""
    for group in list(state.client_views):
        if epoch_to_ask(state, group) != state.client_views[group].get("epoch"):
            del state.client_views[group]
    # A daemon that has just begun has not asked yet: what the one before it said stands.
    kept = {
        group: view
        for group, view in _own_reports(state).items()
        if group in state.runs and group not in state.client_views and epoch_to_ask(state, group) == view.get("epoch")
    }
    return {**kept, **{group: view.copy() for group, view in state.client_views.items()}}


def must_restart(state: NodeState, run: LocalGroup, out: Out) -> bool:
    """Whether the group is to be stopped, to be started again as a whole, since its clients do not reach it."""
    reason = unseen_because(state.view, run.spec.name) if run.spec.probes else ""
    if run.unseen and (run.stopped or (run.running and not reason)):
        run.unseen = False  # it is to be started again; or it got well while it waited
    elif not run.unseen and reason and _counts(run, out.now):
        run.unseen = True
        failed(state, run, run.spec.resources[0].name, reason, out)
    waits = run.running and run.retry_at is not None and owner_elapsed(run.retry_at, out.now) < 0
    return run.unseen and not waits


def _counts(run: LocalGroup, now: Instant) -> bool:
    """Whether it runs, for so long that every prober would have seen that, and a restart may still help."""
    if not run.running or run.since_running is None or run.restarts > run.spec.restarts:
        return False
    return owner_elapsed(run.since_running, now) >= settled_ms(run.spec)


def settled_ms(spec: GroupSpec) -> float:
    """How long after a start the verdicts of the probers are about that start at the latest."""
    rhythms = [probe.rhythm for probe in spec.probes]
    return max((each.start_delay_ms + each.failure_ms + each.rise * each.interval_ms for each in rhythms), default=0.0)


def _own_reports(state: NodeState) -> Mapping[str, ClientViewReport]:
    """What the previous daemon reported in the session that this one continues, by group."""
    report = state.view.reports.get(state.node)
    if report is None or report.record.session_id != state.session.session_id:
        return {}
    return report.record.client_views
