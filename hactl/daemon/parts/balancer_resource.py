"""Kind `haproxy`: HAProxy runs where its group does, and nowhere else.

Options: `drain_ms`. It is made here and not beside the other kinds because its configuration is rendered and kept up to
date by the balancer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hactl.haproxy.control.in_group import InGroupManager
from hactl.haproxy.settings import HaproxyError
from hactl.linux.run import find_command
from hactl.model.resources import HaproxySpec
from hactl.resources.base import Observation, ResourceError

if TYPE_CHECKING:
    from hactl.daemon.parts.balancer import Balancer

# Of the stop's time: so long connections may go on at most, the rest is for the kill.
_DRAIN_SHARE = 0.8
# Of the monitor's.
_ANSWER_SHARE = 0.8


class BalancerResource:
    """HAProxy on this node, as a resource. All that are ever made drive the same one."""

    def __init__(self, spec: HaproxySpec, manager: InGroupManager, balancer: Callable[[], Awaitable[Balancer]]) -> None:
        """`balancer`: waits for the daemon's second stage, which has it."""
        self.spec = spec
        self._manager, self._balancer = manager, balancer
        self._drain_s = min(spec.options.drain_ms, spec.stop_timeout_ms * _DRAIN_SHARE) / 1000
        self._stopping = False
        self._started = asyncio.Event()

    async def start(self, env: Mapping[str, str]) -> None:
        """Start it with the configuration as it is now; return when it serves."""
        self._stopping = False
        with _explained(self.spec.name):
            await (await self._balancer()).start_in_group()
        self._started.set()

    async def stop(self) -> None:
        """New connections are refused, those that are open have `drain` to come to an end; then it is ended."""
        self._stopping = True
        with _explained(self.spec.name):
            await self._manager.stop(self._drain_s)

    async def kill(self) -> None:
        """SIGKILL."""
        self._stopping = True
        with _explained(self.spec.name):
            await self._manager.kill()

    async def probe(self) -> Observation:
        """Whether it runs."""
        return self._manager.observe()

    async def monitor(self) -> Observation:
        """Whether it runs and answers."""
        return await self._manager.test(self.spec.monitor_timeout_ms * _ANSWER_SHARE / 1000)

    async def ready(self) -> str:
        """Whether there is a HAProxy to be started."""
        return await asyncio.to_thread(find_command, self._manager.settings.binary) or ""

    async def watch(self, report: Callable[[Observation], None]) -> None:
        """Report at once when it ends by itself, and soon when it hangs."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch_end(report))
            tasks.create_task(self._watch_hanging(report))

    async def _watch_hanging(self, report: Callable[[Observation], None]) -> None:
        while True:
            problem = await self._manager.hangs()
            if not self._stopping and self._manager.observe().health == "running":
                report(Observation("failed", problem))

    async def _watch_end(self, report: Callable[[Observation], None]) -> None:
        while True:
            ending = await self._manager.ended()
            seen = self._manager.observe()
            if seen.health == "running":
                continue  # started again before this task had its turn
            self._started.clear()
            if not self._stopping:
                report(Observation(seen.health, seen.detail or f"HAProxy {ending}"))
            await self._started.wait()

    def guard_steps(self) -> tuple[dict[str, Any], ...]:
        """Kill its cgroup."""
        return self._manager.guard_steps()


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except HaproxyError as error:
        raise ResourceError(f"{name}: {error}") from None
