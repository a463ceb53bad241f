"""The output of supervised processes is bounded, however fast they write, and they do not notice."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from hactl.linux import output
from hactl.linux.output import MAX_BYTES, open_output
from hactl.linux.output_keeper import KEEP_BYTES, OutputKeeper

DEADLINE_S = 30.0
FLOOD = "head -c 400000000 /dev/zero | tr '\\0' x; echo; echo >&2; read -r word; echo $word"


@pytest.fixture(autouse=True)
def no_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "_JOURNAL", "/nowhere")


def size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())


def test_a_process_that_writes_as_fast_as_it_can_is_bounded_and_goes_on(tmp_path: Path) -> None:
    directory = tmp_path / "log"
    gone: list[int] = []

    async def main() -> None:
        keeper = OutputKeeper(str(directory), lambda process, size: gone.append(size))
        keeping = asyncio.create_task(keeper.run())
        descriptor = open_output("flood", str(directory / "flood.log"))
        process = await asyncio.to_thread(
            subprocess.Popen, ["sh", "-c", FLOOD], stdin=subprocess.PIPE, stdout=descriptor, stderr=subprocess.PIPE
        )
        os.close(descriptor)
        async with asyncio.timeout(DEADLINE_S):
            assert process.stderr is not None and await asyncio.to_thread(process.stderr.readline)
            # It writes no more. The last cut is over once the file has its beginning again: the words that say so.
            while not 0 < (directory / "flood.log").stat().st_size <= MAX_BYTES:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert size(directory) <= MAX_BYTES + KEEP_BYTES
            await asyncio.to_thread(process.communicate, b"the end\n")
        assert process.returncode == 0 and gone
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    asyncio.run(main())
    text = (directory / "flood.log").read_bytes()
    assert b"[hactl] " in text and text.endswith(b"the end\n")


def test_small_and_foreign_files_are_left_alone(tmp_path: Path) -> None:
    keeper = OutputKeeper(str(tmp_path))
    (tmp_path / "quiet.log").write_bytes(b"x" * MAX_BYTES)
    (tmp_path / "another").write_bytes(b"x" * 2 * MAX_BYTES)
    keeper.look()
    assert {path.name for path in tmp_path.iterdir()} == {"quiet.log", "another"}
    assert size(tmp_path) == 3 * MAX_BYTES


def test_it_goes_on_where_the_directory_was_removed(tmp_path: Path) -> None:
    directory = tmp_path / "log"

    async def main() -> None:
        keeping = asyncio.create_task(OutputKeeper(str(directory)).run())
        async with asyncio.timeout(DEADLINE_S):
            while not directory.exists():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            directory.rmdir()
            with pytest.raises(FileNotFoundError):  # hactl.supervise starts it again
                await keeping

    asyncio.run(main())


def test_a_process_whose_output_can_go_nowhere_starts_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file in its place")
    descriptor = open_output("thing", str(tmp_path / "log" / "thing.log"))
    assert Path(f"/proc/self/fd/{descriptor}").readlink() == Path(os.devnull)
    os.close(descriptor)
