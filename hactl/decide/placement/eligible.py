"""Which nodes a group may run on now, by itself (docs/protocol.md, *Ownership*: placement reads no clock). Pure."""

from __future__ import annotations

from collections import defaultdict

from election.reading import ReadView
from hactl.decide.placement.costs import Candidate, Wanted
from hactl.decide.placement.instances import Lacking
from hactl.decide.placement.rules import Places, Rules
from hactl.decide.planned import kept_off
from hactl.decide.readiness import reported


def why_not(group: str, node: str, view: ReadView) -> str:
    """Why the group, by itself, may not run on a node that the configuration allows; empty: it may."""
    return node_away(node, view) or kept_off(view, group, node) or not_well(group, node, view)


def node_away(node: str, view: ReadView) -> str:
    """Why no group may run on the node now."""
    if node in view.sessions:
        return ""
    return "its session cannot be read" if view.bad_node(node) else "no live session"


def not_well(group: str, node: str, view: ReadView) -> str:
    """Why this group may not run on a node that lives."""
    failure, flapping = view.failures.get(f"{group}/{node}"), view.flapping.get(group)
    held = flapping is not None and flapping.record.held == node
    if failure is not None and not held:
        return f"{failure.record.resource} failed {failure.record.count} times: {failure.record.reason}"
    standing = reported(view, group, node)
    return standing.why or "unfit" if standing.level == "unfit" and not _runs_well(view, group, node) else ""


def _runs_well(view: ReadView, group: str, node: str) -> bool:
    """Whether the node owns the group and says that all of it runs, or that a daemon which has just begun is looking at
    it: what could not be started there need not leave."""
    ownership, report = view.groups.get(group), view.reports.get(node)
    owns = ownership is not None and ownership.record.node == node and ownership.record.state == "owned"
    return owns and report is not None and report.record.groups.get(group, {}).get("phase") in ("running", "unknown")


def reported_running(view: ReadView, group: str, node: str) -> bool:
    """Whether the node says that something of the group runs there."""
    report = view.reports.get(node)
    phase = report.record.groups.get(group, {}).get("phase", "stopped") if report else "stopped"
    return phase not in ("stopped", "unknown", "barred")


def where_it_is(group: str, view: ReadView) -> tuple[str, bool]:
    """The node that has the group or had it last ("": none is known), and whether it has it now. Where nobody has it,
    a node on which it was found running."""
    ownership = view.groups.get(group)
    if ownership is not None:
        return ownership.record.node, ownership.record.state != "released"
    return next((name for name in sorted(view.reports) if reported_running(view, group, name)), ""), False


class Now:
    """What is known of the nodes now, gathered once for all groups. `away`: nodes that no group may run on; `odd`: for
    each group the nodes of which something is known about it alone (a failure, a ban, its readiness, a
    maintenance of the node)."""

    def __init__(self, rules: Rules, view: ReadView, lacking: Lacking) -> None:
        self.view, self.lacking = view, lacking
        self.away = {node for node in rules.nodes if node_away(node, view) or node in view.standby}
        self.odd: defaultdict[str, set[str]] = defaultdict(set)
        for key in (*view.failures, *view.bans):
            group, _, node = key.partition("/")
            self.odd[group].add(node)
        for node, report in view.reports.items():
            for group in report.record.readiness:
                self.odd[group].add(node)
        for group, nodes in (*lacking.must.items(), *lacking.should.items()):
            self.odd[group].update(nodes)
        for node in view.node_maintenance:
            for group in rules.groups:  # it keeps what it has
                self.odd[group].add(node)
        self._plain: dict[int, tuple[Candidate, ...]] = {}

    def wanted(self, group: str, places: Places, priority: int) -> Wanted:
        """The group with its candidates."""
        odd, (node, has) = self.odd.get(group), where_it_is(group, self.view)
        candidates = self._candidates(places) if odd is None else self._looked_at(group, places, odd)
        if any(candidate.node == node for candidate in candidates):
            if has:
                return Wanted(group, candidates, node, priority)
            candidates = tuple(sorted(candidates, key=lambda candidate: candidate.node != node))
        return Wanted(group, candidates, "", priority)

    def _candidates(self, places: Places) -> tuple[Candidate, ...]:
        known = self._plain.get(id(places))
        if known is None:
            known = self._plain[id(places)] = tuple(
                Candidate(place.node, 0, place.disliked, place.loss)
                for place in places.allowed
                if place.node not in self.away
            )
        return known

    def _looked_at(self, group: str, places: Places, odd: set[str]) -> tuple[Candidate, ...]:
        lacking, missed = self.lacking.must.get(group, ()), self.lacking.should.get(group, ())
        return tuple(
            Candidate(place.node, self._poor(group, place.node), place.disliked + (place.node in missed), place.loss)
            for place in places.allowed
            if place.node not in self.away
            and not (place.node in odd and (place.node in lacking or why_not(group, place.node, self.view)))
        )

    def _poor(self, group: str, node: str) -> int:
        return int(reported(self.view, group, node).level == "poor")


def excluded(group: str, places: Places, view: ReadView) -> dict[str, str]:
    """For each node that may not run the group by itself, why not."""
    reasons = dict(places.excluded)
    reasons |= {place.node: reason for place in places.allowed if (reason := why_not(group, place.node, view))}
    return reasons
