"""When the watchdog is fed, against a device that counts: never too long, and never too early while the guard lives."""

from __future__ import annotations

import os
import pty
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from election.clock import Instant, remaining
from fencing.guard import watchdog_state
from fencing.guard.state import (
    Adopt,
    Begin,
    Extend,
    GuardState,
    Register,
    StopResult,
    Tick,
    Unregister,
    next_deadline,
    step,
)
from fencing.guard.watchdog_device import Device, feed
from fencing.guard.watchdog_state import FREE_S, WatchdogState, next_look
from tests.support.examples import examples
from tests.support.watchdog import FakeWatchdog

STEPS = ({"kind": "unlink", "path": "/x"},)
M, R = 750.0, 250.0


@dataclass
class Bench:
    """A guard, a watchdog and the time, all in the test's hands."""

    lease: float = 3750.0
    rate: float = 1.0
    budget: float = M
    lead: float = R
    ms: float = 0.0
    guard: GuardState = field(default_factory=GuardState)
    state: WatchdogState = field(default_factory=WatchdogState)

    def __post_init__(self) -> None:
        self.device = FakeWatchdog(self.now, self.rate)

    def now(self) -> Instant:
        return Instant(50_000 + self.ms, 20_000 + self.ms)

    @property
    def until(self) -> float:
        assert self.guard.valid_until is not None
        return self.guard.valid_until.boot

    def begin(self, *names: str) -> None:
        step(self.guard, Adopt(1), self.now())
        step(self.guard, Begin("s", self.budget, self.lead, self.now().plus(self.lease)), self.now())
        self.look()
        for name in names:
            # As before every first register: see FedWatchdog.admit.
            feed(self.device, self.state, self.guard.valid_until, True, self.now)
            assert step(self.guard, Register(name, STEPS), self.now())

    def renew(self, took_ms: float = 5.0) -> None:
        self.go(25)
        step(self.guard, Extend("s", self.budget, self.lead, self.now().plus(self.lease - took_ms)), self.now())
        self.look()

    def look(self) -> None:
        at = next_look(self.guard, self.state, self.now())
        if at is not None and remaining(at, self.now()) <= 0:
            feed(self.device, self.state, self.guard.valid_until, bool(self.guard.exclusive), self.now)

    def go(self, ms: float, late: float = 0.0) -> None:
        """Let time pass, with a look whenever one is due, or `late` after that."""
        end = self.ms + ms
        while True:
            looks = (next_look(self.guard, self.state, self.now()), next_deadline(self.guard))
            left = min((remaining(at, self.now()) + late for at in looks if at), default=end)
            if self.ms + left > end:
                break
            self.ms += max(left, 1.0)
            step(self.guard, Tick(), self.now())
            self.look()
        self.ms = end


def test_a_dead_guard_s_watchdog_resets_before_the_lease_ends() -> None:
    bench = Bench()
    bench.begin("db")
    bench.renew()
    bench.go(100)
    until = bench.until
    bench.ms += 10_000  # the guard is dead: nobody looks
    assert bench.device.bitten is not None
    assert until - 1000 < bench.device.bitten < until


def test_without_renewals_it_is_fed_again_until_just_before_the_end() -> None:
    bench = Bench()
    bench.begin("db")
    bench.renew()
    assert bench.device.fed[-1][1] == 3
    bench.go(60_000)
    assert bench.device.bitten is not None
    assert -100 < bench.device.bitten - bench.until < 0
    # Once more is enough: from just above 3 s, it lasts to the end.
    assert [timeout for at, timeout in bench.device.fed if at > bench.until - bench.lease + 100] == [3, 3]


@settings(max_examples=examples(300))
@given(
    lease=st.floats(1300, 30_000),
    rate=st.sampled_from([0.99, 1.0, 1.0168, 1.02]),
    heartbeat=st.floats(50, 250),
    beats=st.integers(0, 30),
    dies_after=st.floats(0, 40_000),
    late=st.floats(0, 25),
)
def test_whenever_the_guard_dies_the_reset_comes_in_time(
    lease: float, rate: float, heartbeat: float, beats: int, dies_after: float, late: float
) -> None:
    bench = Bench(lease, rate, budget=300.0)
    bench.begin("db")
    bench.renew()
    for _ in range(beats):
        bench.go(heartbeat, late)
        bench.renew()
    assert bench.device.bitten is None
    bench.go(min(dies_after, lease - 300.0), late)
    # While the guard lives it has its time to stop: nothing bites before the last tenth of a second or so.
    assert bench.device.bitten is None or bench.device.bitten > bench.until - 80 - 0.03 * lease
    bench.ms += 60_000
    assert bench.device.bitten is not None
    assert bench.device.bitten <= bench.until


def test_with_nothing_registered_it_is_fed_whatever_the_session() -> None:
    bench = Bench()
    bench.begin()
    assert bench.state.armed
    bench.go(120_000)
    assert bench.device.bitten is None
    assert bench.device.timeout_s == FREE_S
    bench.ms += 11_000
    assert bench.device.bitten is not None


def test_once_the_guard_has_stopped_everything_it_is_fed_again() -> None:
    bench = Bench()
    bench.begin("db")
    bench.renew()
    bench.go(3300)
    assert bench.guard.phase == "stopping"
    step(bench.guard, StopResult("db", True), bench.now())
    bench.go(60_000)
    assert bench.device.bitten is None
    assert bench.state.armed


def test_what_was_registered_last_is_gone() -> None:
    bench = Bench()
    bench.begin("db")
    step(bench.guard, Unregister("db"), bench.now())
    bench.go(60_000)
    assert bench.device.bitten is None


def test_a_new_guard_feeds_nothing_until_a_session_begins() -> None:
    """What an earlier guard left running may still have something to reset."""
    bench = Bench()
    bench.device.fed.clear()
    step(bench.guard, Adopt(1), bench.now())
    bench.go(30_000)
    assert bench.device.fed == []


def test_a_guard_that_fences_its_node_feeds_no_more() -> None:
    bench = Bench(lease=6000.0, budget=4500.0, lead=4000.0)
    bench.begin("db")
    bench.renew()
    bench.go(1900, late=45.0)  # so that there would be something to gain by feeding it
    assert bench.guard.phase == "stopping"
    bench.go(200, late=45.0)
    assert bench.guard.phase == "fenced"
    fed = len(bench.device.fed)
    bench.go(60_000)
    assert len(bench.device.fed) == fed


@pytest.mark.parametrize("makes", [lambda wanted: max(wanted, 5), lambda wanted: wanted + 2])
def test_a_device_that_makes_more_of_a_timeout_is_not_armed(makes: object) -> None:
    bench = Bench()
    bench.device.makes = makes  # type: ignore[assignment]
    bench.begin()
    assert not bench.state.armed
    assert bench.state.problem.startswith("fake makes ")


def test_a_device_that_rounds_up_gets_a_second_less() -> None:
    bench = Bench()
    bench.device.makes = lambda wanted: wanted + wanted % 2
    bench.begin("db")
    bench.renew()
    assert bench.state.armed
    assert bench.state.timeout_s == 2


def test_a_device_that_rounds_down_is_not_fed_all_the_time() -> None:
    bench = Bench()
    bench.device.makes = lambda wanted: wanted - wanted % 2
    bench.begin("db")
    for _ in range(10):
        bench.renew()
        bench.go(250)
    assert bench.state.timeout_s == 2
    assert len(bench.device.fed) < 60


def test_a_device_that_cannot_count_the_last_seconds_is_not_fed_freely_then() -> None:
    bench = Bench(lease=2900.0)
    bench.device.shortest = 2
    bench.begin("db")
    bench.renew()
    bench.go(1300, late=45.0)  # too late for the last two seconds
    bench.go(60_000)
    assert bench.device.bitten is not None
    assert bench.until - 2000 < bench.device.bitten < bench.until


def test_a_device_without_such_a_timeout_resets_nobody() -> None:
    """As when the lease was made shorter than it can do."""
    bench = Bench(lease=8000.0)
    bench.device.shortest = 5
    bench.begin("db")
    assert bench.state.armed
    bench.lease = 3750.0
    for _ in range(200):
        bench.renew()
        bench.go(250)
    assert bench.device.bitten is None
    assert not bench.state.armed
    assert "no timeout of 3 s" in bench.state.problem


def test_a_device_that_fails_is_left_to_reset_registered_resources() -> None:
    bench = Bench()
    bench.begin("db")
    bench.renew()
    bench.go(200)
    before = bench.until
    bench.device.fails = True
    for _ in range(20):
        bench.go(250)
        bench.renew()
    assert not bench.state.armed
    assert bench.device.bitten is not None
    assert bench.device.bitten < before


def test_a_slow_device_is_never_fed_beyond_the_end() -> None:
    bench = Bench()
    bench.begin("db")
    bench.device.before_call = lambda: setattr(bench, "ms", bench.ms + 500)
    for _ in range(3):
        bench.renew()
        fed, timeout_s = bench.device.fed[-1]
        assert bench.state.armed
        assert bench.until - 3000 < fed + timeout_s * 1000 <= bench.until


def test_what_may_be_registered_without_it() -> None:
    def refusal(use: watchdog_state.Use, at: float = 0.0) -> str:
        return watchdog_state.refusal(use, state, Instant(at, at))

    state = WatchdogState()
    assert refusal("off") == refusal("use") == ""
    assert "not armed" in refusal("required")
    watchdog_state.arm(state)
    assert refusal("use") == refusal("required") == ""
    watchdog_state.disarm(state, Instant(1000, 1000), "broken")
    assert "broken" in refusal("use", 999)
    assert refusal("use", 1000) == ""
    assert "broken" in refusal("required", 5000)


def test_what_is_no_watchdog_is_not_written_to() -> None:
    there, here = pty.openpty()
    with pytest.raises(OSError):
        Device(os.ttyname(here))
    os.set_blocking(there, False)
    with pytest.raises(BlockingIOError):
        os.read(there, 1)
    os.close(here)
    os.close(there)
