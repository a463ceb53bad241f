"""The daemon checks itself: problems that its operator would notice too late are told in `hactl status`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from hactl.daemon.log.writer import LogWriter
from hactl.daemon.observe.run_dir import RunDir

LOOK_S = 1.0

# Source, problem ("": none), and what to do.
Trouble = Callable[[str, str, str], None]


class SelfCheck:
    """Looks every LOOK_S."""

    def __init__(
        self, log: LogWriter, run_dir: RunDir, trouble: Trouble, on_emptied: Callable[[], Awaitable[None]]
    ) -> None:
        """`on_emptied` is called when `run_dir` was: the records of supervised processes are there."""
        self._log, self._run_dir, self._trouble, self._on_emptied = log, run_dir, trouble, on_emptied
        self._reported: dict[str, str] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._look_at_log()
            emptied = self._run_dir.emptied
            self._tell("run_dir", *await asyncio.to_thread(self._run_dir.look))
            if self._run_dir.emptied != emptied:
                await self._on_emptied()
            await asyncio.sleep(LOOK_S)

    def _look_at_log(self) -> None:
        problem = self._log.problem
        text = f"its daemon's log cannot be written: {problem}; lines are being lost" if problem else ""
        self._tell("log", text, "make room for it, or see to its reader; it goes on by itself")

    def _tell(self, source: str, problem: str, todo: str) -> None:
        if self._reported.get(source, "") != problem:
            self._reported[source] = problem
            self._trouble(source, problem, todo)
