"""Keeps HAProxy alive: one that has ended is started again, one that hangs is killed first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from hactl.haproxy.control.process import HaproxyProcess
from hactl.haproxy.control.pulse import ASK_EVERY_S, Silence, look
from hactl.haproxy.events import EventKind
from hactl.supervise import Tasks

# After a run that lasted so long, an end is a new story: to restart once in this time costs little.
_GOOD_RUN_S = 1.0
_RESTART_DELAYS_S = (0.0, 0.0, 0.0, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)


def restart_delay_s(quick_ends: int) -> float:
    """How long to wait before a restart, after so many ends soon after a start, in a row."""
    return _RESTART_DELAYS_S[min(quick_ends, len(_RESTART_DELAYS_S) - 1)]


class Keeper:
    """Of one HAProxy. `restart`: start it if it does not run, and say whether it runs; `emit`: report an event.

    `restarts`: after ends that nobody wanted. `silence`: since when it does not answer.
    """

    def __init__(
        self,
        process: HaproxyProcess,
        restart: Callable[[], Awaitable[bool]],
        emit: Callable[[EventKind, str, float | None], None],
        tasks: Tasks,
    ) -> None:
        self._process, self._restart, self._emit = process, restart, emit
        self._supervisor = tasks
        self._tasks: list[asyncio.Task[None]] = []
        self._started_at = 0.0
        self._quick_ends = 0
        self.restarts = 0
        self.silence = Silence()

    @property
    def watching(self) -> bool:
        """Whether it is watched."""
        return bool(self._tasks)

    def starts(self) -> None:
        """It is being started, or was found."""
        self._started_at, self.silence = time.monotonic(), Silence()

    def watch(self) -> None:
        """Begin to watch it."""
        if not self._tasks:
            self._tasks = [
                self._supervisor.keep("HAProxy's process", self._keep_running),
                self._supervisor.keep("HAProxy's answers", self._keep_answering),
            ]

    async def close(self) -> None:
        """End the watching. HAProxy goes on."""
        tasks, self._tasks, self.silence = self._tasks, [], Silence()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_running(self) -> None:
        while True:
            ending = await self._process.wait()
            ran_s = time.monotonic() - self._started_at
            self._quick_ends = 0 if ran_s > _GOOD_RUN_S else self._quick_ends + 1
            self.restarts += 1
            self._emit("died", f"HAProxy {ending}", ran_s)
            await asyncio.sleep(restart_delay_s(self._quick_ends))
            while not await self._restart():
                self._quick_ends += 1
                await asyncio.sleep(restart_delay_s(self._quick_ends))

    async def _keep_answering(self) -> None:
        while True:
            await self._look()

    async def _look(self) -> None:
        if self.silence.since is None:
            await asyncio.sleep(ASK_EVERY_S)
        if not self._process.running():
            self.silence = Silence()
            await asyncio.sleep(ASK_EVERY_S)
            return
        began = self._started_at
        pulse = await look(self._process.settings.stats_socket, self._process.pid)
        if began != self._started_at or began > pulse.began_at:
            return  # another one by now
        self.silence.see(pulse)
        if pulse.problem:
            # No socket, or nobody behind it, is told at once: it is not asked in a circle.
            await asyncio.sleep(max(0.0, pulse.began_at + ASK_EVERY_S - time.monotonic()))
        if self.silence.hung(time.monotonic()):
            self._emit("hung", f"{pulse.problem}: it is killed and started again", None)
            self._process.send_kill()
            self.silence = Silence()
