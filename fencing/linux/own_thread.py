"""A call on a thread of its own, which nobody waits for when it never comes back: a file system whose server is gone
lets whoever looks wait without end, and is to hold up neither the event loop, nor the threads that all share, nor the
process's end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class NoThreadError(Exception):
    """No thread can be started."""


async def on_own_thread(call: Callable[[], T], *, name: str, ended: Callable[[], None]) -> T:
    """What `call` returns. Raises what it does, and NoThreadError. `ended` is called once it has come back, on its
    thread, or where none can be had. A cancellation leaves the thread to itself."""
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
            result = call()
        except BaseException as error:
            problem = error
        ended()
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, result, problem)

    try:
        threading.Thread(target=work, name=name, daemon=True).start()
    except RuntimeError:
        ended()
        raise NoThreadError from None
    return await outcome
