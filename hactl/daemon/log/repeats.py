"""What happens again and again is told a few times, and then counted."""

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
class _Told:
    at: float
    told: int = 0
    untold: int = 0


class Repeats:
    """Passes on to `note`, with the event and its data, what is not just the same again; else calls `repeated`."""

    def __init__(
        self,
        note: Callable[[str, dict[str, Any]], None],
        repeated: Callable[[str], None] = lambda event: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._note, self._repeated, self._now = note, repeated, now
        self._told: dict[str, _Told] = {}

    def note(self, event: str, data: dict[str, Any]) -> None:
        """Tell it, or count it."""
        key, now = f"{event} {sorted(data.items())}", self._now()
        told = self._told.setdefault(key, _Told(now))
        if now - told.at >= AGAIN_S:
            told.told = 0
        if told.told >= AT_ONCE:
            told.untold += 1
            self._repeated(event)
            return
        times, told.untold = told.untold + 1, 0
        told.at, told.told = now, told.told + 1
        while len(self._told) > _REMEMBERED:
            del self._told[min(self._told, key=lambda one: self._told[one].at)]
        self._note(event, {**data, "times": times} if times > 1 else data)

    def forget(self) -> None:
        """All is well again: what comes next is new."""
        self._told.clear()
