"""The guard: a process of its own that holds the deadline for the daemon. Standard library only."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    # Daemons of 0.1.0 that still run after an upgrade start a guard by `from fencing.guard import main`.
    if name == "main":
        from fencing.guard.program import main  # noqa: PLC0415 - nobody but the guard itself needs all of it

        return main
    raise AttributeError(name)
