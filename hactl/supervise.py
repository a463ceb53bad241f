"""Keeps long-lived tasks running: one that fails is begun again after a growing wait, and says so; none takes another
down."""

from __future__ import annotations

import asyncio
import errno
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Any

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, stop_never
from tenacity.wait import wait_exponential

log = structlog.get_logger()

# The wait before a task is begun again: doubled with each failure, up to the longest. It is well once it has run for
# so long.
FIRST_S, LONGEST_S = 0.5, 30.0
WELL_S = 3.0
# So many failures in a row end the daemon where a task is essential.
ESSENTIAL_TRIES = 5
MAX_REASON = 300

_LACKS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOBUFS, errno.ENOSPC, errno.EDQUOT})

Work = Callable[[], Coroutine[Any, Any, None]]
# The task's name and why it fails; "": it is well again.
Report = Callable[[str, str], None]


def describe(error: BaseException) -> str:
    """Why something failed, in one line that is not longer than MAX_REASON. Of several reasons the first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    elif isinstance(error, OSError) and str(error):
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return " ".join(text.split())[:MAX_REASON]


def lacks(error: BaseException) -> bool:
    """Whether it failed because this process or machine has run out of something: it tells nothing of the object that
    was read."""
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _LACKS)


class Tasks:
    """All tasks of one event loop that somebody is responsible for. `report` is called in the loop when a task fails
    for another reason than before, and when it is well again; it must not raise."""

    def __init__(self, report: Report = lambda name, reason: None, *, first_s: float = FIRST_S) -> None:
        self._report, self._first_s = report, first_s
        self._running: set[asyncio.Task[Any]] = set()
        self._failing: dict[str, str] = {}
        self.failures: Counter[str] = Counter()

    @property
    def failing(self) -> Mapping[str, str]:
        """The tasks that fail now, each with its reason."""
        return MappingProxyType(self._failing)

    def keep(self, name: str, work: Work, *, give_up: Callable[[str], None] | None = None) -> asyncio.Task[None]:
        """Run `work` until it returns; when it raises, begin it again. `give_up` is called, with the reason,
        after ESSENTIAL_TRIES failures in a row of a task that the daemon cannot do without."""
        return self._begin(name, _Kept(self, name, work, give_up, self._first_s).run())

    def once(self, name: str, work: Coroutine[Any, Any, Any], failed: Callable[[str], None] | None = None) -> None:
        """Run `work` once. When it raises, `failed` is called with the reason, for those who wait for its outcome."""
        self._begin(name, self._once(name, work, failed))

    async def close(self) -> None:
        """Cancel all of them and wait for their end."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def failed(self, name: str, error: BaseException, wait_s: float | None = None) -> None:
        """A task has failed; it is begun again in `wait_s`. Logged with its traceback when the reason is another."""
        reason = describe(error)
        self.failures[name] += 1
        if self._failing.get(name) != reason:
            self._failing[name] = reason
            log.error("task_failed", task=name, reason=reason, again_in_s=wait_s, exc_info=error)
            self._report(name, reason)

    def well(self, name: str) -> None:
        """A task does its work again."""
        if self._failing.pop(name, None) is not None:
            log.info("task_well_again", task=name)
            self._report(name, "")

    def _begin(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _once(self, name: str, work: Awaitable[Any], failed: Callable[[str], None] | None) -> None:
        try:
            await work
        except Exception as error:  # any error is reported to those who wait for the outcome
            self.failures[name] += 1
            log.error("task_failed", task=name, reason=describe(error), exc_info=error)
            if failed is not None:
                failed(describe(error))


class _Kept:
    """One task that is kept running."""

    def __init__(
        self, tasks: Tasks, name: str, work: Work, give_up: Callable[[str], None] | None, first_s: float
    ) -> None:
        self._tasks, self._name, self._work, self._give_up = tasks, name, work, give_up
        self._wait = wait_exponential(multiplier=first_s, max=LONGEST_S)
        self._well: asyncio.TimerHandle | None = None
        self._was_well = False

    async def run(self) -> None:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(Exception),
            wait=self._wait,
            stop=stop_never if self._give_up is None else stop_after_attempt(ESSENTIAL_TRIES),
            after=self._after,
            before_sleep=self._failed,
            retry_error_callback=self._ended,
        )
        try:
            await retrying(self._attempt)
        except asyncio.CancelledError:
            self._tasks.well(self._name)  # nobody wants it any more
            raise

    async def _attempt(self) -> None:
        self._was_well = False
        self._well = asyncio.get_running_loop().call_later(WELL_S, self._is_well)
        try:
            await self._work()
        finally:
            self._well.cancel()
        self._is_well()

    def _is_well(self) -> None:
        self._was_well = True
        self._tasks.well(self._name)

    def _after(self, attempt: RetryCallState) -> None:
        if self._was_well:
            attempt.attempt_number = 1  # a new story: it waits, and counts, from the beginning

    def _failed(self, attempt: RetryCallState) -> None:
        if (error := _error(attempt)) is not None:
            self._tasks.failed(self._name, error, attempt.upcoming_sleep)

    def _ended(self, attempt: RetryCallState) -> None:
        error = _error(attempt)
        if error is not None and self._give_up is not None:
            self._tasks.failed(self._name, error)
            self._give_up(describe(error))


def _error(attempt: RetryCallState) -> BaseException | None:
    return attempt.outcome.exception() if attempt.outcome is not None else None
