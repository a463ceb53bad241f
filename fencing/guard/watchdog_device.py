"""A watchdog device of Linux': set, read back, fed, closed.

Source: the kernel's documentation, *The Linux Watchdog driver API*, and <linux/watchdog.h>.
"""

# pathlib, and its imports, would stay locked in memory for a few calls.
# ruff: noqa: PTH119

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Callable
from typing import NamedTuple, Protocol

from election.clock import Instant, remaining
from fencing.guard import watchdog_state
from fencing.guard.sys import read_file
from fencing.guard.watchdog_state import WatchdogState

_GETSUPPORT = 0x80285700
_KEEPALIVE = 0x80045705
_SETTIMEOUT = 0xC0045706
_GETTIMEOUT = 0x80045707
_INFO = struct.Struct("=II32s")
_INT = struct.Struct("=i")
_CAN_SET_TIMEOUT, _CAN_MAGIC_CLOSE = 0x0080, 0x0100
# A device that is slow to take a timeout has outlived it: once more, with the time that is then left.
_TRIES = 3


class RefusedError(Exception):
    """The device cannot do what the rule asks for, now or later. The text says what."""


class Driver(Protocol):
    """The operations of a watchdog. All but `identity` raise OSError."""

    @property
    def identity(self) -> str:
        """The driver's name for it."""

    def set_timeout(self, timeout_s: int) -> int:
        """Set the timeout; returns the one that the device accepted. Most drivers feed it by that, too."""

    def keep_alive(self) -> None:
        """Feed it: the timeout begins anew."""

    def close(self) -> str:
        """Switch it off, and leave it. Returns the obstacle, or ""."""


class Device:
    """A device opened, which feeds it and starts it where it does not run. Raises OSError, RefusedError."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            options, _, name = _INFO.unpack(fcntl.ioctl(self._fd, _GETSUPPORT, bytes(_INFO.size)))
        except OSError:  # no watchdog: nothing must be written to it
            os.close(self._fd)
            raise
        self.identity = name.partition(b"\0")[0].decode("ascii", "replace")
        self._magic_close = bool(options & _CAN_MAGIC_CLOSE)
        if not options & _CAN_SET_TIMEOUT:
            self.close()
            raise RefusedError(f"{self.identity}: its timeout cannot be set")

    def set_timeout(self, timeout_s: int) -> int:
        """As in Driver."""
        fcntl.ioctl(self._fd, _SETTIMEOUT, _INT.pack(timeout_s))
        (timeout,) = _INT.unpack(fcntl.ioctl(self._fd, _GETTIMEOUT, bytes(_INT.size)))
        return int(timeout)

    def keep_alive(self) -> None:
        """As in Driver."""
        fcntl.ioctl(self._fd, _KEEPALIVE, _INT.pack(0))

    def close(self) -> str:
        """As in Driver."""
        problem = "" if self._magic_close else "the driver has no magic close: it may go on running"
        if self.nowayout():
            problem = "the driver was loaded with nowayout: it goes on running"
        try:
            os.write(self._fd, b"V")
        finally:
            os.close(self._fd)
        return problem

    def nowayout(self) -> bool:
        """Whether the driver refuses to be switched off; false where it cannot be told."""
        name = os.path.basename(os.path.realpath(self._path))
        number = "watchdog0" if name == "watchdog" else name
        try:
            return read_file(f"/sys/class/watchdog/{number}/nowayout").strip() == "1"
        except OSError:
            return False


class Fed(NamedTuple):
    """It was fed: with which timeout, so much less than was asked for, what the calls took, when, and by when it resets
    the machine at the latest."""

    timeout_s: int
    short_s: int
    took_ms: float
    at: Instant
    ends: Instant


def feed_free(driver: Driver, timeout_s: int, clock: Callable[[], Instant]) -> Fed:
    """Feed it with `timeout_s`, or with the timeout that the device makes of that. Raises OSError."""
    began = clock()
    accepted_s = _set(driver, timeout_s)
    driver.keep_alive()
    at = clock()
    return Fed(accepted_s, 0, remaining(at, began), at, watchdog_state.ends(accepted_s, at))


def feed_bound(driver: Driver, valid_until: Instant, took_ms: float, clock: Callable[[], Instant]) -> Fed | None:
    """Feed it so that it resets the machine before `valid_until`, where the calls take `took_ms` as they did last time;
    None: less than a second is left, and it was left alone. Raises RefusedError when the device has no such timeout,
    OSError."""
    shorter = 0
    for _ in range(_TRIES):
        began = clock()
        wanted = watchdog_state.bound_timeout_s(valid_until, began.plus(took_ms)) - shorter
        if wanted < 1:
            return None
        accepted_s = _set(driver, wanted)
        if accepted_s < 1 or remaining(valid_until, clock()) < accepted_s * watchdog_state.SECOND_MS:
            if shorter or accepted_s < 1:
                raise RefusedError(f"{driver.identity} makes {accepted_s} s of a timeout of {wanted} s")
            shorter = int(accepted_s > wanted)
            took_ms = max(took_ms, 2 * remaining(clock(), began))
            continue
        driver.keep_alive()
        at = clock()
        took_ms = max(took_ms, remaining(at, began))
        if remaining(valid_until, watchdog_state.ends(accepted_s, at)) >= 0:
            return Fed(
                accepted_s, max(0, wanted - accepted_s), remaining(at, began), at, watchdog_state.ends(accepted_s, at)
            )
    raise OSError(errno.ETIMEDOUT, f"{driver.identity} is too slow to be fed")


def feed(
    driver: Driver, state: WatchdogState, valid_until: Instant | None, bound: bool, clock: Callable[[], Instant]
) -> None:
    """Feed it by the rule while something is registered (`bound`), else freely, having seen once that it could be
    by the rule; the outcome is in `state`."""
    state.tried = clock()
    try:
        refused = (bound or not state.armed) and not _by_the_rule(driver, state, valid_until, clock)
        # Where something is registered and the device fails, it is left to reset the machine. Where it has no such
        # timeout it is not: it never could, and a new lease must not reset every node that has such a one.
        if refused or not bound:
            watchdog_state.took(state, *feed_free(driver, watchdog_state.FREE_S, clock))
    except (OSError, RefusedError) as error:
        watchdog_state.disarm(state, valid_until, problem_of(error))


def _by_the_rule(
    driver: Driver, state: WatchdogState, valid_until: Instant | None, clock: Callable[[], Instant]
) -> bool:
    """False: the device has no such timeout, and so cannot keep the rule. Where it has kept it so far, with a longer
    one, it goes on keeping it."""
    if valid_until is None:
        return True
    try:
        fed = feed_bound(driver, valid_until, state.took_ms, clock)
    except RefusedError as error:
        if watchdog_state.keeps(state, valid_until):
            return True
        watchdog_state.disarm(state, valid_until, problem_of(error))
        return False
    if fed is not None:
        watchdog_state.took(state, *fed)
        watchdog_state.arm(state)
    return True


def problem_of(error: OSError | RefusedError) -> str:
    """The problem in words."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _set(driver: Driver, timeout_s: int) -> int:
    try:
        return driver.set_timeout(timeout_s)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EOPNOTSUPP):
            raise RefusedError(f"{driver.identity} has no timeout of {timeout_s} s") from None
        raise
