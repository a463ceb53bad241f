"""Waiting for a condition, with a generous deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

DEADLINE_S = 20.0
_LOOK_EVERY_S = 0.01


def until(look: Callable[[], Any], expected: str = "the condition holds") -> Any:
    """Look until there is a result; returns it."""
    deadline = time.monotonic() + DEADLINE_S
    while not (result := look()):
        assert time.monotonic() < deadline, f"not within {DEADLINE_S} s: {expected}"
        time.sleep(_LOOK_EVERY_S)
    return result


async def wait_until(look: Callable[[], Any], expected: str = "the condition holds", *, blocking: bool = False) -> Any:
    """The same, while the loop goes on. `blocking`: `look` blocks, so it is called on a thread."""
    if blocking:
        return await asyncio.to_thread(until, look, expected)
    deadline = time.monotonic() + DEADLINE_S
    while not (result := look()):
        assert time.monotonic() < deadline, f"not within {DEADLINE_S} s: {expected}"
        await asyncio.sleep(_LOOK_EVERY_S)
    return result
