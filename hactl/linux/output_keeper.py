"""Bounds the output of supervised processes where it goes to files (output.py): they lie in memory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from hactl.linux.inotify import CREATE, DELETE_SELF, MODIFY, MOVED_TO, Inotify
from hactl.linux.output import MAX_BYTES

log = structlog.get_logger(__name__)

# How much of its end is kept of a file that has grown too large, as `.1`.
KEEP_BYTES = 256 * 1024
# How soon it is looked again while something writes: a process can fill memory with 1 GB a second.
PACE_S = 0.02
# How often it is looked where no change is told of, and how often it is logged that a process writes so much.
LOOK_S, SAY_S = 10.0, 60.0


class OutputKeeper:
    """Cuts the files in `directory`. `cut` is told which process wrote how many bytes that are gone."""

    def __init__(self, directory: str, cut: Callable[[str, int], None] = lambda process, gone: None) -> None:
        self._directory, self._cut = Path(directory), cut
        self._logged: dict[str, float] = {}

    async def run(self) -> None:
        """Until cancelled. Raises OSError when the directory cannot be had."""
        await asyncio.to_thread(self._directory.mkdir, parents=True, exist_ok=True)
        with Inotify(str(self._directory), MODIFY | CREATE | MOVED_TO | DELETE_SELF) as changes:
            while self._directory.exists():
                for process, gone in await asyncio.to_thread(self.look):
                    self._cut(process, gone)
                await asyncio.sleep(PACE_S)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await changes.changed()
        raise FileNotFoundError(f"{self._directory} was removed")

    def look(self) -> list[tuple[str, int]]:
        """Cut the files that have grown too large: the processes, and how many bytes of their output are gone."""
        with os.scandir(self._directory) as entries:
            logs = [entry for entry in entries if entry.name.endswith(".log") and entry.is_file()]
        large = [Path(entry.path) for entry in logs if entry.stat().st_size > MAX_BYTES]
        return [(path.stem, self._shorten(path)) for path in large]

    def _shorten(self, path: Path) -> int:
        """Writers go on at the file's new end, as it is theirs for appending. Where there is no room for its end, that
        is gone, too."""
        with path.open("r+b", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(-KEEP_BYTES, os.SEEK_END)
            with contextlib.suppress(OSError):
                path.with_suffix(".log.1").write_bytes(file.read(KEEP_BYTES))
            file.truncate(0)
        words = f"[hactl] {size} bytes were cut here: this process writes too much; their end is in {path.name}.1"
        with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
            file.write(words.encode() + b"\n")
        if time.monotonic() - self._logged.get(path.name, -SAY_S) >= SAY_S:
            self._logged[path.name] = time.monotonic()
            log.warning("process.output_cut", file=str(path), bytes=size)
        return size
