"""The servers of services, as the view has them: those that get no new connections, and the one writer. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from election.ownership import may_live
from election.reading import ReadView
from hactl.decide.placement.eligible import reported_running
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
