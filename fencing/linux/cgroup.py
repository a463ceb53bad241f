"""Operations on a cgroup v2, for hactl and for the fence agents. Source: the kernel's cgroup-v2 documentation."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path

# $1: cgroup.procs. The process moves itself before it becomes the command, so there is no moment at which it, or a
# child of its, is elsewhere.
_ENTER = 'echo 0 > "$1" || exit 126; shift; exec "$@"'


def enter_argv(cgroup: str | Path, argv: Sequence[str]) -> list[str]:
    """The command that enters `cgroup` and becomes `argv`."""
    return ["/bin/sh", "-c", _ENTER, "enter-cgroup", f"{cgroup}/cgroup.procs", *argv]


def populated(cgroup: str | Path) -> bool:
    """Whether a live process is in it or below it; not where there is none. Raises OSError."""
    try:
        return "populated 1" in Path(cgroup, "cgroup.events").read_text()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        if Path(cgroup).exists():
            raise
        return False


def pids(cgroup: str | Path) -> list[int]:
    """The processes in it and below it."""
    members: list[int] = []
    for directory, _, _ in os.walk(cgroup):
        with contextlib.suppress(OSError):
            members += [int(line) for line in Path(directory, "cgroup.procs").read_text().split()]
    return members


def kill(cgroup: str | Path) -> None:
    """Send SIGKILL to all that is in it and below it, frozen or not; they die soon after. Raises OSError."""
    try:
        Path(cgroup, "cgroup.kill").write_text("1")
    except FileNotFoundError:
        # Before Linux 5.14. A process that forks faster than this loop is seen by the next call.
        for pid in pids(cgroup):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
