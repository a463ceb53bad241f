"""A run_dir that is emptied, full, or gone: seen, said, and well again by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from hactl.daemon.log.writer import LogWriter
from hactl.daemon.observe import run_dir
from hactl.daemon.observe.run_dir import RunDir
from hactl.daemon.observe.self_check import SelfCheck
from hactl.serving import sockets
from hactl.serving.sockets import unix_listener, until_removed

DEADLINE_S = 10.0


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_dir, "TRY_S", 0.0)
    monkeypatch.setattr(sockets, "LOOK_S", 0.01)


@pytest.mark.parametrize("removed", ["what is in it", "itself"])
def test_that_it_was_emptied_is_said_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removed: str) -> None:
    place = tmp_path / "run"
    watched = RunDir(str(place))
    assert watched.look() == ("", "")  # it is not there yet: that is no news
    assert watched.look() == ("", "")
    if removed == "itself":
        shutil.rmtree(place)
    else:
        for path in place.iterdir():
            path.unlink()
    problem, fix = watched.look()
    assert "was emptied by something" in problem and str(place) in fix and watched.emptied == 1
    assert watched.look()[0] == problem and watched.emptied == 1
    monkeypatch.setattr(run_dir, "TELL_S", 0.0)
    assert watched.look() == ("", "")


def test_another_daemon_finds_it_as_it_is(tmp_path: Path) -> None:
    RunDir(str(tmp_path)).look()
    assert RunDir(str(tmp_path)).look() == ("", "")


@pytest.mark.root
def test_that_it_is_full_is_said_until_it_is_not(tmp_path: Path) -> None:
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", tmp_path], check=False).returncode:
        pytest.skip("may not mount")
    try:
        watched = RunDir(str(tmp_path))
        assert watched.look() == ("", "")
        filler = tmp_path / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(b"\0" * 512):
                pass
        problem, fix = watched.look()
        assert problem.startswith("its run_dir cannot be written: No space left on device") and str(tmp_path) in fix
        filler.unlink()
        assert watched.look() == ("", "") and watched.emptied == 0
        assert {path.name for path in tmp_path.iterdir()} == {run_dir.MARK}
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def test_self_checks_are_repeated_and_reported(tmp_path: Path) -> None:
    async def main() -> None:
        said: asyncio.Queue[tuple[str, str, str]] = asyncio.Queue()
        looked = asyncio.Event()

        async def look() -> None:
            looked.set()

        reading, writing = os.pipe()
        check = SelfCheck(LogWriter(writing), RunDir(str(tmp_path)), lambda *change: said.put_nowait(change), look)
        running = asyncio.create_task(check.run())
        async with asyncio.timeout(DEADLINE_S):
            while not await asyncio.to_thread((tmp_path / run_dir.MARK).exists):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await asyncio.to_thread((tmp_path / run_dir.MARK).unlink)
            source, problem, _ = await said.get()
            assert source == "run_dir" and "emptied" in problem
            await looked.wait()
        running.cancel()
        os.close(reading)

    asyncio.run(main())


@pytest.mark.parametrize("replaced_by", ["removed", "another"])
def test_a_socket_that_is_removed_is_missed(tmp_path: Path, replaced_by: str) -> None:
    path = tmp_path / "sock"

    async def main() -> None:
        with unix_listener(str(path), None):
            watching = asyncio.create_task(until_removed(str(path)))
            await asyncio.sleep(0)
            assert not watching.done()
            path.unlink()
            if replaced_by == "another":
                path.write_text("")
            with pytest.raises(FileNotFoundError, match="was removed"):
                await asyncio.wait_for(watching, DEADLINE_S)

    asyncio.run(main())
