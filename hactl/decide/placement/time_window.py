"""A time of the day, `02:00-04:30`, by UTC; `23:00-01:00` goes over midnight. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

_WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_DAY_MS = 86_400_000


class Window(NamedTuple):
    """From and to, in ms since midnight."""

    begin_ms: int
    end_ms: int

    def holds(self, unix_ms: float) -> bool:
        """Whether this moment, in ms since 1970, is within it."""
        now_ms = unix_ms % _DAY_MS
        if self.begin_ms < self.end_ms:
            return self.begin_ms <= now_ms < self.end_ms
        return now_ms >= self.begin_ms or now_ms < self.end_ms


def window(text: str) -> Window | None:
    """The window of a text; None: it is none."""
    match = _WINDOW.fullmatch(text)
    if match is None:
        return None
    from_hour, from_minute, to_hour, to_minute = map(int, match.groups())
    begin, end = from_hour * 60 + from_minute, to_hour * 60 + to_minute
    return Window(begin * 60_000, end * 60_000) if begin != end else None
