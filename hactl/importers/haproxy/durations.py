"""HAProxy's durations: a number with a unit, in most places milliseconds without one."""

from __future__ import annotations

import re

from hactl.decide.timing import format_ms

_UNITS_US = {"us": 1, "ms": 1000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_DURATION = re.compile(r"(\d+)(us|ms|s|m|h|d)?")
_WITH_UNIT = re.compile(r"(\d+)(us|ms|s|m|h|d)")


def to_ms(text: str, unit: str = "ms") -> int | None:
    """Milliseconds; None when it is no duration, is nothing, or is no whole number of them. `unit`: of a number
    without one."""
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    us = int(match[1]) * _UNITS_US[match[2] or unit]
    return us // 1000 if us and us % 1000 == 0 else None


def to_setting(text: str, unit: str = "ms") -> str | None:
    """As cluster.yaml has it: `10s`. None as `to_ms`."""
    ms = to_ms(text, unit)
    return None if ms is None else format_ms(ms)


def canonical(text: str, *, bare: bool = False) -> str:
    """A word for comparing: a duration in microseconds, anything else as it is. `bare`: a number without a unit is
    one of milliseconds."""
    match = (_DURATION if bare else _WITH_UNIT).fullmatch(text)
    return f"{int(match[1]) * _UNITS_US[match[2] or 'ms']}us" if match else text
