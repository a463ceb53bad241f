"""Takes this node down by the way node.toml names, when something cannot be stopped and the daemon knows it.

The guard does the same by itself when the deadline comes; this is for a stop that fails while leases are fine. It is
the guard that does it here, too: it has the watchdog, and is not held up together with the daemon. The daemon does
it itself only where the guard cannot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from fencing.guard.client import GuardError
from fencing.guard.sys import reboot
from hactl.daemon.guard_link import GuardLink
from hactl.linux.errors import OperationError
from hactl.linux.run import run

log = structlog.get_logger()

RETRY_S = 1.0
# How long the guard's way may take: a watchdog counts whole seconds.
GUARD_S = 5.0


async def self_fence(method: Sequence[str], guard: GuardLink, reason: str) -> None:
    """Do it, again and again until this process is no more; `log`: only say so (tests)."""
    if method[0] == "log":
        return
    try:
        problem = (await guard.fence(reason)).problem
    except GuardError as error:
        problem = str(error)
    if problem:
        log.critical("self_fence_without_guard", problem=problem)
    else:
        await asyncio.sleep(GUARD_S)
    while True:
        problem = await _command(method[1:]) if method[0] == "command" else reboot()
        if problem:
            log.critical("self_fence_failed", problem=problem)
        await asyncio.sleep(RETRY_S)


async def _command(argv: Sequence[str]) -> str:
    try:
        done = await run(argv, timeout_s=10)
    except (OperationError, OSError) as error:
        return str(error)
    return "" if done.ok else done.describe()
