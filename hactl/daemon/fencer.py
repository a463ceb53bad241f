"""Carries out the device actions of fence jobs, one after another as the decide side asks for them."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import Callable
from pathlib import Path

import structlog

from hactl.model.cluster import ClusterSpec
from hactl.model.effects import FenceAct
from hactl.model.events import FenceActed

log = structlog.get_logger()


class Fencer:
    """`cgroup`: the daemon's, below which each agent gets its own; None where cgroups cannot be had."""

    def __init__(self, cgroup: str | None, post: Callable[[FenceActed], None]) -> None:
        self._cgroup, self._post = cgroup, post

    def sweep(self) -> None:
        """End what a daemon before this one left running: its outcome would not be known, and the record of the job
        may be written by this one (PROTOCOL.md, S5)."""
        for left in Path(self._cgroup).glob("fence-*") if self._cgroup else ():
            with contextlib.suppress(OSError):
                (left / "cgroup.kill").write_text("1")
                log.warning("fence_agent_left_over", cgroup=left.name)

    async def act(self, effect: FenceAct, spec: ClusterSpec | None) -> None:
        """Carry out `effect`, and tell what came of it."""
        if spec is None:
            self._post(FenceActed(effect.id, False, "unknown", "there is no configuration"))
            return
        await asyncio.to_thread(importlib.import_module, "hactl.daemon.fence_devices")
        from hactl.daemon import fence_devices  # noqa: PLC0415 - it brings all of the agents' handling along

        self._post(await fence_devices.act(spec, effect, cgroup=self._cgroup))
