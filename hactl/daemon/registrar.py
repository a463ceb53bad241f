"""Names what is about to be started: on disk, then to the guard (docs/protocol.md, *Session* 5)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from hactl.daemon.guard_link import GuardLink
from hactl.daemon.parts.state_files import Disk
from hactl.linux.disk_thread import DiskThread
from hactl.linux.errors import OperationError
from hactl.model.cluster import ResourceSpec
from hactl.model.effects import GuardRegister, GuardUnregister
from hactl.resources.base import Resource
from hactl.supervise import describe

log = structlog.get_logger()

# A disk that takes so long is as good as none.
DISK_S = 10.0

Ask = Callable[[str, Awaitable[Any]], Awaitable[None]]


class Registrar:
    """Asks the guard by `ask`, which takes care of the answer; `refused` is told why it was not even asked.

    The disk is waited for beside the loop: a write that must be safe takes from 3 ms to any time, and renewals go on.
    What concerns names and definitions is done one after another, in the order in which it was asked for.
    """

    def __init__(
        self,
        disk: Disk,
        guard: GuardLink,
        resource: Callable[[str, ResourceSpec], Resource],
        ask: Ask,
        refused: Callable[[str, str], None],
    ) -> None:
        self._disk, self._guard, self._resource = disk, guard, resource
        self._ask, self._refused = ask, refused
        self._writer = DiskThread("state_dir", DISK_S)
        self._turn = asyncio.Lock()  # first come, first served

    async def register(self, effect: GuardRegister) -> None:
        """The resource may be started once the guard has answered: its group's definition is on disk then."""
        name = f"{effect.group.name}/{effect.resource.name}"
        async with self._turn:
            try:
                await self._writer.run(self._disk.keep_started, effect.group)
                steps = self._resource(effect.group.name, effect.resource).guard_steps()
            except (OSError, OperationError) as error:
                problem = describe(error) if isinstance(error, OSError) else str(error)
                self._refused(name, problem)
                log.error("register_failed", resource=name, problem=problem)
                return
            await self._ask(name, self._guard.register(name, steps))

    async def unregister(self, effect: GuardUnregister) -> None:
        """It was seen stopped."""
        async with self._turn:
            await self._ask("", self._guard.unregister(f"{effect.group}/{effect.resource}"))

    async def forget(self, runs: Callable[[], set[str]]) -> None:
        """Drop the definitions of all groups but `runs`."""
        async with self._turn:
            await self._writer.run(self._disk.forget_started, runs())

    def close(self) -> None:
        """Begin nothing more."""
        self._writer.close()
