"""The one loop: event in, decide, effects out (docs/architecture.md). Every event is stamped once, here.

After any exception the timer is armed again and the effects that were decided are carried out: the renewal is among
them, and the resources here go on only as long as the session is renewed. But a state that a step left half changed is
not trusted for long: when steps go on failing the daemon ends, and the next one adopts what runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from election.clock import Instant, owner_elapsed
from fencing.linux.clock import now as read_clocks
from hactl.decide import node as decide
from hactl.decide.state import NodeState
from hactl.model import effects, events
from hactl.model.effects import Effect

log = structlog.get_logger()

# Two instants so near each other are the same for the timer: far more than the clocks differ in, far less than a Tick.
SAME_S = 0.0005

# After so many failed steps in a row, or after so long without one that decided (in heartbeats, at least
# FAILING_MS), the daemon ends.
FAILED_STEPS = 5
FAILING_HEARTBEATS, FAILING_MS = 2.0, 2_000.0

# How soon after a failed step the next Tick comes.
RETRY_S = 0.2

# A Tick comes at least so often: systemd counts the seconds between those that decided something.
LONGEST_S = 2.0


class Loop:
    """Feeds the decide side and hands its effects to `carry_out`. `look` is called after every step that decided
    something: most events are renewals, which change nothing but when a peer was heard last. `decided`: how many
    steps have done that, which is the proof that the loop makes progress."""

    def __init__(self, state: NodeState, carry_out: Callable[[Effect], None], look: Callable[[], None]) -> None:
        self.state = state
        self.decided = 0
        self._carry_out, self._look = carry_out, look
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._stopped = False
        self._failed_in_a_row = 0
        self._failing_since: Instant | None = None
        self._logged: set[str] = set()

    def post(self, event: events.Event) -> None:
        """Take an event. Called on the event loop only, never from within `carry_out`. Never raises."""
        if self._stopped:
            return
        now, time_s = read_clocks(), self._loop.time()
        try:
            step = decide.step(self.state, event, now)
            self._step_done(step.decided)
        except decide.StepError as error:
            step = decide.Step(error.effects, True, min(RETRY_S * 1000, self.state.timing.heartbeat_ms / 2))
            self._step_failed(f"step/{type(event).__name__}", error.__cause__ or error, now)
        for effect in step.effects:
            self._do(effect)
        if step.decided or self._timer is None:
            self._guarded("look", self._look)
            self._wake_at(time_s + min(step.wake_ms / 1000, LONGEST_S))

    def stop(self) -> None:
        """Take no more events."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    def _do(self, effect: Effect) -> None:
        """Carry out one effect; one that raises is answered as if it had failed, so that nothing waits for it."""
        name = f"effect/{type(effect).__name__}"
        if not self._guarded(name, self._carry_out, effect) and (answer := _failed_answer(effect, name)) is not None:
            self._loop.call_later(RETRY_S, self.post, answer)

    def _guarded(self, where: str, call: Callable[..., None], *args: Any) -> bool:
        try:
            call(*args)
        except Exception as error:
            self._note(where, error)
            return False
        return True

    def _note(self, where: str, error: BaseException) -> None:
        """With its traceback once for each place and kind; they are all counted."""
        problem = f"{where}: {type(error).__name__}: {error}"[:300]
        decide.note_error(self.state, problem)
        kind = f"{where} {type(error).__name__}"
        if kind not in self._logged:
            self._logged.add(kind)
            log.error("internal_error", where=where, problem=problem, exc_info=error)

    def _step_done(self, decided: bool) -> None:
        self._failed_in_a_row = 0
        if decided:
            self.decided += 1
            self._failing_since = None

    def _step_failed(self, where: str, error: BaseException, now: Instant) -> None:
        self._note(where, error)
        self._failed_in_a_row += 1
        self._failing_since = self._failing_since or now
        limit = max(FAILING_MS, FAILING_HEARTBEATS * self.state.timing.heartbeat_ms)
        if self._failed_in_a_row >= FAILED_STEPS or owner_elapsed(self._failing_since, now) > limit:
            reason = f"what this daemon decides goes on failing: {self.state.last_error}"
            self._guarded("effect/Exit", self._carry_out, effects.Exit(1, reason))

    def _wake_at(self, at_s: float) -> None:
        """Most events leave the next Tick where it is: then its timer is left alone, too."""
        if self._stopped:
            return
        if self._timer is not None:
            if abs(self._timer.when() - at_s) < SAME_S:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(at_s, self.post, events.Tick())


def _failed_answer(effect: Effect, problem: str) -> events.Event | None:
    """The event that ends the waiting for an effect that could not be carried out."""
    match effect:
        case effects.SendTxn():
            return events.TxnDone(effect.id, None, False, problem)
        case effects.Relist():
            return events.ListFailed(effect.id, problem)
        case effects.ReadConfig():
            return events.Configured(effect.revision, None, problem)
        case effects.Act():
            return events.Acted(effect.id, False, "unknown" if effect.action == "probe" else "failed", problem)
        case effects.FenceAct():
            return events.FenceActed(effect.id, False, "unknown", problem)
        case effects.GuardRegister():
            return events.GuardAnswered(f"{effect.group.name}/{effect.resource.name}", False, problem)
    return None
