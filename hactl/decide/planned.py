"""What operators have planned, as placement and the steps see it. Pure, and without a clock: what ends by itself ends
by a write (planned_steps.py).
"""

from __future__ import annotations

from election.reading import ReadView
from hactl.model.cluster import GroupSpec


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
