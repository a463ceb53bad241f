"""Asks a disk on a thread of its own, in the order asked: one that hangs holds up nothing but its own calls.

Not asyncio's threads: all that is done on threads waits for a free one of those, so that a few calls which hang stop
everything, and the process does not end before they have. Nobody waits for this thread, neither here nor at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

# So much may wait for a disk that hangs; more fails at once.
_WAITING = 16


class DiskThread:
    """`name`: whose disk it is, for the error: `state_dir`. `within_s`: how long it may take; None: no limit."""

    def __init__(self, name: str, within_s: float | None) -> None:
        self._name, self._within_s = name, within_s
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    async def run(self, call: Callable[..., T], *args: Any) -> T:
        """The result of `call`, or its error. Raises OSError where it takes longer than `within_s`: it goes on then."""
        if self._calls.qsize() >= _WAITING:
            raise self._silent()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def carry_out() -> None:
            outcome, error = None, None
            try:
                outcome = call(*args)
            except Exception as problem:
                error = problem
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_tell, answer, outcome, error)

        self._calls.put(carry_out)
        self._begin()
        try:
            async with asyncio.timeout(self._within_s):
                return await asyncio.shield(answer)
        except TimeoutError:
            raise self._silent() from None

    def close(self) -> None:
        """Begin nothing more."""
        self._closed = True

    def _begin(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="disk", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                raise OSError(f"no thread for the disk of {self._name}: {error}") from None
            self._thread = thread

    def _run(self) -> None:
        while True:
            call = self._calls.get()
            if self._closed:
                return
            call()

    def _silent(self) -> OSError:
        within = f" for {self._within_s:g} s" if self._within_s else ""
        return OSError(f"the disk of {self._name} has not answered{within}")


def _tell(answer: asyncio.Future[Any], outcome: Any, error: Exception | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(outcome)
    else:
        answer.set_exception(error)
        answer.exception()  # whether anybody still waits or not
