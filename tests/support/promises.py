"""Promises that hold however busy the machine is: a test that sees one broken is not tried again."""

from __future__ import annotations


class BrokenPromiseError(AssertionError):
    """Two nodes had what only one may have, or a lease was outlived. The evidence has times of its own, however late
    the test looked."""


def promised(kept: object, problem: str) -> None:
    """Raise unless the promise was kept. `problem`: what happened instead."""
    if not kept:
        raise BrokenPromiseError(problem)
