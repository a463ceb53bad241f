"""What operators have planned, as placement and the steps see it. Pure, and without a clock: what ends by itself ends
by a write (planned_steps.py).
"""

from __future__ import annotations

from election.reading import ReadView
from election.records import Maintenance
from election.view import Versioned
from hactl.model.cluster import GroupSpec

# The name of the maintenance of everything.
ALL = "*"


def off(view: ReadView, group: GroupSpec) -> str:
    """Why the group is to run nowhere; empty: it is to run."""
    if not group.enabled:
        return "disabled"
    stop = view.stopped.get(group.name)
    return f"stopped by {stop.record.by or 'an operator'}" if stop is not None else ""


def kept_off(view: ReadView, group: str, node: str) -> str:
    """Why an operator wants the group not to be on the node, wherever else it may run; empty: it may be there."""
    if node in view.standby:
        return "in standby"
    ban = view.bans.get(f"{group}/{node}")
    return f"banned by {ban.record.by or 'an operator'}" if ban is not None else ""


def maintenance_of(view: ReadView, group: str) -> Versioned[Maintenance] | None:
    """The operator's request to leave the group alone, its own or that of everything; None: there is none."""
    return view.maintenance.get(group) or view.maintenance.get(ALL)


def left_alone(view: ReadView, group: str, node: str) -> bool:
    """Whether what runs of the group on the node is not hactl's to stop: the node was its owner and has written that it
    is `unmanaged`. It holds until somebody has written another ownership, whatever becomes of the session."""
    known = view.groups.get(group)
    return known is not None and known.record.state == "unmanaged" and known.record.node == node


def resting(view: ReadView, group: str) -> str:
    """Why nobody starts, stops or moves the group; empty: no maintenance is asked for."""
    return "left alone (maintenance)" if maintenance_of(view, group) is not None else ""
