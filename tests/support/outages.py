"""Outages in words."""

from __future__ import annotations

from collections.abc import Sequence


def figures(outages_ms: Sequence[float]) -> str:
    """How many there were, their median and the longest, in seconds."""
    ordered = sorted(outages_ms)
    return f"{len(ordered)}: median {ordered[len(ordered) // 2] / 1000:.2f} s, longest {ordered[-1] / 1000:.2f} s"
