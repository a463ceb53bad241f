"""Looks at files on threads of their own: a file system whose server is gone lets whoever looks wait without end, and
holds up neither the event loop nor the process's end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from fencing.linux.own_thread import NoThreadError, on_own_thread

# So many looks may be under way that have not come back: what hangs is tried again, but not without end.
MOST = 32

T = TypeVar("T")

_places = threading.BoundedSemaphore(MOST)


class NoAnswerError(Exception):
    """The file system does not answer."""


async def aside(call: Callable[..., T], *args: object, timeout_s: float) -> T:
    """What `call` returns. Raises what it does, and NoAnswerError when it takes longer than `timeout_s`."""
    if not _places.acquire(blocking=False):
        raise NoAnswerError
    try:
        async with asyncio.timeout(max(timeout_s, 0)):
            return await on_own_thread(lambda: call(*args), name="look at files", ended=_places.release)
    except (TimeoutError, NoThreadError):
        raise NoAnswerError from None
