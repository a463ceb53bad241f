"""HAProxy as a part of a group: started and stopped with it alone, else driven like the one on every node."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from hactl.haproxy.control.files import ApplyResult
from hactl.haproxy.control.manager import HaproxyManager
from hactl.haproxy.control.process import IN_GROUP
from hactl.haproxy.control.pulse import ASK_EVERY_S, Pulse, Silence, look
from hactl.haproxy.control.runtime import ask
from hactl.haproxy.events import HaproxyEvent
from hactl.haproxy.settings import HaproxyError, HaproxySettings
from hactl.resources.base import NodeContext, Observation


class InGroupManager(HaproxyManager):
    """Its end is repaired by the group: it is not started again here. The group's addresses are up before it is, so
    that no address of another node has to be bound."""

    nonlocal_bind = False
    may_start = False

    def __init__(
        self, settings: HaproxySettings, context: NodeContext, on_event: Callable[[HaproxyEvent], None] | None = None
    ) -> None:
        super().__init__(settings, context, on_event, IN_GROUP)

    @property
    def active(self) -> bool:
        """It runs, or is being started."""
        return self.may_start or self._process.running()

    async def start(self, text: str) -> None:
        """Have it run; with the configuration it ran with last, where this one is refused. Raises HaproxyError when it
        does not run."""
        self.may_start = True
        try:
            result: ApplyResult = await self.ensure(text)
        finally:
            self.may_start = False
        if not self._process.running():
            nothing = "there is nothing for HAProxy to do: no service of cluster.yaml is enabled"
            raise HaproxyError(result.error or nothing)

    async def stop(self, grace_s: float = 0.0) -> None:
        """End it and its connections; of one that does not answer none would come to an end. Raises HaproxyError."""
        hangs = grace_s > 0 and (await look(self.settings.stats_socket, self._process.pid)).problem
        await super().stop(0.0 if hangs else grace_s)

    async def kill(self) -> None:
        """End it by the fastest way. Raises HaproxyError."""
        was_there = self._process.known()
        await self._process.kill()
        self._files.forget()
        if was_there:
            self._emit("stopped")

    async def ended(self) -> str:
        """Wait for its end, and say how it ended."""
        return await self._process.wait()

    async def hangs(self) -> str:
        """Wait until it runs and does not answer for too long, and say so."""
        silence = Silence()
        while not silence.hung(time.monotonic()):
            if not silence.problem:
                await asyncio.sleep(ASK_EVERY_S)
            pid = self._process.pid
            if pid is None:
                silence = Silence()
                continue
            pulse = await look(self.settings.stats_socket, pid)
            silence.see(pulse if self._process.pid == pid else Pulse(pulse.began_at))
            if pulse.absent:
                await asyncio.sleep(ASK_EVERY_S)
        return silence.problem

    def observe(self) -> Observation:
        """Its state."""
        return self._process.observe()

    async def test(self, timeout_s: float) -> Observation:
        """As `observe`; and whether it answers."""
        seen = self.observe()
        if seen.health == "running":
            try:
                await ask(self.settings.stats_socket, "show info", timeout_s)
            except HaproxyError as error:
                return Observation("failed", str(error))
        return seen

    def guard_steps(self) -> tuple[dict[str, Any], ...]:
        """How the guard kills it."""
        return self._process.guard_steps()

    def _adopted(self) -> bool:
        return self._process.running()

    def _watch(self) -> None:
        """The resource does."""
