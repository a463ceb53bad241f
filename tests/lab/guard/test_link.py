"""The daemon's connection to a guard on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
from collections.abc import Iterator

import pytest

from fencing.guard.client import GuardError
from fencing.linux.clock import now
from hactl.daemon.guard_link import GuardLink, open_link
from tests.lab.guard.guard_lab import Lab

pytestmark = pytest.mark.root


@contextlib.contextmanager
def open_pidfd(pid: int) -> Iterator[int]:
    pidfd = os.pidfd_open(pid)
    try:
        yield pidfd
    finally:
        os.close(pidfd)


def wait_for_end(pidfd: int) -> None:
    assert select.select([pidfd], [], [], 10)[0], "it does not end"


STEP = {"kind": "command", "argv": ["true"], "timeout_ms": 1000}


def test_a_link_starts_a_guard_and_asks_many_things_at_once(lab: Lab) -> None:
    async def scene() -> None:
        link = await open_link(lab.spec)
        try:
            adopted = await link.adopt()
            assert adopted.ok
            assert adopted.status is not None
            assert adopted.status.daemon_pid == os.getpid()
            assert (await link.begin("s1", 500, 100, now().plus(60_000))).ok
            names = [f"r{number}" for number in range(20)]
            answers = await asyncio.gather(
                *(link.register(name, [STEP]) for name in names), link.extend("s1", 500, 100, now().plus(90_000))
            )
            assert all(answer.ok for answer in answers)
            refused = await link.extend("s2", 500, 100, now().plus(90_000))
            assert "another session: s1" in refused.problem
            assert not (await link.register("x" * 300_000, [STEP])).ok
            status = (await link.status()).status
            assert status is not None
            assert sorted(status.exclusive) == sorted(names)
            await asyncio.gather(*(link.unregister(name) for name in names))
            assert not link.lost.done()
        finally:
            await link.close()
        # The same guard, not another one.
        again = await open_link(lab.spec)
        answer = await again.adopt()
        assert answer.status is not None
        assert (answer.status.incarnation, answer.status.session_id) == (2, "s1")
        await again.close()

    asyncio.run(scene())


@pytest.mark.parametrize("holds", [True, False])
def test_a_guard_that_is_asked_to_end_does_so_where_it_holds_nothing(lab: Lab, holds: bool) -> None:
    async def scene() -> None:
        link = await open_link(lab.spec)
        adopted = await link.adopt()
        assert adopted.status is not None
        assert (await link.begin("s1", 500, 100, now().plus(60_000))).ok
        if holds:
            assert (await link.register("r", [STEP])).ok
        with open_pidfd(adopted.status.pid) as pidfd:
            await link.close(end=True)
            if not holds:
                await asyncio.to_thread(wait_for_end, pidfd)
        again = await open_link(lab.spec)
        status = (await again.adopt()).status
        assert status is not None
        assert (status.pid == adopted.status.pid) == holds
        await again.close()

    asyncio.run(scene())


def test_the_guards_death_is_seen_at_once_by_every_waiter(lab: Lab) -> None:
    pid = lab.spawn_guard()

    async def scene() -> None:
        link = await open_link(lab.spec)
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(10):
            assert "died" in await link.lost or "gone" in link.lost.result()
        with pytest.raises(GuardError):
            await link.status()
        await link.close()

    asyncio.run(scene())


def test_a_guard_that_does_not_answer_is_an_error_in_time(lab: Lab) -> None:
    pid = lab.spawn_guard()

    async def scene() -> None:
        link: GuardLink = await open_link(lab.spec, timeout_s=0.3)
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(GuardError, match="did not answer status"):
            await link.status()
        assert not link.lost.done()
        os.kill(pid, signal.SIGCONT)
        # The late answer belongs to no question.
        assert (await link.adopt()).ok
        await link.close()

    asyncio.run(scene())
