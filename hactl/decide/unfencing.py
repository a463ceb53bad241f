"""Unfencing: a device that keeps a fenced node out (storage, say) has to switch it on again before the node takes
anything. And what else holds a node back. Pure."""

from __future__ import annotations

from fencing import job
from fencing.topology import Level, NodeFencing, Target
from hactl.decide.fencing import act
from hactl.decide.state import NodeState, Out, Work


def unfenced(state: NodeState) -> bool:
    """Whether the devices that keep a fenced node out have let this session in."""
    return not state.topology.nodes or state.unfenced_session_id == state.session.session_id or not _doors(state)


def blocked_reason(state: NodeState) -> str:
    """Why nothing may be taken by this node now; empty: it may."""
    if state.watchdog_missing:
        return "the watchdog that is required here is not armed"
    return "" if unfenced(state) else "waiting for this node to be let in by its fence device"


def _doors(state: NodeState) -> tuple[Target, ...]:
    known = state.topology.devices
    levels = state.topology.of(state.node).levels
    return tuple(target for level in levels for target in level.targets if known[target.device].unfence)


def unfence(state: NodeState, out: Out) -> None:
    """Have this node switched on by every device that asks for it."""
    if state.session.state != "live" or state.blind(out.now) or unfenced(state):
        return
    doors = _doors(state)
    work = state.fencing.get(state.node)
    if work is None or work.session_id != state.session.session_id:
        work = Work(state.session.session_id, job.switch_on(NodeFencing((Level(doors),)), 0, out.now))
        state.fencing[state.node] = work
    if work.action:
        return
    match job.next_step(work.job, out.now):
        case job.Switch() as switch:
            act(state, state.node, work, switch, None, out)
        case job.Finished():
            state.unfenced_session_id = state.session.session_id
            del state.fencing[state.node]
            out.note("unfenced", node=state.node)
