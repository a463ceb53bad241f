"""Each reading of the configuration is answered, whatever fails: the decide side asks once for a revision."""

from __future__ import annotations

import asyncio
from typing import Any

from hactl.daemon.parts.config_reading import ConfigReading
from hactl.model.effects import ReadConfig
from hactl.model.events import Configured
from hactl.supervise import Tasks
from tests.support.stand_in import node_state


class BrokenReader:
    """Nothing of it works, not even what is kept of the last one."""

    async def known(self, text: str, generation: int) -> Any:
        await asyncio.sleep(0)
        raise OSError(f"no {text}")

    async def last(self) -> Any:
        raise OSError("nor the last one")


def test_a_reading_that_fails_in_every_way_is_answered_and_the_newest_is_next() -> None:
    async def main() -> list[Configured]:
        answers: asyncio.Queue[Configured] = asyncio.Queue()
        state, tasks = node_state(None), Tasks()
        reading = ConfigReading(BrokenReader(), tasks, lambda: state, answers.put_nowait)  # type: ignore[arg-type]
        for revision in (1, 2, 3):
            reading.carry_out(ReadConfig(revision, str(revision)))
        async with asyncio.timeout(10):
            answered = [await answers.get(), await answers.get()]
        await tasks.close()
        return answered

    answered = asyncio.run(main())
    assert [(event.revision, event.spec) for event in answered] == [(1, None), (3, None)]
    assert all("nor the last one" in event.problem for event in answered)
