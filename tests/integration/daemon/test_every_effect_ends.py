"""Every effect ends in its event, whatever is raised on the way: the decide side waits for the event without end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hactl.model import events
from hactl.model.effects import Act
from hactl.resources.base import ResourceError
from hactl.supervise import Tasks
from tests.unit.daemon.test_every_effect_ends import DEADLINE_S, NAMES, RAISED, SPEC, Failing, actions, heard


@pytest.mark.parametrize("error", RAISED, ids=NAMES)
def test_a_monitor_that_lacks_something_says_nothing_of_the_resource_and_goes_on(
    tmp_path: Path, error: Exception
) -> None:
    async def main() -> None:
        posted: asyncio.Queue[events.Event] = asyncio.Queue()
        said: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        tasks = Tasks(lambda *change: said.put_nowait(change))
        resource = Failing(error)
        acting = actions(tmp_path, lambda *_: resource, tasks, posted)
        acting._watch(Act(7, "db", SPEC, "probe", 1, 5000.0), resource)  # type: ignore[arg-type]
        async with asyncio.timeout(DEADLINE_S):
            name, reason = await said.get()
            assert name == "monitor of thing" and reason
            assert posted.empty()
            resource.error = ResourceError("it is not well")
            assert await said.get() == ("monitor of thing", "")
        seen = await heard(posted)
        assert isinstance(seen, events.Observed) and (seen.health, seen.detail) == (
            "failed",
            "monitor: it is not well",
        )
        await acting.close()

    asyncio.run(main())
