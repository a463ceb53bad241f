"""The checks of a resource that runs: its own monitor and its probes, each again and again in a rhythm of its own.

Nothing waits for them: each is a task beside the loop, with a deadline. They are spread over their intervals, so that
many resources are not asked in one burst. What an answer comes to is decided by `hactl.decide.rise_fall`.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

import structlog

from hactl.decide.rise_fall import RiseFall
from hactl.linux.errors import OperationError
from hactl.model.probes import HealthProbe, Rhythm
from hactl.model.resources import ResourceSpec
from hactl.resources.base import Observation, Resource
from hactl.supervise import Tasks, lacks

log = structlog.get_logger()

Report = Callable[[Observation], None]
Look = Callable[[], Awaitable[Observation]]

_MONITOR = "monitor"


async def rounds(place: str, rhythm: Rhythm, look: Callable[[], Awaitable[None]], *, started: bool = False) -> None:
    """Look again and again, until cancelled: at the same part of each interval, which is that of `place`. A look that
    takes longer than the interval delays the next one. `started`: what is looked at was started just now; not before
    its delay, and half an interval, are over."""
    loop, interval_s = asyncio.get_running_loop(), rhythm.interval_ms / 1000
    part = (zlib.crc32(place.encode()) % 1000 + 1) / 1000
    if started:
        part += rhythm.start_delay_ms / rhythm.interval_ms + (1 if part < 0.5 else 0)
    next_at = loop.time() + interval_s * part
    while True:
        await asyncio.sleep(next_at - loop.time())
        await look()
        next_at = max(next_at + interval_s, loop.time())


class HealthChecks:
    """The checks of one resource of `group`. `report` gets what they come to; observations that come from elsewhere go
    through `seen`: a resource whose probes have failed does not run well, whatever else is seen of it."""

    def __init__(
        self, group: str, resource: Resource, spec: ResourceSpec, report: Report, tasks: Tasks, env: Mapping[str, str]
    ) -> None:
        """`spec`: as configured now; in how it is watched it may differ from the one it was started by."""
        self._group, self._resource, self._spec, self._tasks = group, resource, spec, tasks
        self._report, self._env = report, env
        self._failing: dict[str, str] = {}
        self._runs = True

    async def run(self, *, started: bool) -> None:
        """Until cancelled. `started`: just now; the delays after a start hold."""
        async with asyncio.TaskGroup() as tasks:
            monitor = self._spec.monitor
            tasks.create_task(self._repeat(_MONITOR, monitor, self._resource.monitor, started=started))
            for index, probe in enumerate(self._spec.probes):
                name = f"probe {index + 1}: {probe.check.words()}"
                tasks.create_task(self._repeat(name, probe.rhythm, self._asking(probe), started=started))

    def seen(self, seen: Observation) -> None:
        """What an event or the monitor shows."""
        self._runs = seen.health == "running"
        if not self._runs:
            self._failing.clear()
        elif self._failing:
            seen = replace(seen, health="failed", detail=next(iter(self._failing.values())))
        self._report(seen)

    async def _repeat(self, name: str, rhythm: Rhythm, look: Look, *, started: bool) -> None:
        place, counted = f"{self._group}/{self._spec.name}/{name}", RiseFall(rhythm.rise, rhythm.fall)

        async def once() -> None:
            seen = await self._look(name, rhythm, look)
            if seen is not None:
                self._count(name, counted, seen)

        await rounds(place, rhythm, once, started=started)

    def _count(self, name: str, counted: RiseFall, seen: Observation) -> None:
        """Of a resource that does not run its probes say nothing: that is known."""
        good = seen.health == "running"
        failed = counted.see(good, certain=seen.certain)
        if good and not failed:
            recovered = self._failing.pop(name, "") != ""
            if name == _MONITOR or (recovered and self._runs):
                self.seen(Observation("running"))
        elif not failed:
            about = {"group": self._group, "resource": self._spec.name, "check": name, "detail": seen.detail}
            log.info("check_not_well", **about, times=counted.in_a_row, of=counted.fall)
        elif not good and seen.certain:
            self.seen(seen)
        elif not good and self._runs:
            self._failing[name] = seen.detail or "it is not well"
            self._report(seen)

    async def _look(self, name: str, rhythm: Rhythm, look: Look) -> Observation | None:
        """A look that fails for the daemon's lack of memory, say, or by its own mistake, has no result: that is a
        trouble of this node, not of the resource."""
        task = f"{name} of {self._spec.name}"
        try:
            async with asyncio.timeout(rhythm.timeout_ms / 1000):
                seen = await look()
        except TimeoutError:
            seen = Observation("failed", f"{name}: no answer within {rhythm.timeout_ms / 1000:g} s", certain=False)
        except Exception as error:
            if not isinstance(error, OperationError | OSError) or lacks(error):
                self._tasks.failed(task, error)
                return None
            seen = Observation("failed", f"{name}: {error}", certain=False)
        self._tasks.well(task)
        return seen

    def _asking(self, probe: HealthProbe) -> Look:
        async def look() -> Observation:
            from hactl.probes.ask import ask  # noqa: PLC0415 - only where there are probes

            outcome = await ask(probe, env=self._env)
            return Observation("running" if outcome.ok else "failed", outcome.words, certain=False)

        return look
