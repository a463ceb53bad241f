"""Readiness in a node's step: settle its own, see everybody's, find a better node for a group. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from election.records import ReadinessReport, Report
from hactl.decide.node_reports import current_report
from hactl.decide.placement.plan import Choice
from hactl.decide.readiness import OwnReadiness, Sighting, settle_ms, standing_in
from hactl.decide.state import NodeState, Out
from hactl.model.events import ReadinessLevel

# A node that was not seen to renew within so many heartbeats may be dead: no group is handed to it unless an operator
# says so.
_HEARD_BEATS = 2

Level = ReadinessLevel | Literal["gone"]


def own_standings(state: NodeState, out: Out) -> dict[str, ReadinessReport]:
    """The standings that this node reports, for each group here that it is not ready for."""
    content: dict[str, ReadinessReport] = {}
    before = _before(state)
    for name in state.runs:
        own = state.readiness.get(name)
        if own is None and before is not None and (standing := standing_in(before, name)).level != "ready":
            own = state.readiness[name] = OwnReadiness(reported=standing)
        if own is None:
            continue
        own.settle(settle_ms(state.timing), out.now)
        if changes := own.changes_to_note(out.now):
            event = "node_ready" if own.reported.level == "ready" else "node_not_ready"
            out.note(event, group=name, level=own.reported.level, reason=own.reported.why, changes=changes)
        if own.reported.level != "ready":
            content[name] = {"level": own.reported.level, "why": own.reported.why}
    return content


def _before(state: NodeState) -> Report | None:
    """What the previous daemon reported in the session that this one continues: it holds until observers have had the
    time to look. None: of no group anything but that it was ready."""
    known = state.view.reports.get(state.node)
    if known is None or known.record.session_id != state.session.session_id or not known.record.readiness:
        return None
    return known.record


def see_everybody(state: NodeState, out: Out) -> None:
    """Follow how ready each node of the cluster is for each group."""
    if state.cluster is None:
        return
    for node in state.cluster.nodes:
        level_of = _levels(state, node.name)
        for name in state.runs:
            level = level_of(name)
            sighting = state.sightings.get((name, node.name))
            if sighting is None:
                state.sightings[name, node.name] = Sighting(level, out.now)
            elif sighting.level != level or sighting.episodes:  # else there is nothing new, nor to forget
                sighting.see(level, out.now)


def _levels(state: NodeState, node: str) -> Callable[[str], Level]:
    """How ready the node is for each group."""
    if node == state.node:
        return lambda group: own.owner_level if (own := state.readiness.get(group)) else "ready"
    if node not in state.view.sessions:
        return lambda group: "gone"
    report = current_report(state.view, node)
    if report is None or not report.readiness:
        return lambda group: "ready"
    return lambda group: standing_in(report, group).level


def better_node(state: NodeState, group: str, choice: Choice, out: Out) -> str:
    """The first choice that has been ready for long enough and renews its session, while this node has been poor for
    long enough and is so now; "" where there is none, so the group stays."""
    settle = settle_ms(state.timing)
    own, mine = state.readiness.get(group), state.sightings.get((group, state.node))
    if own is None or not own.poor_because or mine is None or not mine.lasted("poor", settle, out.now):
        return ""
    return next((node for node in choice.candidates if ready_for_long(state, group, node, out)), "")


def ready_for_long(state: NodeState, group: str, node: str, out: Out) -> bool:
    """Whether another node renews its session and has been ready for the group for long enough."""
    sighting = state.sightings.get((group, node))
    heard = state.observer.heard_within(node, _HEARD_BEATS * state.timing.heartbeat_ms, out.now)
    lasted = sighting is not None and sighting.lasted("ready", settle_ms(state.timing), out.now)
    return node != state.node and heard and lasted
