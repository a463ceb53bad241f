"""Instants on two clocks at once (docs/protocol.md, *Timing*).

A deadline of the owner's holds on the earlier of CLOCK_BOOTTIME and CLOCK_MONOTONIC_RAW, one of an
observer's on the later: whatever either clock did (a suspend, a slewed rate), the error is on the safe side.
"""

from __future__ import annotations

from typing import NamedTuple


class Instant(NamedTuple):
    """A moment, in milliseconds on both clocks. Comparable only with instants of one node's same boot."""

    boot: float
    raw: float

    def plus(self, ms: float) -> Instant:
        """The instant `ms` milliseconds later on both clocks."""
        return Instant(self.boot + ms, self.raw + ms)


def owner_elapsed(since: Instant, now: Instant) -> float:
    """Milliseconds that may have passed, as an owner must count them: the most that either clock says."""
    return max(now.boot - since.boot, now.raw - since.raw)


def observer_elapsed(since: Instant, now: Instant) -> float:
    """Milliseconds that have passed for certain, as an observer must count them: the least of both clocks."""
    return min(now.boot - since.boot, now.raw - since.raw)


def remaining(deadline: Instant, now: Instant) -> float:
    """Milliseconds the owner still has until `deadline`; negative when either clock is past it."""
    return min(deadline.boot - now.boot, deadline.raw - now.raw)


def earlier(a: Instant, b: Instant) -> Instant:
    """The earlier of two deadlines, on each clock for itself."""
    return Instant(min(a.boot, b.boot), min(a.raw, b.raw))


def later(a: Instant, b: Instant) -> Instant:
    """The later of two deadlines, on each clock for itself."""
    return Instant(max(a.boot, b.boot), max(a.raw, b.raw))
