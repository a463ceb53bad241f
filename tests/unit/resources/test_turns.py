"""Turns on an instance that two resources drive."""

from __future__ import annotations

import asyncio

from hactl.resources.turns import Turn, Turns


async def settled() -> None:
    """Every task has gone as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_one_action_after_another() -> None:
    async def scenario() -> list[str]:
        turn, log, go = Turn(), [], asyncio.Event()

        async def act(name: str) -> None:
            async with turn.take():
                log.append(f"{name} begins")
                await go.wait()
                log.append(f"{name} ends")

        assert not turn.taken
        tasks = [asyncio.create_task(act(name)) for name in ("a", "b")]
        await settled()
        assert log == ["a begins"] and turn.taken
        go.set()
        await asyncio.gather(*tasks)
        assert not turn.taken
        return log

    assert asyncio.run(scenario()) == ["a begins", "a ends", "b begins", "b ends"]


def test_a_kill_waits_for_nobody_and_all_wait_for_it() -> None:
    async def scenario() -> None:
        turn, log, go, killed = Turn(), [], asyncio.Event(), asyncio.Event()

        async def act(name: str) -> None:
            async with turn.take():
                log.append(name)
                await go.wait()

        async def kill() -> None:
            with turn.kill():
                async with turn.take():
                    log.append("kill")
                    await asyncio.create_task(act("a part of the kill, a task of its own"))
                    await killed.wait()

        tasks = [asyncio.create_task(act("a"))]
        await settled()
        tasks.append(asyncio.create_task(kill()))
        go.set()
        await settled()
        tasks += [asyncio.create_task(act("b")), asyncio.create_task(turn.no_kill())]
        await settled()
        assert log == ["a", "kill", "a part of the kill, a task of its own"]
        assert turn.taken and not tasks[-1].done()
        killed.set()
        await asyncio.gather(*tasks)
        assert log[-1] == "b" and not turn.taken

    asyncio.run(scenario())


def test_each_instance_has_its_own() -> None:
    turns = Turns()
    assert turns.of("db", "redis") is turns.of("db", "redis")
    assert turns.of("db", "redis") is not turns.of("db", "other")
