"""A child process: started in a session of its own, killed with its group, its output read while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO

from fencing.linux.umask import of_children
from fencing.linux.wait_readable import wait_readable

_READ_SIZE = 262144
# How long the event loop waits for a killed process: it is gone at once, unless it hangs in the kernel.
_GONE_S, _LOOK_S = 0.02, 0.001


def spawn(
    argv: Sequence[str], *, stdin: bytes | None, env: Mapping[str, str] | None, cwd: str | None = None
) -> subprocess.Popen[bytes]:
    """Start it. Its input is a file in memory: nothing to feed, and secrets never touch a disk. Raises OSError,
    ValueError."""
    with contextlib.ExitStack() as stack:
        source: int | IO[bytes] = subprocess.DEVNULL
        if stdin is not None:
            source = stack.enter_context(os.fdopen(os.memfd_create("input"), "w+b"))
            source.write(stdin)
            source.seek(0)
        return subprocess.Popen(
            list(argv), stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=None if env is None else dict(env), cwd=cwd, umask=of_children(), start_new_session=True,
        )  # fmt: skip


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill it and its group. It is not yet reaped, so the group's number cannot be another's."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


async def wait_end(pid: int, timeout_s: float) -> bool:
    """Wait until the child `pid` has ended, without reaping it; whether it has."""
    pidfd = os.pidfd_open(pid)
    try:
        async with asyncio.timeout(max(timeout_s, 0)):
            await wait_readable(pidfd)
        return True
    except TimeoutError:
        return False
    finally:
        os.close(pidfd)


def reap_killed(process: subprocess.Popen[bytes]) -> None:
    """Take note of the end of a killed child; on a thread when it hangs in the kernel."""
    until = time.monotonic() + _GONE_S
    while process.poll() is None:
        if time.monotonic() > until:
            with contextlib.suppress(RuntimeError):  # without a thread it stays a zombie for a while
                threading.Thread(target=process.wait, name="reap", daemon=True).start()
            return
        time.sleep(_LOOK_S)


class Output:
    """Reads a pipe while it fills, and keeps its beginning. `cut`: there was more. `closed`: it has ended."""

    def __init__(self, pipe: IO[bytes], limit: int) -> None:
        self._pipe, self._limit = pipe, limit
        self._kept = bytearray()
        self.cut = False
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        os.set_blocking(pipe.fileno(), False)
        self._loop.add_reader(pipe.fileno(), self._read)

    def text(self) -> str:
        """All that has been written until now, up to the limit."""
        # One full pipe is enough: a process that the command left behind may go on writing without end.
        for _ in range(4):
            if self.closed.done() or not self._read():
                break
        return self._kept.decode(errors="replace")

    def close(self) -> None:
        """Stop reading; idempotent."""
        if not self.closed.done():
            self.closed.set_result(None)
            self._loop.remove_reader(self._pipe.fileno())
            self._pipe.close()

    def _read(self) -> bool:
        try:
            chunk = os.read(self._pipe.fileno(), _READ_SIZE)
        except BlockingIOError:
            return False
        except OSError:
            chunk = b""
        if not chunk:
            self.close()
            return False
        room = self._limit - len(self._kept)
        self._kept += chunk[:room]
        self.cut = self.cut or len(chunk) > room
        return True
