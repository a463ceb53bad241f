"""Asks the guard for the state of its watchdog now and then: for the decide side, `hactl status` and metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from fencing.guard.client import GuardError
from fencing.guard.watchdog_state import Use
from hactl.daemon.guard_link import GuardLink
from hactl.model.events import Watchdog

log = structlog.get_logger()

ASK_S = 0.5

NONE = {"armed": False, "problem": "the guard was started without one, by other settings: see the manual, `watchdog`"}


class WatchdogFollower:
    """`status`: the guard's last answer (fencing.guard.watchdog), None while there is none."""

    def __init__(self, use: Use, post: Callable[[Watchdog], None]) -> None:
        self.status: Mapping[str, Any] | None = None
        self._use, self._post = use, post
        self._reported: bool | None = None

    async def run(self, guard: GuardLink) -> None:
        """Until the guard is gone."""
        while self._use != "off":
            try:
                answer = await guard.status()
            except GuardError:  # the daemon ends
                return
            if answer.status is not None:
                self._on_status(answer.status.watchdog or NONE)
            await asyncio.sleep(ASK_S)

    def _on_status(self, watchdog: Mapping[str, Any]) -> None:
        self.status = {"use": self._use, **watchdog}
        armed = bool(watchdog["armed"])
        # Before the first session it was not tried; until then the guard lets nothing be registered either.
        if armed == self._reported or not (armed or watchdog["problem"]):
            return
        self._reported = armed
        (log.info if armed else log.error)("watchdog", **self.status)
        self._post(Watchdog(armed, self._use == "required"))
