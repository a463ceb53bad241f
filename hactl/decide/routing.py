"""The servers of services, as the view has them: those that get no new connections, and the one writer. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from election.ownership import may_live
from election.reading import ReadView
from hactl.decide.placement.eligible import reported_running
from hactl.decide.placement.instances import said_of
from hactl.decide.planned import off, sent_off
from hactl.model.cluster import ClusterSpec, GroupSpec
from hactl.model.service import ServiceSpec

# In place of a service's name: all of them.
ALL = "*"


def drainable(service: ServiceSpec) -> bool:
    """Whether its servers are drained when all of their node are. Not where one server alone is in use, because it is
    elected or for its role: the others would not take its place."""
    return not service.options.writer and not service.options.check.role


def drained(view: ReadView, services: Iterable[ServiceSpec]) -> frozenset[tuple[str, str]]:
    """`(service, node)` of each server of these services that an operator has drained."""
    requested = [(service, node) for service, _, node in (key.partition("/") for key in view.drains)]
    if not requested:
        return frozenset()
    return frozenset(
        (spec.name, node) for spec in services for service, node in requested
        if service == spec.name or (service == ALL and drainable(spec))
    )  # fmt: skip


def following(view: ReadView, cluster: ClusterSpec) -> frozenset[tuple[str, str]]:
    """`(service, node)` of each server that gets no new connections since the instance that it stands for is on its way
    down, or is not to run: of services that follow a group that runs on every node.

    An instance that fails goes by HAProxy's checks alone. What is not known changes nothing, and no service loses all
    servers by this.
    """
    nodes = [node.name for node in cluster.nodes]
    out: set[tuple[str, str]] = set()
    for service in cluster.services:
        clone = cluster.group(service.follows) if service.follows else None
        if clone is None or clone.run == "one":
            continue
        places = service.places(nodes)
        down = {node for node in places if node and _goes_down(view, clone, node)}
        stopped = {node for name, node in drained(view, (service,))}
        if any(not node or (node in view.sessions and node not in down | stopped) for node in places):
            out |= {(service.name, node) for node in down}
    return frozenset(out)


def _goes_down(view: ReadView, clone: GroupSpec, node: str) -> bool:
    said = said_of(view, clone.name, node) or {}
    if said.get("alone"):
        return False
    if off(view, clone) or sent_off(view, clone.name, node):
        return True
    if said.get("failed"):
        return False
    return bool(said.get("leaving")) or said.get("phase") in ("starting", "stopping", "stopped")


def owners(view: ReadView, groups: Iterable[str]) -> dict[str, str]:
    """For each of these groups the node that owns it, if that is live: the one writer of what is bound to the group.

    A group that is on its way (`handoff`) is nobody's: the node that had it has stopped it, or, with overlap,
    lets go of it; the node that gets it may not have taken notice. So the old writer is out of use before the new one
    is in use. A group that is left alone (`unmanaged`) stays with the node where it is, and so does one whose ownership
    cannot be read.
    """
    owned = {}
    for group in groups:
        known = view.groups.get(group)
        if view.keys.group(group) in view.unreadable:
            where = [node for node in view.sessions if reported_running(view, group, node)]
            if len(where) == 1:
                owned[group] = where[0]
        if known is None or known.record.state not in ("owned", "unmanaged"):
            continue
        if may_live(view, known.record.holder):
            owned[group] = known.record.node
    return owned
