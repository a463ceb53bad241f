"""Many small pieces of work do not hold up the loop together."""

from __future__ import annotations

import asyncio

from hactl.linux.turns import Turns


def test_between_two_turns_the_loop_sees_its_events() -> None:
    seen: list[str] = []

    async def work(turns: Turns, name: str) -> None:
        async with turns:
            seen.append(name)

    async def scenario() -> None:
        turns, loop = Turns(), asyncio.get_running_loop()

        def rounds(left: int) -> None:
            seen.append("round")
            if left:
                loop.call_soon(rounds, left - 1)

        loop.call_soon(rounds, 12)
        await asyncio.gather(*(work(turns, name) for name in "abc"))

    asyncio.run(scenario())
    assert [name for name in seen if name != "round"] == ["a", "b", "c"], "first come, first served"
    assert "round" in seen[seen.index("a") : seen.index("b")] and "round" in seen[seen.index("b") : seen.index("c")]


def test_a_turn_that_fails_or_is_cancelled_is_over() -> None:
    async def scenario() -> None:
        turns, held = Turns(), asyncio.Event()

        async def hold() -> None:
            async with turns:
                await held.wait()

        async def fail() -> None:
            async with turns:
                raise OSError

        holder = asyncio.create_task(hold())
        failing = asyncio.create_task(fail())
        await asyncio.sleep(0)
        holder.cancel()
        await asyncio.gather(holder, failing, return_exceptions=True)
        async with asyncio.timeout(5), turns:
            pass

    asyncio.run(scenario())
