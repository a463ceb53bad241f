"""How long a loop is kept from what comes: measured on a real loop, and by a clock of the test's own."""

from __future__ import annotations

import asyncio
import time

from hactl.daemon.observe.loop_times import LIMIT_S, TOLD_S, LoopTimes, facts, measured_loop, times_of_running_loop


def _run(main: object) -> None:
    with asyncio.Runner(loop_factory=measured_loop) as runner:
        runner.run(main)  # type: ignore[arg-type]


def test_work_and_waits_are_told_apart() -> None:
    async def main() -> None:
        times = times_of_running_loop()
        assert times is not None
        times.begin()
        end = time.thread_time() + 2 * LIMIT_S
        while time.thread_time() < end:
            pass
        await asyncio.sleep(0)
        assert times.longest("work") >= 2 * LIMIT_S and times.over["work"] == 1
        before = times.over["wait"]
        time.sleep(3 * LIMIT_S)  # noqa: ASYNC251 - as something that blocks
        await asyncio.sleep(0)
        assert times.longest("wait") >= 3 * LIMIT_S and times.over["wait"] > before
        assert times.over["work"] == 1
        said = facts()
        assert said is not None and said["wait_ms"] >= 3000 * LIMIT_S

    _run(main())


class Clock:
    """Moves when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_was_long_ago_is_not_told() -> None:
    clock, cpu = Clock(), Clock()
    times = LoopTimes(clock, cpu)
    clock.now, cpu.now = 0.3, 0.1
    times.select(0)
    assert (times.longest("work"), round(times.longest("wait"), 3)) == (0.1, 0.2)
    for _ in range(9):
        clock.now += 10.1
        times._woke = clock.now
        times.select(0)
    assert times.longest("work", 60.0) == 0.0
    assert times.longest("work", TOLD_S) == 0.1
    for _ in range(30):
        clock.now += 10.1
        times._woke = clock.now
        times.select(0)
    assert times.longest("work", TOLD_S) == 0.0


def test_the_start_is_not_told() -> None:
    clock, cpu = Clock(), Clock()
    times = LoopTimes(clock, cpu)
    times.begin(5.0)
    clock.now = cpu.now = 4.0
    times.select(0)
    assert times.longest("work") == 0.0 and times.over == {"work": 0, "wait": 0}
    clock.now, cpu.now = 5.0, 4.2
    times.select(0)
    assert round(times.longest("work"), 3) == 0.2 and times.over["work"] == 1


def test_a_loop_that_is_not_measured_has_no_times() -> None:
    async def main() -> None:
        assert times_of_running_loop() is None and facts() is None

    asyncio.run(main())
