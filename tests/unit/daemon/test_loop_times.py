"""How long a loop is kept from what comes: measured on a real loop, and by a clock of the test's own."""

from __future__ import annotations

import asyncio

from hactl.daemon.observe.loop_times import TOLD_S, LoopTimes, facts, times_of_running_loop


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
