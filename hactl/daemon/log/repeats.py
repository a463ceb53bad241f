"""Tells an event that happens again and again a few times, and then counts it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# So often the same is told at once; then only after so long, with how often it was.
AT_ONCE = 3
AGAIN_S = 600.0
_REMEMBERED = 100


@dataclass(slots=True)
class _Reported:
    at: float
    reported: int = 0
    withheld: int = 0


class Repeats:
    """Passes each new event with its data on to `note`; one that is just the same again to `repeated`."""

    def __init__(
        self,
        note: Callable[[str, dict[str, Any]], None],
        repeated: Callable[[str], None] = lambda event: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._note, self._repeated, self._now = note, repeated, now
        self._reported: dict[str, _Reported] = {}

    def note(self, event: str, data: dict[str, Any]) -> None:
        """Tell it, or count it."""
        key, now = f"{event} {sorted(data.items())}", self._now()
        reported = self._reported.setdefault(key, _Reported(now))
        if now - reported.at >= AGAIN_S:
            reported.reported = 0
        if reported.reported >= AT_ONCE:
            reported.withheld += 1
            self._repeated(event)
            return
        times, reported.withheld = reported.withheld + 1, 0
        reported.at, reported.reported = now, reported.reported + 1
        while len(self._reported) > _REMEMBERED:
            del self._reported[min(self._reported, key=lambda known: self._reported[known].at)]
        self._note(event, {**data, "times": times} if times > 1 else data)

    def forget(self) -> None:
        """All is well again: the next event is new."""
        self._reported.clear()
