"""Kind manifest: a file that is there while the resource runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hactl.resources import factory
from hactl.resources.base import NodeContext, Resource, ResourceError
from tests.support.specs import resource_spec

CONTENT = "apiVersion: v1\nkind: Pod\nmetadata: {name: scheduler}\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "manifests"
    path.mkdir()
    return path


def make(directory: Path, **options: Any) -> Resource:
    spec = resource_spec("scheduler", "manifest", {"directory": str(directory), **options})
    return factory.make(spec, NodeContext("n1", "/nonexistent", None))


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(scenario(), 30)

    asyncio.run(bounded())


def names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def test_it_is_placed_and_removed(directory: Path, tmp_path: Path) -> None:
    source = tmp_path / "pod.yaml"
    source.write_text(CONTENT)
    resource = make(directory, source=str(source))

    async def scenario() -> None:
        assert (await resource.probe()).health == "stopped"
        await resource.start({})
        await resource.start({})
        assert names(directory) == ["pod.yaml"] and (directory / "pod.yaml").read_text() == CONTENT
        assert (await resource.probe()).health == "running"
        await resource.stop()
        assert names(directory) == []
        await resource.kill()

    run(scenario)
    assert resource.guard_steps() == ({"kind": "unlink", "path": str(directory / "pod.yaml")},)


def test_a_file_of_its_name_with_another_content_is_moved_aside_and_not_lost(directory: Path) -> None:
    (directory / "scheduler.yaml").write_text("kind: Another\n")
    resource = make(directory, content=CONTENT)

    async def scenario() -> None:
        assert (await resource.probe()).health == "failed"
        await resource.kill()
        assert (await resource.probe()).health == "stopped"
        assert names(directory) == [".hactl-aside-scheduler.yaml"]
        assert (directory / ".hactl-aside-scheduler.yaml").read_text() == "kind: Another\n"
        await resource.start({})
        await resource.stop()
        assert names(directory) == [".hactl-aside-scheduler.yaml"]

    run(scenario)


def test_a_node_is_ready_for_it_when_its_directory_is_there(directory: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        assert await make(directory, content=CONTENT).ready() == ""
        assert "there is no directory" in await make(tmp_path / "none", content=CONTENT).ready()
        assert "cannot read source" in await make(directory, source=str(tmp_path / "none")).ready()

    run(scenario)


def test_it_appears_whole_under_its_name_and_is_staged_under_a_hidden_one(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    fsync = os.fsync

    def look(handle: int) -> None:
        seen.append(names(directory))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", look)
    run(lambda: make(directory, content=CONTENT).start({}))
    assert seen[1:] == [["scheduler.yaml"]]
    assert [name.startswith(".scheduler.yaml.") for name in seen[0]] == [True]


def test_a_changed_file_is_a_failure_for_a_probe_not_a_stop(directory: Path) -> None:
    (directory / "scheduler.yaml").write_text("other")

    async def scenario() -> None:
        assert (await make(directory, content=CONTENT).probe()).health == "failed"

    run(scenario)


def test_what_a_killed_daemon_left_staged_is_cleaned_up(directory: Path) -> None:
    (directory / ".scheduler.yaml.0123456789abcdef.staged").write_text("half")
    run(lambda: make(directory, content=CONTENT).stop())
    assert names(directory) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"source": "/no/such/file"}, "cannot read source /no/such/file: No such file"),
        ({}, "give one of `source`, `sources` and `content`"),
        ({"content": "x", "source": "y"}, "give one of `source`, `sources` and `content`"),
        ({"content": CONTENT, "name": "../x"}, "must not contain a slash"),
        ({"content": CONTENT, "directory": "/no/such/directory"}, "there is no directory /no/such/directory"),
        ({"content": CONTENT}, None),
        ({"content": "x"}, "content is of kind none: a static pod is of `kind: Pod`"),
    ],
)
def test_checking_options(directory: Path, options: dict[str, Any], says: str | None) -> None:
    spec = resource_spec("scheduler", "manifest", {"directory": str(directory), **options})
    problems = factory.check_options(spec)
    assert len(problems) == (says is not None)
    assert says is None or says in problems[0]


def test_a_start_that_cannot_place_says_where(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"cannot place .*absent/scheduler\.yaml: No such file"):
        run(lambda: make(tmp_path / "absent", content=CONTENT).start({}))


def test_a_pipe_in_the_files_place_hangs_nobody(directory: Path) -> None:
    """It is not what was put there; as the source it is said."""
    manifest = make(directory, content=CONTENT, name="s.yaml")
    piped = make(directory, source=str(directory / "source"), name="p.yaml")
    os.mkfifo(directory / "source")

    async def scenario() -> None:
        await manifest.start({})
        (directory / "s.yaml").unlink()
        os.mkfifo(directory / "s.yaml")
        assert (await manifest.probe()).health == "failed"
        await manifest.stop()
        assert not (directory / "s.yaml").exists()
        with pytest.raises(ResourceError, match="it is no regular file"):
            await piped.start({})

    run(scenario)
