"""The daemon looks after itself: what its operator would find out too late is told in `hactl status`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hactl.daemon.log_writer import LogWriter

LOOK_S = 1.0

# Source, what is wrong ("": nothing), what to do.
Trouble = Callable[[str, str, str], None]


class SelfCheck:
    """Looks every LOOK_S."""

    def __init__(self, log: LogWriter, trouble: Trouble) -> None:
        self._log, self._trouble = log, trouble
        self._told: dict[str, str] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._look_at_log()
            await asyncio.sleep(LOOK_S)

    def _look_at_log(self) -> None:
        problem = self._log.problem
        what = f"its daemon's log cannot be written: {problem}; lines are being lost" if problem else ""
        self._tell("log", what, "make room for it, or see to its reader; it goes on by itself")

    def _tell(self, source: str, what: str, todo: str) -> None:
        if self._told.get(source, "") != what:
            self._told[source] = what
            self._trouble(source, what, todo)
