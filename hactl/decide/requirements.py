"""What groups require of the HAProxy on their node. Pure.

A group with an address that HAProxy binds has its clients answered by the HAProxy of its node: where that is not well,
the node is poor for the group. A group may also name services (`requires`): each is a health check of the node, which
passes while its HAProxy answers for the service, that is, accepts connections and finds a server up. What a failing one
means is the same as of any other check (node_health.py): if the group must have it, the node is unfit while another one
is well; else it comes last.
"""

from __future__ import annotations

from election.records import CheckReport
from hactl.decide.readiness import OwnReadiness
from hactl.decide.reading import ReadState
from hactl.decide.state import NodeState
from hactl.model.events import HaproxySeen
from hactl.model.requirements import check_of

SOURCE = "haproxy"


def checks_seen(state: ReadState, seen: HaproxySeen) -> dict[str, CheckReport]:
    """How the checks of required services stand, by what was seen of HAProxy."""
    required = state.plan().rules.required if state.cluster is not None else ()
    return {
        check_of(name): CheckReport(ok=name not in seen.failing, text=seen.failing.get(name, "served"))
        for name in required
    }


def judge(state: NodeState) -> None:
    """What it means for the groups whose VIP HAProxy binds that it is not well."""
    seen = state.haproxy
    if seen is None:
        return
    for name in state.runs:
        why = seen.problem if name in seen.bound else ""
        if why or name in state.readiness:
            own = state.readiness.setdefault(name, OwnReadiness())
            own.post(SOURCE, "poor" if why else "ready", why)
