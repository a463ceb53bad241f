"""The guard's requests to the kernel: a timer that runs through suspends, locked memory, priority.

Through ctypes where Python 3.11 has no call for it. Sources: timerfd_create(2), mlockall(2), sched(7).
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import resource
import time

from election.clock import Instant, remaining

_LIBC = ctypes.CDLL(None, use_errno=True)
_TFD_NONBLOCK, _TFD_CLOEXEC, _TFD_TIMER_ABSTIME = 0o4000, 0o2000000, 1
_MCL_CURRENT, _MCL_FUTURE = 1, 2
_M_ARENA_MAX = -8
# Above ordinary real-time work, which is mostly at 1; below the kernel's interrupt threads at 50.
REALTIME_PRIORITY = 10
_RB_AUTOBOOT = 0x01234567
_CAP_SYS_BOOT = 22
_RESERVE_BYTES = 4 << 20
_PROBE_BYTES = 64 << 20


class _TimerSpec(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("interval_s", "interval_ns", "value_s", "value_ns")]


class Timer:
    """A timerfd on CLOCK_BOOTTIME: readable when it is time to look at the clocks."""

    def __init__(self) -> None:
        self.fd = _LIBC.timerfd_create(time.CLOCK_BOOTTIME, _TFD_NONBLOCK | _TFD_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")

    def arm(self, deadline: Instant | None, at: Instant) -> None:
        """Wake at `deadline`, on the earlier of both clocks; None: not at all. `at` is now.

        The timer follows one clock only, so it wakes 2 % early and is armed again: a RAW clock that runs
        faster costs no more than 2 % of what is then left.
        """
        when = 0.0
        if deadline is not None:
            left = remaining(deadline, at)
            when = max(1.0, at.boot + (left * 0.98 if left > 5.0 else left))
        seconds, milliseconds = divmod(when, 1000.0)
        spec = _TimerSpec(0, 0, int(seconds), int(milliseconds * 1e6))
        if _LIBC.timerfd_settime(self.fd, _TFD_TIMER_ABSTIME, ctypes.byref(spec), None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def drain(self) -> None:
        """Make the timer unreadable until it expires again."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 8)


def lock_memory() -> str:
    """Keep every page of this process, present and to come, in memory: at the deadline the disk may
    have failed. Not MCL_ONFAULT: code that only the deadline runs has never been touched before. Returns the
    problem, or "". Before any thread is started: it also bounds what threads map."""
    _LIBC.mallopt(_M_ARENA_MAX, 1)
    with contextlib.suppress(ValueError, OSError):  # CAP_IPC_LOCK does without; the probe below finds out
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    if _LIBC.mlockall(_MCL_CURRENT | _MCL_FUTURE) != 0:
        return f"memory is not locked: {os.strerror(ctypes.get_errno())}"
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if limit != resource.RLIM_INFINITY:
        # Under a limit that binds, every later mmap would fail: worse than memory that is not locked.
        try:
            mmap.mmap(-1, min(limit, _PROBE_BYTES) + mmap.PAGESIZE).close()
        except OSError:
            _LIBC.munlockall()
            return f"memory is not locked: RLIMIT_MEMLOCK is {limit} bytes and CAP_IPC_LOCK is missing"
    return ""


def reserve_memory() -> list[bytes]:
    """Room for the stops' allocations, taken now: Python gives an arena back only when it is empty, so
    one small object kept in each keeps the rest of it at hand. Keep the returned list."""
    blocks = [bytes(480) for _ in range(_RESERVE_BYTES // 512)]
    return blocks[::512]


def raise_priority() -> str:
    """Run before ordinary processes: a hog must not delay the deadline. The commands of stop steps inherit it,
    as they must not be delayed either. Returns the problem, or ""."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(REALTIME_PRIORITY))
        return ""
    except OSError as error:
        problem = f"no real-time priority: {error.strerror}"
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    except OSError as error:
        problem += f"; no raised priority: {error.strerror}"
    return problem


def refuse_oom() -> str:
    """Never be chosen by the kernel when memory runs out. Returns the problem, or ""."""
    try:
        write_file("/proc/self/oom_score_adj", b"-1000")
    except OSError as error:
        return f"the kernel may kill the guard when memory runs out: {error.strerror}"
    return ""


def write_file(path: str, content: bytes) -> None:
    """One write(2) to a file of the kernel's, its error raised."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)


def read_file(path: str) -> str:
    """A file of the kernel's, whole: it may come a page at a time."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(descriptor, 1 << 16):
            parts.append(part)
        return b"".join(parts).decode("utf-8", "replace")
    finally:
        os.close(descriptor)


def may_reboot() -> str:
    """Whether `reboot` may work, as far as can be told without doing it: "" or the obstacle. In most
    containers it may not. Source: capabilities(7)."""
    held = int(read_file("/proc/self/status").partition("CapEff:")[2].split()[0], 16)
    return "" if held >> _CAP_SYS_BOOT & 1 else "this node cannot fence itself by a reboot: CAP_SYS_BOOT is missing"


def reboot() -> str:
    """Restart this machine at once, without syncing or stopping anything; returns only where that failed. In a
    container with a pid namespace of its own, and SysRq out of its reach, the container.
    Source: the kernel's documentation of SysRq (`b`), reboot(2)."""
    problem = ""
    try:
        write_file("/proc/sysrq-trigger", b"b")
    except OSError as error:
        problem = f"sysrq: {error.strerror}; "
    _LIBC.reboot(_RB_AUTOBOOT)
    return f"{problem}reboot: {os.strerror(ctypes.get_errno())}"
