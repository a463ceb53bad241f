"""How long the loop that decides was kept from its events: measured where it waits for events, for next to nothing.

`work`: it worked on one thing, or several, without looking at its events: processor time of its own. `wait`: it was
ready to run and did not: the machine was busy, a disk or another thread kept it, or it was stopped.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Literal, NamedTuple, TypeVar

# The loop must never be kept longer: a renewal is late after four times as much with the profile `fast`.
LIMIT_S = 0.05

# Threads that work give way to the loop within this time.
SWITCH_S = 0.001

# For so long a time is reported.
TOLD_S = 300.0
_SLICE_S = 10.0

Cause = Literal["work", "wait"]
CAUSES: tuple[Cause, ...] = ("work", "wait")


T = TypeVar("T")


class Slice(NamedTuple):
    """The longest within some seconds, from `since` on."""

    since: float
    work: float
    wait: float


class LoopTimes(selectors.DefaultSelector):
    """The selector of a loop, and its times. `over`: how often it was longer than LIMIT_S, by cause."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, cpu: Callable[[], float] = time.thread_time
    ) -> None:
        super().__init__()
        self._clock, self._cpu = clock, cpu
        self._woke, self._woke_cpu = clock(), cpu()
        self._work = self._wait = 0.0
        self._since = self._from = self._woke
        self._slices: deque[Slice] = deque(maxlen=int(TOLD_S / _SLICE_S))
        self.over: dict[Cause, int] = dict.fromkeys(CAUSES, 0)

    def select(self, timeout: float | None = None) -> Any:
        """Wait for events, as a selector does."""
        now, cpu = self._clock(), self._cpu()
        work = cpu - self._woke_cpu
        wait = now - self._woke - work
        ready = super().select(timeout)
        self._woke, self._woke_cpu = self._clock(), cpu
        if timeout is not None:
            wait = max(wait, self._woke - now - max(timeout, 0.0))
        if self._woke < self._from:
            return ready
        if work > self._work or wait > self._wait or self._woke - self._since > _SLICE_S:
            self._note(work, wait)
        if work > LIMIT_S:
            self.over["work"] += 1
        if wait > LIMIT_S:
            self.over["wait"] += 1
        return ready

    def longest(self, cause: Cause, within_s: float = 60.0) -> float:
        """The longest within this time, in seconds."""
        first = self._clock() - within_s
        recent: list[float] = [getattr(known, cause) for known in self._slices if known.since + _SLICE_S >= first]
        return max([*recent, self._work if cause == "work" else self._wait])

    def begin(self, after_s: float = 0.0) -> None:
        """Count from then on: the time before is the start, in which libraries are loaded."""
        self._from = self._clock() + after_s
        self._work = self._wait = 0.0
        self._slices.clear()
        self.over = dict.fromkeys(CAUSES, 0)

    def _note(self, work: float, wait: float) -> None:
        if self._woke - self._since > _SLICE_S:
            self._slices.append(Slice(self._since, self._work, self._wait))
            self._since, self._work, self._wait = self._woke, 0.0, 0.0
        self._work, self._wait = max(self._work, work), max(self._wait, wait)


def facts() -> dict[str, float] | None:
    """For the status document: the longest of the last minutes, in ms."""
    times = times_of_running_loop()
    if times is None:
        return None
    longest = {f"{cause}_ms": round(1000 * times.longest(cause, TOLD_S), 1) for cause in CAUSES}
    return {**longest, "limit_ms": 1000 * LIMIT_S, "minutes": TOLD_S / 60}


def times_of_running_loop() -> LoopTimes | None:
    """Of the loop that runs now, where it is measured."""
    selector = getattr(asyncio.get_running_loop(), "_selector", None)
    return selector if isinstance(selector, LoopTimes) else None


def measured_loop() -> asyncio.AbstractEventLoop:
    """A loop that is measured."""
    return asyncio.SelectorEventLoop(LoopTimes())


def run_measured(main: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, on a loop that is measured."""
    sys.setswitchinterval(SWITCH_S)
    with asyncio.Runner(loop_factory=measured_loop) as runner:
        return runner.run(main)
