"""What must never be, whatever the machine is busy with: a test that finds it is not given a second try."""

from __future__ import annotations


class BrokenPromiseError(AssertionError):
    """Two had what one may have, or a lease was outlived; by evidence with times of its own, not by a late look."""


def promised(kept: object, what: str) -> None:
    """Raise unless it was kept. `what`: what was found instead."""
    if not kept:
        raise BrokenPromiseError(what)
