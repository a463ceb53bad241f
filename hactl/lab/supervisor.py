"""The stand-in for systemd: it starts the daemon, and starts it again when it ends, in its own cgroup.

Run in the lab's `supervisor` cgroup of a node: `python -m hactl.lab.supervisor CGROUP PIDFILE COMMAND...`.
As systemd does by default, it kills all that a daemon left in its cgroup. The guard must be elsewhere.
SIGHUP restarts the daemon at once after an orderly stop, SIGTERM stops it and ends.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from fencing.linux import cgroup

FIRST_DELAY_S, LAST_DELAY_S, SETTLED_S, STOP_S = 0.1, 3.0, 1.0, 30.0


class Supervisor:
    """One daemon, kept running."""

    def __init__(self, group: Path, pid_file: Path, argv: list[str]) -> None:
        self._group, self._pid_file, self._argv = group, pid_file, argv
        self._child: subprocess.Popen[bytes] | None = None
        self._stopping = self._restarting = False
        self._end_requested_at = 0.0  # when the child was asked to end; 0: it was not

    def run(self) -> None:
        """Until SIGTERM."""
        signal.signal(signal.SIGTERM, self._on_term)
        signal.signal(signal.SIGHUP, self._on_hup)
        delay_s = FIRST_DELAY_S
        while not self._stopping:
            began = time.monotonic()
            self._run_once()
            if self._restarting or time.monotonic() - began > SETTLED_S:
                delay_s = FIRST_DELAY_S
            if not (self._restarting or self._stopping):
                time.sleep(delay_s)
                delay_s = min(delay_s * 2, LAST_DELAY_S)
            self._restarting = False

    def _run_once(self) -> None:
        self._child = subprocess.Popen(cgroup.enter_argv(self._group, self._argv))
        self._end_requested_at = 0.0
        if self._stopping:  # the signal came before there was a child to pass it on to
            self._terminate()
        with contextlib.suppress(OSError):  # as systemd, it lives on without its files
            self._pid_file.write_text(str(self._child.pid))
        code = self._wait(self._child)
        self._child = None
        with contextlib.suppress(OSError):
            self._pid_file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            cgroup.kill(self._group)
        with contextlib.suppress(OSError):
            sys.stderr.write(f"supervisor: the daemon ended with {code}\n")
            sys.stderr.flush()

    def _wait(self, child: subprocess.Popen[bytes]) -> int:
        while not self._end_requested_at:
            if _ends(child, STOP_S):
                return child.wait()
        if not _ends(child, max(0.0, self._end_requested_at + STOP_S - time.monotonic())):
            child.kill()
        return child.wait()

    def _on_term(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True
        if self._child is None:
            sys.exit(0)
        self._terminate()

    def _on_hup(self, _number: int, _frame: FrameType | None) -> None:
        if self._child is not None:
            self._restarting = True
            self._terminate()

    def _terminate(self) -> None:
        if self._child is not None:
            self._end_requested_at = time.monotonic()
            self._child.terminate()


def _ends(child: subprocess.Popen[bytes], timeout_s: float) -> bool:
    """Whether it ends within this time; seen at once, where `Popen.wait` with a timeout looks now and then."""
    descriptor = os.pidfd_open(child.pid)
    try:
        return bool(select.select([descriptor], [], [], timeout_s)[0])
    finally:
        os.close(descriptor)


def main() -> None:
    """Entry point."""
    group, pid_file, *argv = sys.argv[1:]
    Supervisor(Path(group), Path(pid_file), argv).run()


if __name__ == "__main__":
    main()
