"""The guard's log and the record of a latched stop, written by a thread of their own.

A disk that hangs or a journal that does not read must never stop the guard: lines that cannot be written wait in
a bounded queue, and then the oldest is lost.

With a file, each line goes to the machine's journal, too, which outlives a reboot where it is kept on disk: at once or
not at all, so a journal that is away or hangs holds up nothing. Source: systemd's Native Journal Protocol.
"""

# pathlib, and its imports, would stay locked in memory for a few calls.
# ruff: noqa: PTH105, PTH108

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections import deque
from typing import Any, NamedTuple

RECORD_NAME = "guard-stop.json"
_QUEUE = 1000
# How large the log's file grows before it is put aside as `.1`; and how soon a record that could not be
# written is tried again.
MAX_LOG_BYTES = 1 << 20
_RETRY_S = 1.0

JOURNAL = "/run/systemd/journal/socket"
# Lines after which the machine may be reset at any moment: the journal writes those of level 2 to the disk at once.
_LAST_WORDS = ("deadline", "not_stopped", "self_fence", "self_fence_failed")
_CRITICAL, _INFO = 2, 6
# `journalctl -u hactl` shows messages of root's that are about this unit.
_ABOUT = "SYSLOG_IDENTIFIER=hactl-guard\nOBJECT_SYSTEMD_UNIT=hactl.service\n"


class _Line(NamedTuple):
    text: bytes
    level: int


class Journal:
    """Writes JSON lines to a file and the machine's journal, or to a file descriptor, and the record of the last
    latched stop into `state_dir`. `lost`: how many lines could not be written there."""

    def __init__(self, log: str | int, state_dir: str | None, journal: str = JOURNAL) -> None:
        self.lost = 0
        self._journal, self._link = journal, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._link.setblocking(False)
        self._path = log if isinstance(log, str) else None
        self._fd: int | None = log if isinstance(log, int) else None
        self._record = f"{state_dir}/{RECORD_NAME}" if state_dir else None
        self._queue: deque[dict[str, Any] | _Line] = deque(maxlen=_QUEUE)
        self._waiting = threading.Semaphore(0)
        self._idle = threading.Event()
        threading.Thread(target=self._run, name="journal", daemon=True).start()

    def event(self, event: str, **fields: Any) -> None:
        """One line: the event, its time (UTC, for people only) and the fields given."""
        stamp = time.time()
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(stamp))
        line = {"timestamp": f"{when}.{int(stamp % 1 * 1e6):06}Z", "logger": "guard", "event": event, **fields}
        level = _CRITICAL if event in _LAST_WORDS else _INFO
        self._put(_Line(json.dumps(line, default=str).encode() + b"\n", level))

    def record(self, record: dict[str, Any]) -> None:
        """Put the record of the latched stop in place of an earlier one. Its reader: fencing.guard.client."""
        if self._record:
            self._put(record)

    def flush(self, timeout_s: float) -> None:
        """Wait until everything is written, but no longer than `timeout_s`."""
        self._idle.wait(timeout_s)

    def _put(self, entry: dict[str, Any] | _Line) -> None:
        self._idle.clear()
        if len(self._queue) == _QUEUE:
            self.lost += 1
        self._queue.append(entry)
        self._waiting.release()

    def _run(self) -> None:
        unwritten: dict[str, Any] | None = None  # a record for which there was no room yet
        while True:
            if self._waiting.acquire(timeout=None if unwritten is None else _RETRY_S):
                try:
                    entry = self._queue.popleft()
                except IndexError:  # lost from a full queue
                    continue
            else:
                assert unwritten is not None
                entry = unwritten
            try:
                self._write(entry)
                unwritten = unwritten if isinstance(entry, _Line) else None
            except Exception:  # nowhere left to complain to
                unwritten = unwritten if isinstance(entry, _Line) else entry
                self.lost += isinstance(entry, _Line)
            if not self._queue:
                self._idle.set()

    def _write(self, entry: dict[str, Any] | _Line) -> None:
        if isinstance(entry, _Line):
            if self._path is not None:
                self._send(entry)  # first: the file's disk may hang
            self._write_line(entry.text)
        elif self._record:
            replace_file(self._record, json.dumps(entry, default=str).encode() + b"\n")

    def _send(self, line: _Line) -> None:
        # There is none, it does not read, or the line is longer than a datagram: the file has it.
        with contextlib.suppress(OSError):
            self._link.sendto(f"PRIORITY={line.level}\n{_ABOUT}MESSAGE=".encode() + line.text, self._journal)

    def _write_line(self, line: bytes) -> None:
        descriptor = self._open()
        while line:
            line = line[os.write(descriptor, line) :]

    def _open(self) -> int:
        """The log's file as it is there now: it, or its directory, may have been removed. Raises OSError."""
        if self._path is None:
            assert self._fd is not None
            return self._fd
        if self._fd is not None:
            status = os.fstat(self._fd)
            if status.st_nlink and status.st_size < MAX_LOG_BYTES:
                return self._fd
            os.close(self._fd)
            self._fd = None
            if status.st_nlink:
                os.replace(self._path, f"{self._path}.1")
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        return self._fd


def replace_file(path: str, content: bytes) -> None:
    """Put a file in place whole or not at all, and on the disk."""
    staged = f"{path}.{os.urandom(8).hex()}.staged"
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        while content:
            content = content[os.write(descriptor, content) :]
        os.fsync(descriptor)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(staged)
        raise
    finally:
        os.close(descriptor)
    os.replace(staged, path)
