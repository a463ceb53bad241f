"""The guard's socket, and that there is one guard on a node whatever happens to files.

The socket and the lock beside it are files in a directory that a cleaning job may empty. So a guard checks that they
are still its own, and makes them again; and a guard that starts looks among the processes, too: a living guard holds a
deadline, whether it can be reached just then or not.
"""

# pathlib, and its imports, would stay locked in memory for a few calls.
# ruff: noqa: PTH101, PTH103, PTH108, PTH115, PTH116, PTH120, PTH208

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import time
from collections.abc import Sequence

from fencing.guard.log import Journal
from fencing.guard.proc import read_stat
from fencing.guard.sys import read_file
from fencing.guard.wire import OTHER_GUARD

# How often it looks whether it can be reached. One that cannot for so long, and has nothing to hold, ends.
LOOK_S, UNREACHABLE_S = 1.0, 10.0


class OtherGuardError(Exception):
    """Another guard of this node lives."""


class GuardSocket:
    """The socket at `path`, for this user only, and its lock. Raises OtherGuardError, OSError."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._look_at_s, self._problem = 0.0, ""
        self._unreachable_since: float | None = None
        self._lock: int | None = None
        self._make()

    def fileno(self) -> int:
        """The descriptor that is readable when a peer connects."""
        return self.listener.fileno()

    def keep(self, epoll: select.epoll, journal: Journal) -> bool:
        """Look now and then whether the files are there, and make them again; connections that are open stay. False:
        nobody has been able to connect for UNREACHABLE_S."""
        now_s = time.monotonic()
        if now_s < self._look_at_s:
            return True
        self._look_at_s = now_s + LOOK_S
        if self._still_there():
            return True
        problem = self._make_again(epoll)
        if problem != self._problem or not problem:
            self._problem = problem
            journal.event("socket_made_again", path=self.path, problem=problem)
        self._unreachable_since = self._unreachable_since or now_s if problem else None
        return self._unreachable_since is None or now_s - self._unreachable_since < UNREACHABLE_S

    def _still_there(self) -> bool:
        """Whether a connection to the path comes to this guard."""
        assert self._lock is not None
        return self._file == _file(self.path) and _file(self._lock) == _file(f"{self.path}.lock")

    def _make_again(self, epoll: select.epoll) -> str:
        old = self.listener
        try:
            self._make()
            epoll.register(self.fileno(), select.EPOLLIN)  # the old one leaves when it is closed
        except (OtherGuardError, OSError) as error:
            return str(error)
        old.close()
        return ""

    def remove(self) -> None:
        """Leave nothing at the path that is this guard's."""
        if self._still_there():
            with contextlib.suppress(OSError):
                os.unlink(self.path)

    def _make(self) -> None:
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        if self._lock is None or _file(self._lock) != _file(f"{self.path}.lock"):
            lock = _locked(f"{self.path}.lock")
            if self._lock is not None:
                os.close(self._lock)
            self._lock = lock
        self.listener = _listen(self.path)
        self._file = _file(self.path)


def find_other(path: str, state_dir: str | None, cgroups: Sequence[str]) -> tuple[int, str] | None:
    """Another process that is a guard of this node, and its socket: one with this socket, or with this state_dir, since
    the daemon's run_dir was another one before. Of this mount namespace, or in one of these cgroups."""
    mine = {os.getpid(), os.getppid()}  # its parent, when it detaches itself, ends in this moment
    members = {int(pid) for cgroup in cgroups for pid in _read(f"{cgroup}/cgroup.procs").split()}
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in mine:
            continue
        pid = int(name)
        at = _guards_socket(pid, path, state_dir)
        if at and (pid in members or _mounts(pid) == _mounts(os.getpid())):
            stat = read_stat(pid)
            if stat is not None and not stat.dead:
                return pid, at
    return None


def _guards_socket(pid: int, path: str, state_dir: str | None) -> str:
    """The socket of a guard of this node; "": it is none. By its command line and its user: others may give their
    programs any name."""
    words = _read(f"/proc/{pid}/cmdline").split("\0")
    if not any("fencing.guard" in word or "hactl-guard" in word for word in words):
        return ""
    try:
        mine = os.stat(f"/proc/{pid}").st_uid in (0, os.geteuid())
    except OSError:
        return ""
    at = _given(words, "--socket")
    return at if mine and (at == path or (state_dir and _given(words, "--state-dir") == state_dir)) else ""


def _given(words: Sequence[str], option: str) -> str:
    return words[words.index(option) + 1] if option in words[:-1] else ""


def _mounts(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")
    except OSError:
        return f"those of process {pid}"


def _locked(path: str) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise OtherGuardError(f"{OTHER_GUARD}: it holds {path}") from None
        raise
    return descriptor


def _listen(path: str) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # of a guard that was killed: the lock says that none has it now
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        listener.bind(path)
        os.chmod(path, 0o600)
        listener.listen(16)
    except BaseException:
        listener.close()
        raise
    return listener


def _file(path: str | int) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _read(path: str) -> str:
    try:
        return read_file(path)
    except OSError:
        return ""
