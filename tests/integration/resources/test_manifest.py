"""Kind manifest: a file that is there while the resource runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hactl.resources.base import Observation
from tests.unit.resources.test_manifest import CONTENT, directory, make, run

__all__ = ["directory"]


def test_it_is_put_back_when_removed_changed_or_its_directory_was_replaced(directory: Path) -> None:
    resource = make(directory, content=CONTENT)
    path = directory / "scheduler.yaml"

    async def scenario() -> None:
        reports: asyncio.Queue[Observation] = asyncio.Queue()
        await resource.start({})
        watch = asyncio.create_task(resource.watch(reports.put_nowait))
        await asyncio.sleep(0.05)
        path.unlink()
        assert "was removed" in (await reports.get()).put_right and path.read_text() == CONTENT
        path.write_text("other")
        assert "was changed" in (await reports.get()).put_right and path.read_text() == CONTENT
        directory.rename(directory.with_name("old"))  # noqa: ASYNC240
        assert (await reports.get()).health == "failed"
        directory.mkdir()  # noqa: ASYNC240
        assert (await reports.get()).health == "running" and path.read_text() == CONTENT
        await resource.stop()
        await asyncio.sleep(0.05)
        assert not path.exists() and reports.empty()
        watch.cancel()

    run(scenario)
