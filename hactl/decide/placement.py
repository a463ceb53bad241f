"""Where a group should run (docs/protocol.md, *Ownership*: placement is pure, the same everywhere, reads no clock)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from election.reading import ReadView
from hactl.decide.planned import kept_off
from hactl.decide.readiness import reported
from hactl.model.cluster import ClusterSpec, GroupSpec


class Choice(NamedTuple):
    """The nodes a group may run on, best first, and for every other node of the cluster why not."""

    candidates: tuple[str, ...]
    excluded: Mapping[str, str]

    def rank(self, node: str) -> int | None:
        """0 for the first choice; None: not eligible."""
        return self.candidates.index(node) if node in self.candidates else None

    def best_but(self, node: str) -> str | None:
        """The first choice other than `node`."""
        return next((name for name in self.candidates if name != node), None)


def place(cluster: ClusterSpec, group: GroupSpec, view: ReadView) -> Choice:
    """The choice for `group`, from the configuration and what the store holds: nodes that are ready for it, then
    poor ones. Among those as good as it an owner that is eligible comes first (no failback); where nobody owns it, a
    node on which it was found running."""
    order = group.nodes or tuple(node.name for node in cluster.nodes)
    excluded = {node.name: "not in the group's nodes" for node in cluster.nodes if node.name not in order}
    excluded |= {name: reason for name in order if (reason := why_not(group, name, view))}
    first = _where_it_is(group, view)
    able = [name for name in order if name not in excluded]
    able.sort(key=lambda name: (reported(view, group.name, name).level == "poor", name != first))
    return Choice(tuple(able), excluded)


def why_not(group: GroupSpec, node: str, view: ReadView) -> str:
    """Why `group` may not run on `node` now; empty: it may."""
    if node not in view.sessions:
        return "its session cannot be read" if view.bad_node(node) else "no live session"
    if reason := kept_off(view, group.name, node):
        return reason
    failure = view.failures.get(f"{group.name}/{node}")
    if failure is not None:
        return f"{failure.record.resource} failed {failure.record.count} times: {failure.record.reason}"
    standing = reported(view, group.name, node)
    return standing.why or "unfit" if standing.level == "unfit" and not _runs_well(view, group.name, node) else ""


def _runs_well(view: ReadView, group: str, node: str) -> bool:
    """Whether the node owns the group and says that all of it runs, or that a daemon which has just begun is looking at
    it: what could not be started there need not leave."""
    ownership, report = view.groups.get(group), view.reports.get(node)
    owns = ownership is not None and ownership.record.node == node and ownership.record.state == "owned"
    return owns and report is not None and report.record.groups.get(group, {}).get("phase") in ("running", "unknown")


def _where_it_is(group: GroupSpec, view: ReadView) -> str:
    ownership = view.groups.get(group.name)
    if ownership is not None:
        return ownership.record.node
    running = [name for name in sorted(view.reports) if reported_running(view, group.name, name)]
    return running[0] if running else ""


def reported_running(view: ReadView, group: str, node: str) -> bool:
    """Whether the node says that something of the group runs there."""
    report = view.reports.get(node)
    phase = report.record.groups.get(group, {}).get("phase", "stopped") if report else "stopped"
    return phase not in ("stopped", "unknown", "barred")
