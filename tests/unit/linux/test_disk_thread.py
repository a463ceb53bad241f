"""A disk that hangs holds up nothing but what is asked of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from hactl.linux.disk_thread import DiskThread

DEADLINE_S = 10.0


@pytest.fixture
def hangs() -> Iterator[threading.Event]:
    goes_on = threading.Event()
    yield goes_on
    goes_on.set()


def test_what_it_returns_and_raises_comes_back() -> None:
    async def main() -> None:
        disk = DiskThread("here", DEADLINE_S)
        assert await disk.run(divmod, 7, 2) == (3, 1)
        with pytest.raises(FileNotFoundError):
            await disk.run(open, "/no/such/file")
        with pytest.raises(ZeroDivisionError):
            await disk.run(divmod, 7, 0)

    asyncio.run(main())


def test_one_that_hangs_is_an_error_and_goes_on_in_its_order(hangs: threading.Event) -> None:
    async def main() -> None:
        disk, done = DiskThread("here", 0.01), list[int]()
        with pytest.raises(OSError, match=r"the disk of here has not answered for 0\.01 s"):
            await disk.run(hangs.wait, DEADLINE_S)
        for number in range(5):
            with pytest.raises(OSError, match="has not answered"):
                await disk.run(done.append, number)
        disk._within_s = DEADLINE_S
        hangs.set()
        await disk.run(done.append, 99)
        assert done == [0, 1, 2, 3, 4, 99]

    asyncio.run(main())


def test_not_everything_waits_for_one_that_hangs(hangs: threading.Event) -> None:
    async def main() -> None:
        disk = DiskThread("here", 0.001)
        asked = [disk.run(hangs.wait, DEADLINE_S) for _ in range(100)]
        assert all(isinstance(outcome, OSError) for outcome in await asyncio.gather(*asked, return_exceptions=True))
        assert disk._calls.qsize() < 20

    asyncio.run(main())


def test_asyncios_own_threads_are_free(hangs: threading.Event) -> None:
    async def main() -> None:
        disks = [DiskThread("here", 0.01) for _ in range(40)]
        asked = [disk.run(hangs.wait, DEADLINE_S) for disk in disks]
        assert all(isinstance(outcome, OSError) for outcome in await asyncio.gather(*asked, return_exceptions=True))
        assert await asyncio.wait_for(asyncio.to_thread(divmod, 7, 2), DEADLINE_S) == (3, 1)

    asyncio.run(main())


def test_a_call_that_nobody_waits_for_any_more_troubles_nobody(hangs: threading.Event) -> None:
    def fail() -> None:
        hangs.wait(DEADLINE_S)
        raise OSError("late")

    async def main() -> None:
        said = list[object]()
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: said.append(context))
        disk = DiskThread("here", 0.01)
        with pytest.raises(OSError, match="has not answered"):
            await disk.run(fail)
        hangs.set()
        with pytest.raises(OSError, match="once more"):
            await DiskThread("here", DEADLINE_S).run(_fail_again)
        assert said == []

    asyncio.run(main())


def _fail_again() -> None:
    raise OSError("once more")
