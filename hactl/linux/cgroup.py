"""A cgroup v2 for each resource: its processes belong to the resource, and are killed all at once.

Source: the kernel's cgroup-v2 documentation (`cgroup.procs`, `cgroup.kill`, `cgroup.events`). No controllers
are used, so on a machine that uses cgroup v1 a v2 hierarchy mounted beside it serves as well. Like the
container engines' cgroupfs drivers, hactl makes its directory at the top of the hierarchy: below its own
unit's cgroup systemd would kill the resources with the daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from fencing.linux import cgroup as cgroup_v2
from hactl.linux.errors import OperationError
from hactl.linux.inotify import MODIFY, Inotify

# How often to look again without an event: `cgroup.events` is notified, this is for an event that is missed.
_LOOK_AGAIN_S = 0.5
# A process that forks while it is moved may leave a child behind, which the next round moves.
_MOVES = 100
# Of a process's flags in the kernel: its first thread is ending.
_PF_EXITING = 0x4


class Cgroup:
    """One cgroup v2 directory. It need not exist: an absent one holds no process."""

    def __init__(self, path: str) -> None:
        self.path = path

    @classmethod
    def of(cls, root: str, name: str) -> Cgroup:
        """The cgroup of the resource `name` below `root`. A dot in a name could make it one of the kernel's
        own files (`cgroup.procs`), so other characters are written as %xx."""
        plain = re.sub(r"[^A-Za-z0-9_-]", lambda match: f"%{ord(match[0]):02x}", name)
        return cls(str(Path(root) / plain))

    @property
    def procs(self) -> str:
        """The file into which a process writes itself."""
        return f"{self.path}/cgroup.procs"

    def create(self) -> None:
        """Make it if it is not there. Raises OperationError."""
        try:
            Path(self.path).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OperationError(f"cannot make the cgroup {self.path}: {error.strerror}") from None
        if not Path(self.procs).exists():
            raise OperationError(f"{self.path} is not a cgroup: is its root below a mounted cgroup v2?")

    def enter_argv(self, argv: Sequence[str]) -> list[str]:
        """The command that enters the cgroup and becomes `argv`."""
        return cgroup_v2.enter_argv(self.path, argv)

    def populated(self) -> bool:
        """Whether a live process is in it or below it."""
        return cgroup_v2.populated(self.path)

    def pids(self) -> list[int]:
        """The processes in it and below it."""
        return cgroup_v2.pids(self.path)

    def kill(self) -> None:
        """Send SIGKILL to all that is in it and below it, frozen or not; they die soon after."""
        cgroup_v2.kill(self.path)

    def move_to(self, other: Cgroup) -> None:
        """Move all that is in it and below it. Raises OperationError when that has no end."""
        for _ in range(_MOVES):
            pids = self.pids()
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    Path(other.procs).write_text(str(pid))
            # The kernel moves no thread that is ending, and lists it until it has ended.
            if all(map(_is_ending, pids)):
                return
        raise OperationError(f"{self.path}: new processes keep coming: {', '.join(map(str, pids[:5]))}")

    async def wait_empty(self, timeout_s: float) -> bool:
        """Wait until no process is left in it, at most `timeout_s`; whether that is so."""
        try:
            watch = Inotify(f"{self.path}/cgroup.events", MODIFY)
        except FileNotFoundError:
            return True
        with watch, contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.populated():
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_AGAIN_S):
                            await watch.changed()
        return not self.populated()

    async def kill_all(self, timeout_s: float) -> bool:
        """Kill until nothing is left, at most `timeout_s`; whether that is so."""
        until = asyncio.get_running_loop().time() + timeout_s
        while self.populated():
            left = until - asyncio.get_running_loop().time()
            if left <= 0:
                return False
            self.kill()
            await self.wait_empty(min(left, _LOOK_AGAIN_S))
        return True

    def remove_if_empty(self) -> bool:
        """Remove it, if no process and no other cgroup is in it; whether that was so."""
        try:
            Path(self.path).rmdir()
        except OSError:
            return False
        return True

    def remove(self) -> None:
        """Remove it with all below it, if no process is there; else leave it."""
        for directory, _, _ in os.walk(self.path, topdown=False):
            with contextlib.suppress(OSError):
                Path(directory).rmdir()


def _is_ending(pid: int) -> bool:
    """Whether the process, or its first thread, is ending or gone. Source: proc_pid_stat(5), *flags*."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return bool(int(stat[stat.rindex(")") + 2 :].split()[6]) & _PF_EXITING)


def find_mount(mounts: str = "/proc/mounts") -> str | None:
    """Where a cgroup v2 hierarchy is mounted; None where none is."""
    rows = map(str.split, Path(mounts).read_text().splitlines())
    places = (fields[1] for fields in rows if fields[2:3] == ["cgroup2"])
    return next((place.encode().decode("unicode_escape") for place in places), None)


def prepare_root(name: str = "hactl", fallback_mount: str = "/run/hactl/cgroup") -> str | None:
    """The cgroup v2 directory for `NodeContext.cgroup_root`, made if need be; where only v1 is mounted, a v2
    hierarchy without controllers is mounted at `fallback_mount`. None where cgroups cannot be had."""
    mount = find_mount()
    try:
        if mount is None:
            mount = fallback_mount
            Path(mount).mkdir(parents=True, exist_ok=True)
            argv = ["mount", "-t", "cgroup2", "none", mount]
            subprocess.run(argv, check=True, capture_output=True, timeout=10)
        root = Path(mount, name)
        root.mkdir(exist_ok=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return str(root) if os.access(root / "cgroup.procs", os.W_OK) else None
