"""Writes the daemon's log on a thread of its own: a caller never waits, and gets no exception.

When the log cannot be written (its disk is full, its reader is gone, nobody reads a pipe), lines wait, then the oldest
are lost, and are counted; the writing is tried again, and the loss is logged once it works.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable

from hactl.supervise import describe

# How many lines wait, and how much of one is written: a log that cannot be written costs so much memory at most.
LINES = 1000
MAX_LINE = 16_384
# How soon it is tried again; and how long a write may take before it is said that nobody reads.
RETRY_S = 1.0
STUCK_S = 2.0


class LogWriter(io.TextIOBase):
    """A text stream on a descriptor, which it owns. `on_recovered` is called on the writing thread, with how many lines
    were lost and why, once the log can be written again; `lost` counts all of them."""

    def __init__(self, descriptor: int, on_recovered: Callable[[int, str], None] | None = None) -> None:
        self.lost = 0
        self._on_recovered = on_recovered
        self._descriptor = descriptor
        self._queue: deque[bytes] = deque()
        self._waiting = threading.Semaphore(0)
        self._lock = threading.RLock()  # a destructor that runs while a line is taken may log
        self._idle = threading.Event()
        self._idle.set()
        self._failing, self._reported = "", 0
        self._began: float | None = None
        self._partial = ""
        threading.Thread(target=self._run, name="log", daemon=True).start()

    @property
    def problem(self) -> str:
        """Why the log cannot be written now; "" while it can."""
        began = self._began
        if not self._failing and began is not None and time.monotonic() - began > STUCK_S:
            return "nobody reads it"
        return self._failing

    def write(self, text: str) -> int:
        """Take a text; whole lines are written."""
        with self._lock:
            *lines, self._partial = (self._partial + text)[-10 * MAX_LINE :].split("\n")
            for line in lines:
                self._queue.append(line.encode(errors="backslashreplace")[:MAX_LINE] + b"\n")
                self._idle.clear()
                if len(self._queue) > LINES:
                    self._queue.popleft()
                    self.lost += 1
                else:
                    self._waiting.release()
        return len(text)

    def writable(self) -> bool:
        """It is."""
        return True

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        with contextlib.suppress(OSError):
            return os.isatty(self._descriptor)
        return False

    def finish(self, timeout_s: float) -> None:
        """Wait until all is written, but not for long."""
        self._idle.wait(timeout_s)

    def _run(self) -> None:
        while True:
            self._waiting.acquire()
            with self._lock:
                line = self._queue.popleft() if self._queue else b""
            try:
                self._write(line)
            except Exception as error:  # no memory, say: this line is lost, not the log
                self._failing = describe(error)
                self.lost += 1
            with self._lock:
                if not self._queue:
                    self._idle.set()

    def _write(self, line: bytes) -> None:
        """Until it is written. A line that is half written goes on where it was."""
        while line:
            self._began = self._began or time.monotonic()
            try:
                line = line[os.write(self._descriptor, line) :]
            except BlockingIOError:  # the starter of this daemon has set it so
                select.select((), (self._descriptor,), (), RETRY_S)
            except OSError as error:
                self._failing = describe(error)
                time.sleep(RETRY_S)
        self._began = None
        reason, self._failing = self._failing, ""
        if (lost := self.lost - self._reported) and self._on_recovered is not None:
            self._reported = self.lost
            self._on_recovered(lost, reason or "nobody read it")
