"""Looks at files on threads of their own: a file system whose server is gone lets whoever looks wait without end, and
holds up neither the event loop nor the process's end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

# So many looks may be under way that have not come back: what hangs is tried again, but not without end.
MOST = 32

T = TypeVar("T")

_places = threading.BoundedSemaphore(MOST)


class NoAnswerError(Exception):
    """The file system does not answer."""


async def aside(call: Callable[..., T], *args: object, timeout_s: float) -> T:
    """What `call` returns. Raises what it does, and NoAnswerError when it takes longer than `timeout_s`."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if outcome.done():
            return  # nobody waits any more
        if error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)  # type: ignore[arg-type]

    def work() -> None:
        result, problem = None, None
        try:
            result = call(*args)
        except BaseException as error:
            problem = error
        _places.release()
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, result, problem)

    if not _places.acquire(blocking=False):
        raise NoAnswerError
    try:
        threading.Thread(target=work, name="look at files", daemon=True).start()
    except RuntimeError:
        _places.release()
        raise NoAnswerError from None
    try:
        async with asyncio.timeout(max(timeout_s, 0)):
            return await outcome
    except TimeoutError:
        raise NoAnswerError from None
