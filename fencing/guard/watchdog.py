"""The guard's watchdog: opened when a session begins, fed from a thread of its own, closed when the guard ends.

Its timeout is decided in watchdog_state, and set in watchdog_device. A device that is slow to answer (IPMI's asks the
board's controller) does not hold up the guard; one that does not answer is not fed, and resets the machine.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from election.clock import Instant, remaining
from fencing.guard import watchdog_state
from fencing.guard.jobs import Post, Worker
from fencing.guard.state import GuardState
from fencing.guard.watchdog_device import Device, Driver, RefusedError, feed, feed_free, problem_of
from fencing.guard.watchdog_state import Use, WatchdogState
from fencing.linux.clock import now

# How long a register waits for the device, and the guard with it: nothing is registered then that has a deadline.
_ADMIT_S = 0.5
_CLOSE_S = 1.0

Log = Callable[..., None]
OpenDevice = Callable[[str], Driver]


class Watchdog:
    """The interface for the guard's main loop; as it is here: `off`, nothing is fed, and nothing refused."""

    def look(self, guard: GuardState, at: Instant) -> Instant | None:
        """Have it fed if it is time to. Returns when to look again (None: no need)."""
        return None

    def admit(self, guard: GuardState, at: Instant) -> str:
        """Before something is registered. Returns why it may not be, or ""."""
        return ""

    def status(self, at: Instant) -> dict[str, Any] | None:
        """Its state, for the status document; None: there is none."""
        return None

    def trigger_reset(self) -> str:
        """Have it reset this machine as soon as it can. Returns the problem, or ""."""
        return ""

    def close(self) -> None:
        """The guard ends, and nothing exclusive is here."""


MakeWatchdog = Callable[[Post, Log], Watchdog]


class FedWatchdog(Watchdog):
    """`use` and `required`. The state is changed by the thread, under the lock, which it holds while it talks to the
    device."""

    def __init__(self, use: Use, path: str, post: Post, log: Log, open_device: OpenDevice = Device) -> None:
        self._use, self._path, self._post, self._log, self._open = use, path, post, log, open_device
        self._driver: Driver | None = None
        self._state = WatchdogState()
        # The rule and the deadline for the thread.
        self._bound = False
        self._valid_until: Instant | None = None
        self._requested = 0
        self._done = threading.Condition()
        self._lock = threading.Lock()
        self._resetting = False
        self._worker = Worker("watchdog", self._act)

    # -- in the main loop

    def look(self, guard: GuardState, at: Instant) -> Instant | None:
        """As in Watchdog."""
        if self._requested or self._resetting:
            return None  # the thread wakes the loop when it is done
        at_next = watchdog_state.next_look(guard, self._state, at)
        if at_next is None or remaining(at_next, at) > 0:
            return at_next
        self._ask(guard, bound=bool(guard.exclusive))
        return None

    def admit(self, guard: GuardState, at: Instant) -> str:
        """As in Watchdog."""
        state = self._state
        if not guard.exclusive and (state.armed or self._use == "required" or self._requested):
            self._ask(guard, bound=True)
            with self._done:
                if not self._done.wait_for(lambda: not self._requested, _ADMIT_S):
                    return f"the watchdog did not answer within {_ADMIT_S:g} s"
        if state.armed and guard.valid_until and not watchdog_state.keeps(state, guard.valid_until):
            return "the watchdog does not end before the lease"
        return watchdog_state.refusal(self._use, state, at)

    def status(self, at: Instant) -> dict[str, Any] | None:
        """As in Watchdog."""
        identity = self._driver.identity if self._driver else ""
        facts = {"device": self._path, "use": self._use, "identity": identity}
        return facts | watchdog_state.document(self._state, at)

    def _ask(self, guard: GuardState, *, bound: bool) -> None:
        with self._done:
            self._bound, self._valid_until = bound, guard.valid_until
            self._requested += 1
        self._worker.wake()

    def close(self) -> None:
        """As in Watchdog."""
        if self._driver is None or not self._lock.acquire(timeout=_CLOSE_S):
            return
        try:
            problem = self._driver.close()
        except OSError as error:
            problem = str(error)
        self._log("watchdog_closed", device=self._path, problem=problem)

    # -- in threads

    def trigger_reset(self) -> str:
        """As in Watchdog."""
        with self._lock:
            self._resetting = True
            if self._driver is None:
                return "it is not open"
            resets_at = self._state.ends
            if resets_at is None or remaining(resets_at, watchdog_state.ends(1, now())) > 0:
                watchdog_state.took(self._state, *feed_free(self._driver, 1, now))
        return ""

    def _act(self) -> None:
        was = self._state.armed, self._state.problem
        with self._lock:
            if not self._resetting:
                self._feed()
        if was != (self._state.armed, self._state.problem):
            self._log("watchdog", **(self.status(now()) or {}))
        with self._done:
            self._requested -= 1
            self._done.notify_all()
        self._post(lambda: None)

    def _feed(self) -> None:
        try:
            if self._driver is None:
                self._driver = self._open(self._path)
        except (OSError, RefusedError) as error:
            self._state.tried = now()
            watchdog_state.disarm(self._state, self._valid_until, problem_of(error))
            return
        feed(self._driver, self._state, self._valid_until, self._bound, now)
