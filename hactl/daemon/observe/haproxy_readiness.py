"""Tells the decide side how ready this node is for groups whose clients its HAProxy answers (docs/protocol.md)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection

from hactl.model.events import Readiness

SOURCE = "haproxy"
LOOK_EVERY_S = 0.5
# A HAProxy that ends and is back within this time is no reason to move a group.
GRACE_S = 1.0


class HaproxyReadiness:
    """`problem`: why HAProxy is not well, "" when it is. `post` gets the changes."""

    def __init__(
        self, problem: Callable[[], str], post: Callable[[Readiness], None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._problem, self._post, self._now = problem, post, now
        self._groups: frozenset[str] | None = None
        self._invalid = ""
        self._ill_since: float | None = None
        self._posted: dict[str, str] = {}

    def look(self, groups: Collection[str] | None = None, invalid: str = "") -> None:
        """Look at HAProxy now. `groups`: of which it binds a VIP, after a try to have it run as configured. `invalid`:
        why there is no file for it."""
        if groups is not None:
            self._groups, self._invalid = frozenset(groups), invalid
        if self._groups is None:
            return  # nothing was tried yet
        why = self._invalid or (self._problem() if self._groups else "")
        if not why:
            self._ill_since = None
        elif self._ill_since is None:
            self._ill_since = self._now()
        ill = self._ill_since is not None and self._now() - self._ill_since >= GRACE_S
        if why and not ill:
            return
        for group in sorted(self._groups | set(self._posted)):
            reason = why if group in self._groups else ""
            if self._posted.get(group, "") != reason:
                self._post(Readiness(group, SOURCE, "poor" if reason else "ready", reason))
                self._posted[group] = reason
        self._posted = {group: reason for group, reason in self._posted.items() if reason}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.look()
