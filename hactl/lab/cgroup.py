"""Control groups (v2): how the lab kills, freezes and counts the processes of a node, all at once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from tenacity import RetryError, Retrying, retry_if_not_exception_type, stop_after_delay, wait_fixed

from fencing.linux import cgroup as cgroup_v2
from hactl.lab.system import LabError, wait_until
from hactl.linux.cgroup import find_mount

_PF_EXITING = 0x4


class Cgroup:
    """One directory of the cgroup v2 hierarchy. No controllers are needed: only kill, freeze and events."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def child(self, name: str) -> Cgroup:
        """The group of this name below."""
        return Cgroup(self.path / name)

    def exists(self) -> bool:
        """Whether it is there."""
        return self.path.is_dir()

    def create(self, children: Iterable[str] = ()) -> None:
        """Make it, and `children` below."""
        self.path.mkdir(parents=True, exist_ok=True)
        for name in children:
            (self.path / name).mkdir(exist_ok=True)

    def pids(self) -> list[int]:
        """Every process in it and below."""
        return cgroup_v2.pids(self.path)

    def kill(self, deadline_s: float = 5.0) -> None:
        """SIGKILL to everything in it and below, frozen or not; returns when nothing is left."""
        if not self.exists():
            return
        cgroup_v2.kill(self.path)
        self._await("populated", "0", deadline_s)

    def halt(self, deadline_s: float = 5.0) -> None:
        """SIGKILL to everything in it and below, frozen or not; returns when nothing of it will run another
        instruction. It does not wait for the kernel to take back the memory, so a power cut takes no longer with more
        of it."""
        if not self.exists():
            return
        pids = self.pids()
        cgroup_v2.kill(self.path)
        left = {*pids, *self.pids()}  # a child that was just being made is killed, too

        def halted() -> bool:
            left.difference_update([pid for pid in left if not runs(pid)])
            return not left

        wait_until(halted, deadline_s=deadline_s, goal=f"everything in {self.path} is halted", every_s=0.001)

    def freeze(self, frozen: bool, deadline_s: float = 5.0) -> None:
        """Stop every process in it and below from running, or let them go on; returns when it is so."""
        (self.path / "cgroup.freeze").write_text("1" if frozen else "0")
        self._await("frozen", "1" if frozen else "0", deadline_s)

    @property
    def frozen(self) -> bool:
        """Whether its processes are kept from running."""
        return self.exists() and self._event("frozen") == "1"

    def remove(self, deadline_s: float = 5.0) -> None:
        """Kill all processes in it, then remove it and the groups below. None there is no error."""
        if not self.exists():
            return
        self.kill(deadline_s)
        for directory, _, _ in os.walk(self.path, topdown=False):
            _rmdir(Path(directory), deadline_s)

    def _event(self, name: str) -> str:
        events = (self.path / "cgroup.events").read_text().splitlines()
        return dict(line.split(" ", 1) for line in events).get(name, "")

    def _await(self, name: str, value: str, deadline_s: float) -> None:
        goal = f"{self.path} {name} {value}"
        wait_until(lambda: self._event(name) == value, deadline_s=deadline_s, goal=goal, every_s=0.001)


def runs(pid: int) -> bool:
    """Whether any thread of a process may still run a program's instructions: it has not begun to exit."""
    try:
        return any(_thread_runs(thread) for thread in Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return False


def _thread_runs(thread: Path) -> bool:
    """proc_pid_stat(5): the seventh word after the command's name are its flags."""
    try:
        words = (thread / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return not int(words[6]) & _PF_EXITING


def _rmdir(directory: Path, deadline_s: float) -> None:
    """A killed process keeps its group busy until it has been taken down."""
    retrying = Retrying(
        retry=retry_if_not_exception_type(FileNotFoundError), stop=stop_after_delay(deadline_s), wait=wait_fixed(0.005)
    )
    try:
        with contextlib.suppress(FileNotFoundError):
            retrying(directory.rmdir)
    except RetryError as error:
        raise LabError(f"cannot remove the cgroup {directory}: {error.last_attempt.exception()}") from error


def mount_point() -> Path:
    """Where cgroup v2 is mounted."""
    if (mount := find_mount("/proc/self/mounts")) is not None:
        return Path(mount)
    raise LabError("no cgroup v2 is mounted: mount -t cgroup2 none /sys/fs/cgroup")


def own() -> Path:
    """The directory of the calling process."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            return mount_point() / line[3:].lstrip("/")
    raise LabError("this process is in no cgroup v2")


def base() -> Path:
    """The group of all labs: at the top for root, else below the calling process' own group, if that was delegated to
    it. Raises LabError where no directory can be made."""
    candidates = [mount_point() / "hactl-lab"] if os.geteuid() == 0 else []
    candidates.append(own() / "hactl-lab")
    for candidate in candidates:
        try:
            candidate.mkdir(exist_ok=True)
        except OSError:
            continue
        if not os.access(candidate, os.W_OK):  # root's, seen from a user namespace
            continue
        if (candidate / "cgroup.kill").exists():
            return candidate
        raise LabError("this kernel's cgroups have no cgroup.kill: Linux 5.14 or newer is needed")
    raise LabError(
        f"cannot make a cgroup: {candidates[-1]} is not writable. Run as root, or with a group of your own: "
        "systemd-run --user --scope -p Delegate=yes hactl lab up"
    )
