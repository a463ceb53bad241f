"""Tasks that must live: begun again, seen, and each for itself."""

from __future__ import annotations

import asyncio
import errno
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hactl import supervise
from hactl.supervise import Tasks, describe
from tests.support.waiting import wait_until

DEADLINE_S = 10.0
FAST_S = 0.001
FAILURES = [
    OSError(errno.ENOSPC, "No space left on device", "/run/hactl/x"),
    OSError(errno.EMFILE, "Too many open files"),
    MemoryError(),
    RuntimeError("can't start new thread"),
    ExceptionGroup("several", [ValueError("first"), KeyError("second")]),
    TypeError("a mistake of our own"),
]


@pytest.fixture(autouse=True)
def soon_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "WELL_S", 0.05)


@given(failures=st.lists(st.sampled_from(FAILURES), min_size=1, max_size=4))
@settings(max_examples=25)
def test_a_task_that_fails_is_begun_again_and_said_once_for_each_reason(failures: list[Exception]) -> None:
    async def main() -> None:
        said: list[tuple[str, str]] = []
        tasks = Tasks(lambda *change: said.append(change), first_s=FAST_S)
        left, works = list(failures), asyncio.Event()

        async def work() -> None:
            if left:
                raise left.pop(0)
            works.set()
            await asyncio.Event().wait()

        tasks.keep("one", work)
        async with asyncio.timeout(DEADLINE_S):
            await works.wait()
        reasons = [describe(failure) for failure in failures]
        changes = [reason for at, reason in enumerate(reasons) if at == 0 or reasons[at - 1] != reason]
        assert said[: len(changes)] == [("one", reason) for reason in changes]
        await wait_until(lambda: said[-1] == ("one", ""))
        assert not tasks.failing and tasks.failures["one"] == len(failures)
        await tasks.close()

    asyncio.run(main())


def test_the_wait_grows_and_begins_anew_once_it_was_well(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        waits: list[float] = []

        class Noting(Tasks):
            def failed(self, name: str, error: BaseException, wait_s: float | None = None) -> None:
                waits.append(wait_s or 0.0)

        tasks, runs = Noting(first_s=FAST_S), 0

        async def work() -> None:
            nonlocal runs
            runs += 1
            if runs == 4:
                await asyncio.sleep(supervise.WELL_S * 2)
            raise OSError("again")

        tasks.keep("one", work)
        await wait_until(lambda: len(waits) >= 5)
        assert waits[:3] == [FAST_S, 2 * FAST_S, 4 * FAST_S] and waits[3] == FAST_S
        await tasks.close()

    asyncio.run(main())


def test_one_that_fails_takes_no_sibling_down() -> None:
    async def main() -> None:
        tasks, turns = Tasks(first_s=FAST_S), 0

        async def fails() -> None:
            raise OSError("no")

        async def lives() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(FAST_S)

        tasks.keep("bad", fails)
        good = tasks.keep("good", lives)
        await wait_until(lambda: tasks.failures["bad"] >= 3)
        before = turns
        await wait_until(lambda: turns > before)
        assert not good.done() and set(tasks.failing) == {"bad"}
        await tasks.close()
        assert good.cancelled() and not tasks.failing

    asyncio.run(main())


def test_an_essential_task_ends_the_daemon_after_some_failures() -> None:
    async def main() -> None:
        tasks, given_up = Tasks(first_s=FAST_S), asyncio.get_running_loop().create_future()

        async def fails() -> None:
            raise OSError("no")

        tasks.keep("essential", fails, give_up=given_up.set_result)
        async with asyncio.timeout(DEADLINE_S):
            assert await given_up == "no"
        assert tasks.failures["essential"] == supervise.ESSENTIAL_TRIES

    asyncio.run(main())


@pytest.mark.parametrize("error", FAILURES, ids=[type(failure).__name__ for failure in FAILURES])
def test_an_outcome_is_reported_whatever_is_raised(error: Exception) -> None:
    async def main() -> None:
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def fails() -> Any:
            raise error

        Tasks().once("one", fails(), told.set_result)
        async with asyncio.timeout(DEADLINE_S):
            assert await told == describe(error)

    asyncio.run(main())


def test_a_reason_is_one_short_line_with_the_place() -> None:
    assert describe(OSError(errno.ENOSPC, "No space left on device", "/x")) == "No space left on device: /x"
    assert describe(ValueError("a\nb")) == "ValueError: a b"
    assert describe(KeyError()) == "KeyError"
    assert len(describe(ValueError("long " * 1000))) == supervise.MAX_REASON
