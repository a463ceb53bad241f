"""How late a loop turns to new events: measured on a real loop, and by a clock of the test's own."""

from __future__ import annotations

import asyncio
import time

from hactl.daemon.observe.loop_times import LIMIT_S, facts, measured_loop, times_of_running_loop


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
