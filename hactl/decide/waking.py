"""When a daemon looks at everything again, whatever happens meanwhile. Pure."""

from __future__ import annotations

from election.clock import Instant, owner_elapsed
from election.observer import limit_ms
from hactl.decide.state import NodeState


def next_wake(state: NodeState, now: Instant) -> float:
    """In how many milliseconds `step` wants a Tick at the latest: half a heartbeat after the last look at
    everything, or when before that a renewal is due, a peer's guard is to be asked, or its lease is over."""
    timing, suspect_ms = state.timing, state.timing.suspect_after_ms
    soonest = timing.heartbeat_ms / 2
    if state.decided_at is not None:
        soonest -= owner_elapsed(state.decided_at, now)
    if state.session.last_sent is not None and state.session.in_flight is None:
        renewal = timing.heartbeat_ms - owner_elapsed(state.session.last_sent, now)
        if 0 < renewal < soonest:
            soonest = renewal
    for node, session in state.view.sessions.items():
        if node == state.node:
            continue
        silent = state.observer.silent_ms(node, now)
        for limit in (limit_ms(session.record.lease_ms), suspect_ms, suspect_ms - timing.heartbeat_ms):
            if silent < limit < silent + soonest:
                soonest = limit - silent
    return max(1.0, soonest)
