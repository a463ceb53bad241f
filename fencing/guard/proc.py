"""Killing processes and knowing that they are dead: by cgroup v2, by pidfd, by process group.

Sources: the kernel's cgroup-v2 documentation (`cgroup.kill`, `cgroup.events`), proc_pid_stat(5),
pidfd_open(2). A zombie counts as dead: it runs no more code and holds no file.
"""

# pathlib, and its imports, would stay locked in memory for a few calls.
# ruff: noqa: PTH110, PTH208

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from typing import NamedTuple

from fencing.guard.sys import REALTIME_PRIORITY, read_file, write_file
from fencing.linux.umask import of_children

_LOOK_MS = 5
# The place for the tools that stop steps name; nothing is inherited from the guard's starter.
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


class Stat(NamedTuple):
    """A process in /proc. `start_time` (clock ticks since boot) makes a pid unmistakable."""

    state: str
    parent: int
    group: int
    start_time: int

    @property
    def dead(self) -> bool:
        """It has ended, though nobody may have waited for it yet."""
        return self.state in "ZXx"


def read_stat(pid: int) -> Stat | None:
    """The entry of `pid` in /proc; None when there is no such process."""
    try:
        text = read_file(f"/proc/{pid}/stat")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return Stat(fields[0], int(fields[1]), int(fields[2]), int(fields[19]))


def all_stats() -> dict[int, Stat]:
    """Every process there is, the dead ones left out."""
    stats = ((int(name), read_stat(int(name))) for name in os.listdir("/proc") if name.isdigit())
    return {pid: stat for pid, stat in stats if stat is not None and not stat.dead}


def populated(cgroup: str) -> bool:
    """Whether a live process is in the cgroup or below it; an absent cgroup holds none."""
    try:
        return "populated 1" in read_file(f"{cgroup}/cgroup.events")
    except FileNotFoundError:
        return False
    except OSError:
        if not os.path.exists(cgroup):  # removed while it was read
            return False
        raise


def kill_cgroup(cgroup: str, wait_s: float) -> str:
    """SIGKILL everything in and below the cgroup, frozen or not, until nothing lives there or `wait_s` is
    over. Returns the problem, or ""."""
    until = time.monotonic() + wait_s
    while populated(cgroup):
        try:
            write_file(f"{cgroup}/cgroup.kill", b"1")
        except FileNotFoundError:
            if os.path.exists(cgroup):
                return f"{cgroup} has no cgroup.kill: not a cgroup v2, or Linux before 5.14"
            return ""
        for directory, _, _ in os.walk(cgroup):
            with contextlib.suppress(OSError):
                _hurry(read_file(f"{directory}/cgroup.threads").split())
        for _ in range(10):
            if not populated(cgroup):
                return ""
            if time.monotonic() > until:
                return f"processes live on in {cgroup}"
            time.sleep(_LOOK_MS / 1000)
    return ""


def in_cgroup(cgroup: str, pid: int) -> bool:
    """Whether `pid` is in the cgroup or below it."""
    for directory, _, _ in os.walk(cgroup):
        with contextlib.suppress(OSError):
            if str(pid) in read_file(f"{directory}/cgroup.procs").split():
                return True
    return False


class Process:
    """One process for certain, by its pidfd and start time, not by a number that may be used again."""

    def __init__(self, pid: int) -> None:
        """Raises OSError (ProcessLookupError) when there is none."""
        self.pid = pid
        self._fd = os.pidfd_open(pid)
        stat = read_stat(pid)
        self.start_time = stat.start_time if stat else 0
        self._family: dict[int, int] = {}

    def alive(self) -> bool:
        """False once it has ended, a zombie included."""
        return not _readable(self._fd, 0)

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            os.close(self._fd)

    def kill_tree(self, wait_s: float) -> str:
        """SIGKILL it, its process group and its descendants, until they are dead or `wait_s` is over. Without
        a cgroup, processes of a daemon that had died before cannot be told from others, and are
        left alone. Returns the problem, or ""."""
        until = time.monotonic() + wait_s
        while True:
            stats = all_stats()
            if self.alive():
                self._family[self.pid] = self.start_time
                _grow(self._family, stats, self.pid)
            living = [pid for pid, start in self._family.items() if _is_that(stats, pid, start)]
            if not living and not self.alive():
                return ""
            for pid in living:
                _kill(pid)
            if time.monotonic() > until:
                return f"the daemon's processes live on: {living}"
            time.sleep(_LOOK_MS / 1000)


def kill_group(pid: int, start_time: int, wait_s: float) -> str:
    """SIGKILL the process and the group that it leads, until both are dead or `wait_s` is over. A process of
    another start time is another process: the one that was meant is gone, and its group with it, since a pid
    is not used again while a group has its number. Returns the problem, or ""."""
    until = time.monotonic() + wait_s
    while True:
        stat = read_stat(pid)
        if stat is not None and stat.start_time != start_time:
            return ""
        if stat is not None and stat.group != pid:
            members = [] if stat.dead else [pid]
        else:
            members = [member for member, stat in all_stats().items() if stat.group == pid]
        if not members:
            return ""
        for member in members:
            _kill(member)
        if time.monotonic() > until:
            return f"processes live on: {members}"
        time.sleep(_LOOK_MS / 1000)


class Ran(NamedTuple):
    """How a command ended: `status` is None when it had to be killed at its deadline."""

    status: int | None
    output: str = ""

    @property
    def problem(self) -> str:
        """The problem, or ""."""
        return "" if self.status == 0 else "timed out" if self.status is None else f"exit status {self.status}"


def run_bounded(argv: list[str], timeout_s: float, env: dict[str, str] | None = None, limit: int = 0) -> Ran:
    """Run a command in a process group of its own, killed with it at the deadline. `env` is added to a bare
    PATH. Keeps the first `limit` bytes of its output (it must print less than a pipe holds), discards the
    rest. Raises OSError."""
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if limit else subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=_ENVIRONMENT | (env or {}),
        cwd="/",
        umask=of_children(),
        start_new_session=True,
    ) as child:
        try:
            fd = os.pidfd_open(child.pid)
            try:
                ended = _readable(fd, timeout_s)
            finally:
                os.close(fd)
        finally:
            # Processes that it left behind in its group go, too: nothing runs past the deadline.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        output = os.read(child.stdout.fileno(), limit) if child.stdout and ended else b""
        status = child.wait()
    return Ran(status if ended else None, output.decode("utf-8", "replace"))


def _readable(fd: int, timeout_s: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        _hurry(os.listdir(f"/proc/{pid}/task"))


def _hurry(tasks: list[str]) -> None:
    """Let killed tasks run at once: dying takes processor time, too, and starved they do not get it."""
    for task in tasks:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(int(task), os.SCHED_RR, os.sched_param(REALTIME_PRIORITY))


def _is_that(stats: dict[int, Stat], pid: int, start_time: int) -> bool:
    """Whether the process lives, and its number is not another's by now."""
    return pid in stats and stats[pid].start_time == start_time


def _grow(family: dict[int, int], stats: dict[int, Stat], leader: int) -> None:
    """Add to `family` the descendants of its members, and the group that `leader` leads; never ourselves."""
    grown = True
    while grown:
        grown = False
        for pid, stat in stats.items():
            if pid in family or pid == os.getpid():
                continue
            parent_start = family.get(stat.parent)
            if stat.group == leader or (parent_start and _is_that(stats, stat.parent, parent_start)):
                family[pid] = stat.start_time
                grown = True
