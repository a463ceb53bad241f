"""The guard's log and the record of a latched stop, written by a thread of their own.

A disk that hangs or a journal that does not read must never stop the guard: what cannot be written waits in
a bounded queue, and then the oldest is lost.
"""

# pathlib, and what it imports, would stay locked in memory for a few calls.
# ruff: noqa: PTH105

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections import deque
from typing import Any

RECORD_NAME = "guard-stop.json"
_QUEUE = 1000


class Journal:
    """Writes JSON lines to a file descriptor, and the record of the last latched stop into `state_dir`."""

    def __init__(self, fd: int, state_dir: str | None) -> None:
        self._fd = fd
        self._record = f"{state_dir}/{RECORD_NAME}" if state_dir else None
        self._queue: deque[dict[str, Any] | bytes] = deque(maxlen=_QUEUE)
        self._waiting = threading.Semaphore(0)
        self._idle = threading.Event()
        threading.Thread(target=self._run, name="journal", daemon=True).start()

    def event(self, event: str, **fields: Any) -> None:
        """One line: what happened, when (UTC, for people only) and the fields given."""
        stamp = time.time()
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(stamp))
        line = {"timestamp": f"{when}.{int(stamp % 1 * 1e6):06}Z", "logger": "guard", "event": event, **fields}
        self._put(json.dumps(line, default=str).encode() + b"\n")

    def record(self, record: dict[str, Any]) -> None:
        """Put the record of the latched stop in place of an earlier one. Source: `StopRecord`, guard_client."""
        if self._record:
            self._put(record)

    def flush(self, timeout_s: float) -> None:
        """Wait until everything is written, but no longer than `timeout_s`."""
        self._idle.wait(timeout_s)

    def _put(self, item: dict[str, Any] | bytes) -> None:
        self._idle.clear()
        self._queue.append(item)
        self._waiting.release()

    def _run(self) -> None:
        while True:
            self._waiting.acquire()
            try:
                item = self._queue.popleft()
            except IndexError:  # lost from a full queue
                continue
            with contextlib.suppress(Exception):  # nowhere left to complain to
                self._write(item)
            if not self._queue:
                self._idle.set()

    def _write(self, item: dict[str, Any] | bytes) -> None:
        if isinstance(item, bytes):
            os.write(self._fd, item)
        elif self._record:
            replace_file(self._record, json.dumps(item, default=str).encode() + b"\n")


def replace_file(path: str, content: bytes) -> None:
    """Put a file in place whole or not at all, and on the disk."""
    staged = f"{path}.new"
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(staged, path)
