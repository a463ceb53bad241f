"""Drop-ins for systemd's units, as files: what is written, what is removed, how often systemd is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from hactl.linux.drop_ins import FILE, DropIn, DropIns, remove_all


class Files:
    """The two directories. `reloads`: systemd was told so often; `fails`: it cannot be told."""

    def __init__(self, root: Path) -> None:
        self.run, self.etc = root / "run", root / "etc"
        self.run.mkdir()
        self.etc.mkdir()
        self.drop_ins = DropIns(self.run, self.etc)
        self.reloads = 0
        self.fails = False

    async def reload(self) -> None:
        await asyncio.sleep(0.01)
        if self.fails:
            raise OSError("no systemd")
        self.reloads += 1

    def there(self) -> dict[str, str]:
        paths = [*self.run.rglob("*.conf"), *self.etc.rglob("*.conf")]
        return {f"{path.parts[-3]}/{path.parts[-2]}/{path.name}": path.read_text() for path in paths}

    async def keep(self, *wanted: DropIn, unloaded: bool = False) -> None:
        await self.drop_ins.keep(wanted, self.reload, self.drop_ins.revision, unloaded=unloaded)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_many_that_are_wanted_at_once_come_with_two_reloads_at_most(files: Files) -> None:
    async def scenario() -> None:
        wanted = [DropIn(f"unit{number}.service", "x") for number in range(50)]
        await asyncio.gather(*(files.drop_ins.ensure([drop_in], files.reload) for drop_in in wanted))
        assert len(files.there()) == 50
        assert files.reloads <= 2
        before = files.reloads
        await files.drop_ins.ensure(wanted, files.reload)
        await files.keep(*wanted)
        assert files.reloads == before, "nothing has changed"

    run(scenario)


def test_each_returns_when_its_own_is_loaded(files: Files) -> None:
    async def scenario() -> None:
        files.fails = True
        with pytest.raises(OSError, match="no systemd"):
            await files.drop_ins.ensure([DropIn("a.service", "x")], files.reload)
        files.fails = False
        await files.drop_ins.ensure([DropIn("a.service", "x")], files.reload)
        assert files.reloads == 1, "written before, but not loaded"

    run(scenario)


def test_those_of_nobody_go_and_only_hactls(files: Files) -> None:
    other = files.etc / "a.service.d/override.conf"
    other.parent.mkdir()
    other.write_text("mine")

    async def scenario() -> None:
        await files.keep(DropIn("a.service", "1", lasting=True), DropIn("b.service", "2"))
        assert files.there() == {
            f"etc/a.service.d/{FILE}": "1", f"run/b.service.d/{FILE}": "2", "etc/a.service.d/override.conf": "mine"
        }  # fmt: skip
        await files.keep(DropIn("a.service", "1"))
        assert files.there() == {f"run/a.service.d/{FILE}": "1", "etc/a.service.d/override.conf": "mine"}
        assert not (files.run / "b.service.d").exists()
        assert files.reloads == 2
        (files.run / f"a.service.d/{FILE}").write_text("of somebody else's")
        await files.keep(DropIn("a.service", "1"))
        assert (files.reloads, files.there()[f"run/a.service.d/{FILE}"]) == (3, "1")
        await files.keep(DropIn("a.service", "1"), unloaded=True)
        assert files.reloads == 4
        assert remove_all(files.run, files.etc)
        assert files.there() == {"etc/a.service.d/override.conf": "mine"}
        assert not remove_all(files.run, files.etc)

    run(scenario)


def test_one_that_is_wanted_meanwhile_is_not_removed(files: Files) -> None:
    async def scenario() -> None:
        revision = files.drop_ins.revision
        await files.drop_ins.ensure([DropIn("new.service", "x")], files.reload)
        await files.drop_ins.keep([], files.reload, revision, unloaded=False)
        assert len(files.there()) == 1
        await files.keep()
        assert files.there() == {}

    run(scenario)
