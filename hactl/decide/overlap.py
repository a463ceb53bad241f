"""The end of an overlap (docs/protocol.md, *Planned moves*). Pure.

The new owner runs and the old one stops, or the new one gives the group back. Neither lasts longer than the move's
deadline. Each side counts it by its own clock, from its first sight of the ownership.
"""

from __future__ import annotations

from election.clock import Instant, owner_elapsed
from election.ownership import session_of
from election.records import Ownership
from election.view import Versioned
from hactl.decide.local_group import LocalGroup
from hactl.decide.planned import kept_off, off
from hactl.decide.state import NodeState
from hactl.decide.unfencing import blocked_reason
from hactl.model.cluster import GroupSpec

# No move lasts longer, whatever the start timeouts of its resources come to.
LONGEST_MOVE_MS = 60_000.0

# How long beyond the deadline of the new owner the old one waits for its word, in leases.
PATIENCE_LEASES = 2.0


def deadline_ms(spec: GroupSpec) -> float:
    """How long the new owner of an overlap may take to start everything."""
    return min(LONGEST_MOVE_MS, sum(resource.start_timeout_ms for resource in spec.resources))


def watch(run: LocalGroup, observed: Versioned[Ownership], now: Instant) -> None:
    """Note when this ownership was first seen; called whenever this node is a part of an overlap."""
    if run.overlap_seen is None or run.overlap_seen[0] != observed.record.epoch:
        run.overlap_seen = (observed.record.epoch, now)


def too_long(run: LocalGroup, now: Instant, limit_ms: float) -> bool:
    """Whether this overlap has lasted longer here than `limit_ms`."""
    return run.overlap_seen is not None and owner_elapsed(run.overlap_seen[1], now) >= limit_ms


def given_back(state: NodeState, run: LocalGroup, own: Ownership, now: Instant) -> str:
    """Why this node, the owner, is to give the group back to its earlier owner, who still runs it; empty: it is not."""
    if not wanted(state, run.spec):
        return off(state.view, run.spec) or "taken out of the configuration"
    late = too_long(run, now, deadline_ms(run.spec))
    if (reason := unwilling(state, run.spec)) and (late or not run.running):
        return reason
    earlier = [holder for holder in own.holders if session_of(state.view, holder)]
    if run.running or not earlier:
        return ""  # it comes to its end, or nobody is there any more to give it back to
    if run.restarts > run.spec.restarts:
        return f"{state.node} could not start it: {run.failure}"
    return f"{state.node} did not start it within {deadline_ms(run.spec) / 1000:g} s" if late else ""


def lets_go(state: NodeState, run: LocalGroup, own: Ownership, now: Instant) -> bool:
    """Whether this node, the earlier owner, is to stop it whatever becomes of the new one."""
    if not wanted(state, run.spec):
        return True
    if not unwilling(state, run.spec):
        return False
    patience = deadline_ms(run.spec) + PATIENCE_LEASES * state.timing.lease_ms
    return own.state == "released" or too_long(run, now, patience)


def lost_here(state: NodeState, run: LocalGroup) -> bool:
    """Whether this node, the earlier owner, does not run it any more and could not start it again: what it holds is
    nothing but in the way of the others, who take nothing that a living node holds."""
    if not any(health in ("stopped", "failed") for health in run.health.values()) or state.cluster is None:
        return False
    return bool(blocked_reason(state)) or state.choice(run.spec.name).rank(state.node) is None


def takes_back(state: NodeState, run: LocalGroup, own: Ownership) -> bool:
    """Whether this node, the earlier owner, still runs what the new one gave back."""
    return own.state == "released" and state.me in own.holders and run.running and not unwilling(state, run.spec)


def wanted(state: NodeState, spec: GroupSpec) -> bool:
    """Whether the group is to run at all."""
    return (
        not off(state.view, spec) and state.cluster is not None and state.cluster.exclusive_group(spec.name) is not None
    )


def unwilling(state: NodeState, spec: GroupSpec) -> str:
    """Why this node is not to keep the group, however well it runs here; empty: it may."""
    if state.phase == "ending":
        return "shutdown"
    if reason := kept_off(state.view, spec.name, state.node):
        return reason
    return "not in the group's nodes" if spec.nodes and state.node not in spec.nodes else ""
