"""A watchdog that behaves like one: it counts, by a clock of its own rate, and resets when it was not fed."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path

from election.clock import Instant
from fencing.linux.clock import now


class FakeWatchdog:
    """Driver and device. `rate`: how long its second is; `before_call`: called before each call; `makes`: the timeout
    that it sets when it is asked for one; `fails`: it answers with an error."""

    identity = "fake"

    def __init__(self, clock: Callable[[], Instant], rate: float = 1.0) -> None:
        self.clock, self.rate = clock, rate
        self.shortest, self.longest = 1, 600
        self.makes: Callable[[int], int] = lambda wanted: wanted
        self.before_call: Callable[[], None] = lambda: None
        self.fails = False
        self.nowayout = False
        self.timeout_s = 60
        self.running = True
        self.fed: list[tuple[float, int]] = []
        self._bites = float("inf")
        self._bitten: float | None = None
        self.keep_alive()

    @property
    def bitten(self) -> float | None:
        """When it reset the machine, on the boot clock; None: it has not."""
        if self._bitten is None and self.running and self.clock().boot >= self._bites:
            self._bitten = self._bites
        return self._bitten

    def set_timeout(self, timeout_s: int) -> int:
        self._call()
        granted_s = self.makes(timeout_s)
        if not self.shortest <= granted_s <= self.longest:
            raise OSError(errno.EINVAL, "Invalid argument")
        self.timeout_s = granted_s
        self._feed()
        return granted_s

    def keep_alive(self) -> None:
        self._call()
        self._feed()

    def close(self) -> str:
        self._call()
        self.running = self.nowayout
        return "nowayout" if self.nowayout else ""

    def _call(self) -> None:
        self.before_call()
        if self.fails:
            raise OSError(errno.EIO, "Input/output error")

    def _feed(self) -> None:
        if self.bitten is None:
            self._bites = self.clock().boot + self.timeout_s * 1000 * self.rate
            self.fed.append((self.clock().boot, self.timeout_s))


class WatchdogInFile(FakeWatchdog):
    """For a guard in another process: the state is written to a file, and orders are read from another."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        super().__init__(now)

    def close(self) -> str:
        reason = super().close()
        self._show()
        return reason

    def _call(self) -> None:
        order = self._path.with_suffix(".order")
        self.fails = order.exists() and order.read_text() == "fail"
        super()._call()

    def _feed(self) -> None:
        super()._feed()
        self._show()

    def _show(self) -> None:
        staged = self._path.with_suffix(".new")
        staged.write_text(json.dumps({"bites": self._bites, "timeout_s": self.timeout_s, "running": self.running}))
        staged.rename(self._path)
