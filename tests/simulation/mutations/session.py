"""The session of a node without one of its rules: its writes, and until when it is valid."""

from __future__ import annotations

from typing import Any

from election import session
from election.clock import Instant
from hactl.decide import node, own_session
from hactl.decide.state import NodeState
from tests.simulation.mutations.mutation import Mutation, all_of, patch


def _valid_from_answer() -> Any:
    original = session.answered

    def answered(state: Any, attempt: int, result: Any, now: Instant) -> None:
        if attempt in state.sent:
            state.sent[attempt] = now.plus(state.lease_ms)
        original(state, attempt, result, now)

    return patch(session, "answered", answered)


def _repeated_attempts() -> Any:
    """Attempt numbers used again: an old write that lands is taken for the newest."""

    def next_attempt(state: Any, now: Instant) -> int:
        state.attempt = state.attempt // session.ATTEMPTS_OF_A_DAEMON * session.ATTEMPTS_OF_A_DAEMON + 1
        state.sent[state.attempt] = now.plus(state.lease_ms)
        state.last_sent, state.in_flight = now, state.attempt
        return int(state.attempt)

    return patch(session.SessionState, "next_attempt", next_attempt)


def _no_guard_deadline() -> Any:
    """A new daemon counts the adopted session's validity from now, instead of taking it from the guard."""
    original = session.adopt

    def adopt(state: Any, stored: Any, valid_until: Instant, incarnation: int) -> None:
        original(state, stored, valid_until, incarnation)
        moment = _now[0]
        state.valid_until = moment.plus(state.lease_ms)

    def step(state: NodeState, event: Any, now: Instant) -> Any:
        _now[0] = now
        return real_step(state, event, now)

    real_step = node.step
    _now = [Instant(0, 0)]
    return all_of(patch(own_session, "adopt", adopt), patch(node, "step", step))


def _renew_blind() -> Any:
    return patch(NodeState, "blind", lambda self, now: False)


# fmt: off
MUTATIONS = [
    Mutation("validity counted from the answer", _valid_from_answer, ("cut-answers", "lag-watch"), ("G1",)),
    Mutation("attempt numbers used again", _repeated_attempts, ("store-slow", "cut-answers"), ("G1", "L1", "G5")),
    Mutation("validity of an adopted session from now", _no_guard_deadline, ("kill-daemon", "cut"), ("G1", "G5", "S1")),
    Mutation("renewing while blind", _renew_blind, ("deaf-watch", "crash"), ("L1", "S1", "S2")),
]
# fmt: on
