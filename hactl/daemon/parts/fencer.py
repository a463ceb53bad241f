"""Carries out the device actions of fence jobs, one after another as the decide side asks for them."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import Callable
from pathlib import Path

import structlog

from fencing.linux import cgroup
from hactl.model.cluster import ClusterSpec
from hactl.model.effects import FenceAct, FenceCancel
from hactl.model.events import FenceActed
from hactl.supervise import Tasks

log = structlog.get_logger()


class Fencer:
    """`cgroup`: the daemon's, below which each agent gets its own; None where cgroups cannot be had."""

    def __init__(self, cgroup: str | None, post: Callable[[FenceActed], None]) -> None:
        self._cgroup, self._post = cgroup, post
        self._acting: dict[int, asyncio.Task[object]] = {}
        self._cancelled: set[int] = set()

    def sweep(self) -> None:
        """End the actions that a daemon before this one left running: their outcome would not be known, and the
        record of the job may be written by this one (docs/protocol.md, *Guarantees*: S5)."""
        for left in Path(self._cgroup).glob("fence-*") if self._cgroup else ():
            with contextlib.suppress(OSError):
                cgroup.kill(left)
                log.warning("fence_agent_left_over", cgroup=left.name)

    def carry_out(self, effect: FenceAct | FenceCancel, spec: ClusterSpec | None, tasks: Tasks) -> None:
        """Begin an action, or end one before its time. Each action has an outcome in any case."""
        if isinstance(effect, FenceCancel):
            self.cancel(effect.id)
            return
        number = effect.id
        tasks.once(
            "fence action", self.act(effect, spec), lambda why: self._post(FenceActed(number, False, "unknown", why))
        )

    async def act(self, effect: FenceAct, spec: ClusterSpec | None) -> None:
        """Carry out `effect`, and tell its outcome."""
        outcome, task = FenceActed(effect.id, False, "unknown", "ended by an operator's word"), asyncio.current_task()
        assert task is not None
        self._acting[effect.id] = task
        try:
            if effect.id not in self._cancelled:
                outcome = await self._outcome(effect, spec)
        except asyncio.CancelledError:
            if effect.id not in self._cancelled:
                raise  # the daemon ends
        finally:
            del self._acting[effect.id]
            self._cancelled.discard(effect.id)
        self._post(outcome)

    def cancel(self, number: int) -> None:
        """End an action before its time. Its agent is killed, and seen dead before the outcome is told."""
        self._cancelled.add(number)
        if (task := self._acting.get(number)) is not None:
            task.cancel()

    async def _outcome(self, effect: FenceAct, spec: ClusterSpec | None) -> FenceActed:
        if spec is None:
            return FenceActed(effect.id, False, "unknown", "there is no configuration")
        await asyncio.to_thread(importlib.import_module, "hactl.daemon.parts.fence_devices")
        from hactl.daemon.parts import fence_devices  # noqa: PLC0415 - it brings all of the agents' handling along

        return await fence_devices.act(spec, effect, cgroup=self._cgroup)
