"""Waiting until an answer would be another one: all who wait are woken by one look at the store's view."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

# How often the store's view is looked at while anybody waits; and how often values that change by time alone.
LOOK_S = 0.01
BY_TIME_S = 0.25


class Changes:
    """Of the daemon's state. `whole`: the mark of all of it, never older than half of LOOK_S."""

    LONGEST_S = 5.0

    def __init__(self, whole: Callable[[], str]) -> None:
        self._whole = whole
        self._changed = asyncio.Event()
        self._waiting = 0
        self._looking: asyncio.Task[None] | None = None

    async def wait(self, mark: Callable[[], str], seen: str | None, longest_s: float) -> None:
        """Until `mark` is not `seen` any more, or for `longest_s`."""
        if seen is None or seen != mark() or not longest_s > 0:
            return
        self._waiting += 1
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            async with asyncio.timeout(min(longest_s, self.LONGEST_S)):
                while seen == mark():
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(BY_TIME_S):
                            await self._changed.wait()
        except TimeoutError:
            return
        finally:
            self._waiting -= 1
            if not self._waiting and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    async def _look(self) -> None:
        """One look for all."""
        seen = self._whole()
        while True:
            await asyncio.sleep(LOOK_S)
            now = self._whole()
            if now != seen:
                seen = now
                self._changed.set()
                self._changed = asyncio.Event()
