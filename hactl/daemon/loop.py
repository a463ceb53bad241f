"""The one loop: event in, decide, effects out (ARCHITECTURE.md). Every event is stamped once, here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from election.clock import Instant
from fencing.guard_sys import now as read_clocks
from hactl.decide import node as decide
from hactl.decide.state import NodeState
from hactl.model import events
from hactl.model.effects import Effect

# Two instants so near each other are the same for the timer: far more than the clocks differ in, far less than a Tick.
SAME_S = 0.0005


class Loop:
    """Feeds the decide side and hands its effects to `carry_out`. `look` is called after every step that decided
    something: most of what comes is renewals, which change nothing but when a peer was heard last."""

    def __init__(self, state: NodeState, carry_out: Callable[[Effect], None], look: Callable[[], None]) -> None:
        self.state = state
        self._carry_out, self._look = carry_out, look
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._stopped = False

    def post(self, event: events.Event) -> None:
        """Take an event. Called on the event loop only, never from within `carry_out`."""
        if self._stopped:
            return
        now, time_s = read_clocks(), self._loop.time()
        for effect in decide.step(self.state, event, now):
            self._carry_out(effect)
        if self.state.decided_at is now or self._timer is None:
            self._look()
            self._wake(now, time_s)

    def stop(self) -> None:
        """Take no more events."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    def _wake(self, now: Instant, time_s: float) -> None:
        """Most events leave the next Tick where it is: then its timer is left alone, too."""
        if self._stopped:
            return
        at_s = time_s + decide.next_wake(self.state, now) / 1000
        if self._timer is not None:
            if abs(self._timer.when() - at_s) < SAME_S:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(at_s, self.post, events.Tick())
