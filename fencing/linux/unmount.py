"""Unmounting a file system for certain: from every mount namespace, with all that is mounted below it and all processes
that use it, until it is *seen* that nothing of this machine has it in use.

A block device counts as released when it can be opened exclusively (open(2), O_EXCL): the kernel refuses that while a
file system on it is alive, also one that was unmounted lazily and has open files. A lazy unmount is therefore never
used for a block device. For a network file system whose server is gone it is the last resort.

In a hurry (`Way.hurry`) a file system that does not write its data back at once is shut down (`FS_IOC_SHUTDOWN`), as by
a power cut: what was written and not synced is lost, and nothing more is written. ext4, xfs and f2fs can.

Everything here waits: call it on a thread. Sources: umount(2), setns(2), open(2), the kernel's fs/ext4/ioctl.c.
For the guard, too: standard library only, without pathlib.
"""

# ruff: noqa: PTH115, PTH123, PTH208

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import signal
import struct
import threading
import time
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from fencing.linux import mount_users, mounts
from fencing.linux.mounts import Mount

_LIBC = ctypes.CDLL(None, use_errno=True)
_FORCE, _DETACH, _NOFOLLOW = 1, 2, 8
_CLONE_NEWNS, _CLONE_FS = 0x20000, 0x200
# _IOR('X', 125, __u32), and its argument: without writing the journal first.
_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2
_LOOP_CLEAR = 0x4C01
# A device that is not there holds no file system.
_ABSENT = (errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.ENOMEDIUM)

_LOOK_S, _LONGEST_LOOK_S = 0.01, 0.1
# In a hurry: how long the data may take to be written back.
_SYNC_S = 0.1
# How long a call for a network file system may take before its server counts as gone.
_SERVER_S = 3.0
_SERVER_HURRY_S = 0.1
# A process that starts others all the time has many to be told of.
_MOST_NOTES = 12


class Target(NamedTuple):
    """What is to be unmounted. `device`: the path of the block device, "" for a network file system; `source`: as it
    was mounted; `directory`: its mount point."""

    directory: str
    source: str
    device: str = ""

    @property
    def is_block(self) -> bool:
        """Whether it is on a block device, and not on another machine."""
        return bool(self.device)


class Way(NamedTuple):
    """How it is done. `within_s`: how long it may take; `term_s`: how long processes that use it have between SIGTERM
    and SIGKILL (0: SIGKILL at once); `hurry`: rather lose what was not synced than wait; `spare`: processes that are
    never killed; `given_up`: whether nobody waits for it any more."""

    within_s: float
    term_s: float = 0.0
    hurry: bool = False
    spare: Collection[int] = ()
    given_up: Callable[[], bool] = lambda: False


class Outcome(NamedTuple):
    """`problem`: why it is not known to be unmounted, "" when it was seen; `notes`: what had to be done to others."""

    problem: str
    notes: tuple[str, ...] = ()


def unmount(target: Target, way: Way) -> Outcome:
    """Unmount it, and see that nothing here uses it. One that is not mounted is only looked at."""
    return _Unmounting(target, way).run()


def in_use(target: Target) -> str:
    """What has the block device in use, in words; "": nothing. Opens it: not for a device that another call is just
    mounting or checking."""
    try:
        os.close(os.open(target.device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        if error.errno in _ABSENT:
            return ""
        number = mounts.block_number(target.device)
        return _holders(target.device, number) if error.errno == errno.EBUSY else f"{target.device}: {error.strerror}"
    return ""


def mounts_of(seen: Collection[Mount], target: Target, devices: Collection[str] = ()) -> list[Mount]:
    """The mounts of the target's file system among those of a namespace: of a block device all, of a network file
    system that on the mount point. `devices`: its numbers, where it is known by another namespace's mounts."""
    there = mounts.top(seen, target.directory)
    same = there is not None and there.source.rstrip("/") == target.source.rstrip("/")
    if not target.is_block:
        return [there] if there is not None and (there.device in devices if devices else same) else []
    number = mounts.block_number(target.device)
    if not number and there is not None and (same or not there.device.startswith("0:")):
        number = there.device  # the device is gone, or its link is: what is on the mount point tells
    return [mount for mount in seen if mounts.is_of(mount, number) or mount.device in devices]


class _Unmounting:
    def __init__(self, target: Target, way: Way) -> None:
        self._target, self._way = target, way
        self._until = time.monotonic() + way.within_s
        self._kill_at = time.monotonic() + way.term_s
        self._devices: set[str] = set()
        self._notes: list[str] = []
        self._noted: dict[int, signal.Signals] = {}
        self._flushed = False
        self._lazily = False

    def run(self) -> Outcome:
        pause_s = _LOOK_S
        while True:
            problem = self._attempt()
            if not problem or time.monotonic() >= self._until or self._way.given_up():
                return Outcome(problem, tuple(self._notes))
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_LOOK_S)

    def _attempt(self) -> str:
        """Everything once; the problem, "" when it is seen to be unmounted."""
        problem = self._own()
        if self._way.given_up():
            return "given up"
        for pid, namespace in mounts.namespaces():
            problem = self._elsewhere(pid, namespace) or problem
        if problem:
            self._end_users(deep=False)
            return problem
        if not self._target.is_block or not (problem := in_use(self._target._replace(device=self._device))):
            return ""
        self._end_users(deep=True)
        self._end(mount_users.writers(mounts.block_number(self._device)))
        return problem

    @property
    def _device(self) -> str:
        """Its path; where that is gone, by the number that its mounts had."""
        if not mounts.block_number(self._target.device):
            names = [name for number in self._devices if (name := mounts.device_name(number))]
            return f"/dev/{names[0]}" if names else self._target.device
        return self._target.device

    def _own(self) -> str:
        seen = mounts.read()
        ours = mounts_of(seen, self._target)
        if not ours:
            return ""
        self._devices |= {mount.device for mount in ours}
        self._let_go_below(ours)
        for mount in mounts.with_children(seen, ours):
            if mount in ours and self._way.hurry and self._target.is_block:
                self._flush(mount)
            if problem := self._unmount(mount, mount in ours):
                return problem
        return "there is another mount of it" if mounts_of(mounts.read(), self._target) else ""

    def _elsewhere(self, pid: int, namespace: str) -> str:
        """In another mount namespace, which a container or a unit has: mounts that did not go with ours."""
        try:
            seen = mounts.read(pid)
            ours = self._ours(seen)
        except OSError:
            return ""
        if not ours:
            return ""
        with _inside(pid) as inside:
            if not inside:
                return f"cannot enter the mount namespace of process {pid}"
            for mount in mounts.with_children(seen, ours):
                if problem := self._unmount(mount, mount in ours):
                    return f"in the mount namespace of process {pid} ({namespace}): {problem}"
        self._notes.append(f"was mounted in the mount namespace of process {pid}, too")
        return ""

    def _ours(self, seen: list[Mount]) -> list[Mount]:
        """Its mounts in another namespace: known by the number of ours, since a container may have the same directory
        of a server on its own."""
        if not self._target.is_block and not self._devices:
            return []
        return mounts_of(seen, self._target, self._devices)

    def _unmount(self, mount: Mount, is_ours: bool) -> str:
        """One mount; the problem, or ""."""
        if (is_ours and self._target.is_block) or not mount.device.startswith("0:"):
            return _umount(mount.point, _NOFOLLOW)
        patience = _SERVER_HURRY_S if self._way.hurry else _SERVER_S
        problem = _bounded(lambda: _umount(mount.point, _NOFOLLOW), patience)
        if not problem or (problem.endswith("is busy") and time.monotonic() < self._kill_at + patience):
            return problem
        problem = _bounded(lambda: _umount(mount.point, _NOFOLLOW | _FORCE), patience)
        if not problem:
            self._notes.append(f"{mount.point} was unmounted by force: its server did not answer")
            return ""
        problem = _bounded(lambda: _umount(mount.point, _NOFOLLOW | _FORCE | _DETACH), patience)
        if not problem:
            self._notes.append(
                f"{mount.point} was unmounted lazily: no program finds it any more, but processes that hang in a file "
                "of it hold that until its server answers"
            )
        return problem

    def _flush(self, mount: Mount) -> None:
        """In a hurry: have its data written within a short time, else have nothing more be written."""
        if self._flushed:
            return
        try:
            directory = os.open(mount.point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            self._end_users(deep=False)
            if _bounded(lambda: _sync(directory), _SYNC_S):
                with contextlib.suppress(OSError):
                    fcntl.ioctl(directory, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
                    self._notes.append(f"{mount.point} was cut off: what was not synced is lost")
            self._flushed = True
        finally:
            os.close(directory)

    def _let_go_below(self, ours: list[Mount]) -> None:
        """Swap files and loop devices on it hold it as a mount does."""
        points = [mount.point.rstrip("/") for mount in ours]

        def is_on_it(path: str) -> bool:
            return any(path.startswith(f"{point}/") for point in points)

        for path in filter(is_on_it, _swap_files()):
            if _LIBC.swapoff(os.fsencode(path)) == 0:
                self._notes.append(f"the swap file {path} is no longer used")
        for device, path in _loop_devices():
            if not is_on_it(path):
                continue
            number = mounts.block_number(device)
            seen = mounts.read()
            loops = [mount for mount in seen if mounts.is_of(mount, number)]
            for mount in mounts.with_children(seen, loops):
                _umount(mount.point, _NOFOLLOW)
            with contextlib.suppress(OSError):
                descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    fcntl.ioctl(descriptor, _LOOP_CLEAR)
                finally:
                    os.close(descriptor)
                self._notes.append(f"the loop device {device} let go of {path}")

    def _end_users(self, *, deep: bool) -> None:
        self._end(mount_users.users(self._sought(), deep=deep and self._target.is_block))

    def _end(self, users: list[mount_users.User]) -> None:
        number = signal.SIGTERM if time.monotonic() < self._kill_at else signal.SIGKILL
        for user in users:
            if user.pid in self._way.spare or user.pid in (1, os.getpid()) or self._way.given_up():
                continue
            if self._noted.get(user.pid) == signal.SIGTERM == number:
                continue  # once: some take a second one for more than the first
            if self._noted.get(user.pid) != number:
                self._noted[user.pid] = number
                self._note(f"was used by {user}, which was sent {number.name}")
            with contextlib.suppress(ProcessLookupError):
                os.kill(user.pid, number)

    def _note(self, text: str) -> None:
        if len(self._notes) < _MOST_NOTES:
            self._notes.append(text)

    def _sought(self) -> mount_users.Sought:
        points: dict[str, list[str]] = {}
        numbers: set[int] = set()
        seen = mounts.read()
        places = [(os.readlink("/proc/self/ns/mnt"), seen, mounts_of(seen, self._target))]
        for pid, namespace in mounts.namespaces():
            with contextlib.suppress(OSError):
                seen = mounts.read(pid)
                places.append((namespace, seen, self._ours(seen)))
        for namespace, seen, ours in places:
            held = mounts.with_children(seen, ours)
            points[namespace] = [mount.point for mount in held]
            numbers |= {mount.number for mount in held}
        number = mounts.block_number(self._device) if self._target.is_block else ""
        return mount_users.Sought(number or "0:0", numbers, points)


def _umount(point: str, flags: int) -> str:
    """The problem, or ""; one that is not mounted is none."""
    if _LIBC.umount2(os.fsencode(point), flags) == 0:
        return ""
    number = ctypes.get_errno()
    if number == errno.EINVAL:  # no mount point (any more)
        return ""
    return f"{point} is busy" if number == errno.EBUSY else f"{point}: umount: {os.strerror(number)}"


def _sync(directory: int) -> str:
    return "" if _LIBC.syncfs(directory) == 0 else os.strerror(ctypes.get_errno())


def _bounded(call: Callable[[], str], seconds: float) -> str:
    """The result of a call that may hang, which then goes on by itself."""
    results: list[str] = []
    thread = threading.Thread(target=lambda: results.append(call()), name="unmount", daemon=True)
    thread.start()
    thread.join(seconds)
    return results[0] if results else f"no answer within {seconds:g} s"


@contextlib.contextmanager
def _inside(pid: int) -> Iterator[bool]:
    """This thread is in another process's mount namespace; False: it cannot be."""
    own = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        other = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        os.close(own)
        yield False
        return
    try:
        entered = _LIBC.unshare(_CLONE_FS) == 0 and _LIBC.setns(other, _CLONE_NEWNS) == 0
        try:
            yield entered
        finally:
            if entered and _LIBC.setns(own, _CLONE_NEWNS) != 0:
                raise OSError(ctypes.get_errno(), "cannot leave a mount namespace")
    finally:
        os.close(own)
        os.close(other)


def _holders(device: str, number: str) -> str:
    """Who has a block device that cannot be opened exclusively."""
    found: list[str] = []
    for pid, mount in _everywhere(number):
        where = f" in the mount namespace of process {pid}" if pid else ""
        found.append(f"it is mounted on {mount.point}{where}")
    with contextlib.suppress(OSError):
        found += [f"{name} is built on it" for name in os.listdir(f"/sys/dev/block/{number}/holders")]
    found += [f"{path} is swap" for path in _swap_files() if mounts.block_number(path) == number]
    found += [f"{user} has it open" for user in mount_users.writers(number)]
    why = "; ".join(found[:5]) or (
        "neither a mount nor a process is seen to have it: files of a lazy unmount (`umount -l`) may still be open, "
        "an NFS server may export it (`exportfs -v`)"
    )
    return f"{device} is in use on this node: {why}"


def _everywhere(number: str) -> Iterator[tuple[int, Mount]]:
    for pid in (0, *(pid for pid, _ in mounts.namespaces())):
        with contextlib.suppress(OSError):
            for mount in mounts.read(pid or "self"):
                if mounts.is_of(mount, number):
                    yield pid, mount


def _swap_files() -> list[str]:
    try:
        with open("/proc/swaps", "rb") as file:
            lines = os.fsdecode(file.read()).splitlines()[1:]
    except OSError:
        return []
    return [mounts.plain(line.split()[0]) for line in lines if line.strip()]


def _loop_devices() -> Iterator[tuple[str, str]]:
    """Each that is in use, and its file."""
    try:
        names = [name for name in os.listdir("/sys/block") if name.startswith("loop")]
    except OSError:
        return
    for name in names:
        with contextlib.suppress(OSError), open(f"/sys/block/{name}/loop/backing_file", "rb") as file:
            yield f"/dev/{name}", os.fsdecode(file.read()).rstrip("\n")
