"""A call that may never come back, on a thread of its own: a file system whose server is gone lets a caller wait
without end. That holds up neither the event loop, nor the threads that all share, nor the end of the process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

# So many calls about one subject may be under way: one that hangs is tried again, but not without end. More than there
# ever are when nothing hangs.
MOST = 8

T = TypeVar("T")

_under_way: Counter[str] = Counter()
_counting = threading.Lock()


class NoAnswerError(Exception):
    """The file system does not answer, or no thread can be had. The message says which."""


async def aside(
    about: str, call: Callable[..., T], *args: object, timeout_s: float | None = None, most: int = MOST
) -> T:
    """The result of `call`. Raises its errors, and NoAnswerError: when it takes longer than `timeout_s`, and while
    `most` calls about the same have not returned. A cancellation leaves the thread to itself."""
    if _under_way[about] >= most:
        raise NoAnswerError("its file system does not answer")
    outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    _count(about, 1)
    try:
        name = f"aside {about}"[:15]
        threading.Thread(target=_carry_out, args=(about, call, args, outcome), name=name, daemon=True).start()
    except RuntimeError:
        _count(about, -1)
        raise NoAnswerError("no thread can be started") from None
    try:
        async with asyncio.timeout(timeout_s and max(timeout_s, 0)):
            return await outcome
    except TimeoutError:
        if timeout_s is None:
            raise
        raise NoAnswerError("its file system does not answer") from None


def _carry_out(about: str, call: Callable[..., T], args: tuple[object, ...], outcome: asyncio.Future[T]) -> None:
    result, problem = None, None
    try:
        result = call(*args)
    except BaseException as error:
        problem = error
    _count(about, -1)
    with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
        outcome.get_loop().call_soon_threadsafe(_settle, outcome, result, problem)


def _settle(outcome: asyncio.Future[T], result: T | None, error: BaseException | None) -> None:
    if outcome.done():
        return  # nobody waits any more
    if error is not None:
        outcome.set_exception(error)
    else:
        outcome.set_result(result)  # type: ignore[arg-type]


def _count(about: str, more: int) -> None:
    with _counting:
        _under_way[about] += more
        if not _under_way[about]:
            del _under_way[about]
