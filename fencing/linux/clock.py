"""The clocks of this machine: everything that is decided by time reads them here."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from election.clock import Instant


def now() -> Instant:
    """This moment on CLOCK_BOOTTIME and CLOCK_MONOTONIC_RAW, in ms."""
    return Instant(
        time.clock_gettime_ns(time.CLOCK_BOOTTIME) / 1e6,
        time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) / 1e6,
    )


def utc(wall_s: float | None = None, *, timespec: str = "seconds") -> str:
    """Wall time, by default of this moment, in ISO 8601: for people, nothing is decided by it."""
    at = datetime.now(UTC) if wall_s is None else datetime.fromtimestamp(wall_s, UTC)
    return at.isoformat(timespec=timespec)


def utc_z(wall_s: float | None = None, *, timespec: str = "seconds") -> str:
    """The same, with `Z` for UTC."""
    return utc(wall_s, timespec=timespec).replace("+00:00", "Z")
