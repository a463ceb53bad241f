"""Carries out the effects for the guard: names are on disk, then with the guard (docs/protocol.md, *Session* 5)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from hactl.daemon.guard_link import GuardLink
from hactl.daemon.parts.state_files import StateFiles
from hactl.decide.sequences import (
    GuardMessage,
    HoldSession,
    KeepDefinition,
    KeepSession,
    Operation,
    TellGuard,
    sequence,
)
from hactl.linux.disk_thread import DiskThread
from hactl.linux.errors import OperationError
from hactl.model.cluster import GroupSpec
from hactl.model.effects import GuardBegin, GuardExtend, GuardRegister, GuardUnregister
from hactl.model.resources import ResourceSpec
from hactl.resources.base import Resource
from hactl.supervise import describe

log = structlog.get_logger()

# A disk that takes so long is as good as none.
DISK_S = 10.0

# The resources of a group that start together are registered one after another: for so long its definition, once kept,
# is on disk.
SAME_S = 1.0

Ask = Callable[[str, Awaitable[Any]], Awaitable[None]]


class Registrar:
    """Carries out the effects that concern the guard, by the order of `hactl.decide.sequences`.

    The disk is awaited beside the loop: a write that must be safe takes from 3 ms to any time, and renewals go on.
    Names and definitions are written one after another, in the order in which that was asked for.
    """

    def __init__(
        self,
        state_files: StateFiles,
        guard: GuardLink,
        resource: Callable[[str, ResourceSpec], Resource],
        ask: Ask,
        refused: Callable[[str, str], None],
        keep_session: Callable[[str], Awaitable[None]],
        hold: Callable[[str], None],
    ) -> None:
        """`ask` takes care of the guard's answer; `refused` gets why a name did not even reach the guard.
        `keep_session`, `hold`: see KeepSession and HoldSession; `hold` blocks."""
        self._state_files, self._guard, self._resource = state_files, guard, resource
        self._ask, self._refused = ask, refused
        self._keep_session, self._hold = keep_session, hold
        self._writer = DiskThread("state_dir", DISK_S)
        self._turn = asyncio.Lock()  # first come, first served
        self._kept: tuple[GroupSpec, float] | None = None  # the definition that was kept last, and when

    async def carry_out(self, effect: GuardMessage) -> None:
        """All operations of the effect, up to the first that fails. Raises OSError where it is not a registration."""
        turn = self._turn if isinstance(effect, GuardRegister | GuardUnregister) else contextlib.nullcontext()
        async with turn:
            for operation in sequence(effect):
                try:
                    await self._do(operation)
                except (OSError, OperationError) as error:
                    if not isinstance(effect, GuardRegister):
                        raise
                    self._refuse(f"{effect.group.name}/{effect.resource.name}", error)
                    return

    async def _do(self, operation: Operation) -> None:
        match operation:
            case KeepSession():
                await self._keep_session(operation.session_id)
            case HoldSession():
                await asyncio.to_thread(self._hold, operation.session_id)
            case KeepDefinition():
                await self._keep_definition(operation.group)
            case TellGuard():
                await self._ask(operation.answer, self._send(operation.message))

    async def _keep_definition(self, group: GroupSpec) -> None:
        now = asyncio.get_running_loop().time()
        if self._kept is not None and self._kept[0] is group and now - self._kept[1] < SAME_S:
            return
        self._kept = None
        await self._writer.run(self._state_files.keep_started, group)
        self._kept = group, now

    def _send(self, message: GuardMessage) -> Awaitable[Any]:
        match message:
            case GuardBegin():
                return self._guard.begin(*message)
            case GuardExtend():
                return self._guard.extend(*message)
            case GuardRegister():
                steps = self._resource(message.group.name, message.resource).guard_steps()
                return self._guard.register(f"{message.group.name}/{message.resource.name}", steps)
            case GuardUnregister():
                return self._guard.unregister(f"{message.group}/{message.resource}")

    def _refuse(self, name: str, error: Exception) -> None:
        problem = describe(error) if isinstance(error, OSError) else str(error)
        self._refused(name, problem)
        log.error("register_failed", resource=name, problem=problem)

    async def forget(self, runs: Callable[[], set[str]]) -> None:
        """Drop the definitions of all groups but `runs`."""
        async with self._turn:
            self._kept = None
            await self._writer.run(self._state_files.forget_started, runs())

    def close(self) -> None:
        """Begin nothing more."""
        self._writer.close()
