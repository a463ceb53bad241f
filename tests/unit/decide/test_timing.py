"""The rules of docs/protocol.md, *Timing*, and the worst case of a group."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from election.observer import limit_ms
from fencing.topology import Device, Level, NodeFencing, Target, Topology
from hactl.decide.timing import (
    PROFILES,
    CheckTimes,
    check,
    check_watchdog,
    format_ms,
    kill_time_ms,
    service_worst_case_ms,
    settings,
    worst_case_ms,
)
from hactl.model.cluster import GroupSpec, Timing
from tests.support.specs import resource_spec

DURATIONS = st.integers(min_value=20, max_value=40_000).map(float)
TIMINGS = st.builds(Timing, DURATIONS, DURATIONS, DURATIONS, DURATIONS, DURATIONS, DURATIONS)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
def test_profiles_are_safe(profile: Timing) -> None:
    assert check(profile) == []


def test_default_of_the_model_is_the_default_profile() -> None:
    assert PROFILES["default"] == Timing()


@pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
def test_profiles_can_have_a_watchdog(profile: Timing) -> None:
    assert check_watchdog(profile) == []


def test_a_watchdog_counts_whole_seconds() -> None:
    timing = Timing(heartbeat_ms=100, lease_ms=2150, stop_budget_ms=1000)
    (problem,) = check_watchdog(timing)
    assert problem.setting == "lease"
    assert str(problem) == (
        "lease 2.15s - 1.5 x heartbeat 100ms leaves a watchdog 1 x 1.02s, but stop_budget is 1s: "
        "raise lease to 2.19s or more, or lower stop_budget"
    )
    assert check_watchdog(replace(timing, lease_ms=2190)) == []
    assert check_watchdog(replace(timing, stop_budget_ms=900)) == []


@given(TIMINGS)
def test_check_is_the_protocols_rules(timing: Timing) -> None:
    h, s, t, m, r, e = settings(timing).values()
    safe = s >= 4 * h and r < m < t and t - m >= 4 * h + 2 * e
    assert (check(timing) == []) == safe


def test_the_sum_is_shown() -> None:
    timing = Timing(heartbeat_ms=250, lease_ms=3000, stop_budget_ms=1000, etcd_election_ms=1000)
    (problem,) = check(timing)
    assert problem.setting == "lease"
    assert str(problem) == (
        "lease 3s - stop_budget 1s = 2s, but 4 x heartbeat 250ms + 2 x etcd_election 1s = 3s: "
        "raise lease to 4s or more, or lower heartbeat, stop_budget or etcd_election"
    )
    assert check(replace(timing, lease_ms=4000)) == []


@pytest.mark.parametrize(
    ("change", "setting", "shown"),
    [
        ({"suspect_after_ms": 999}, "suspect_after", "suspect_after 999ms, but 4 x heartbeat 250ms = 1s"),
        ({"self_fence_lead_ms": 750}, "self_fence_lead", "stop_budget 750ms - self_fence_lead 750ms leaves no time"),
        ({"lease_ms": 3749}, "lease", "lease 3.749s - stop_budget 750ms = 2.999s"),
        ({"stop_budget_ms": 3750}, "stop_budget", "stop_budget 3.75s is not less than lease 3.75s"),
        ({"etcd_election_ms": 0}, "etcd_election", "not a duration above zero"),
        ({"heartbeat_ms": 10}, "heartbeat", "half of it to be answered"),
        ({"lease_ms": float("inf")}, "lease", "not a duration above zero"),
    ],
)
def test_each_rule_alone(change: dict[str, float], setting: str, shown: str) -> None:
    assert any(p.setting == setting and shown in p.problem for p in check(replace(Timing(), **change)))


def test_kill_time_is_what_the_guard_leaves() -> None:
    assert kill_time_ms(Timing()) == 500


def group(**changes: object) -> GroupSpec:
    resources = (resource_spec("a", "vip", start_timeout_ms=5000), resource_spec("b", "exec", start_timeout_ms=30_000))
    return replace(GroupSpec("g", resources), **changes)  # type: ignore[arg-type]


def test_worst_case_is_the_sum_of_its_parts() -> None:
    worst = worst_case_ms(Timing(), group())
    assert [(part.name, part.ms) for part in worst.parts + worst.starts] == [
        ("last renewal seen", 375),
        ("etcd elects", 2000),
        ("lease over", limit_ms(3750)),
        ("deposed and acquired", 375),
        ("start a", 5000),
        ("start b", 30_000),
    ]
    assert worst.takeover_ms == 375 + 2000 + limit_ms(3750) + 375
    assert worst.total_ms == 375 + 2000 + limit_ms(3750) + 375 + 35_000


def test_required_without_a_device_has_no_bound() -> None:
    worst = worst_case_ms(Timing(), group(fencing="required"))
    assert worst.total_ms is None
    assert [part.name for part in worst.parts if part.ms is None] == ["fenced"]


def test_required_with_devices_is_suspected_and_fenced_by_the_slowest_first_level() -> None:
    devices = {
        "quick": Device("quick", "fence_a", timeout_ms=5000, status_timeout_ms=1000),
        "slow": Device("slow", "fence_b", timeout_ms=20_000, status_timeout_ms=4000),
    }
    both = Level((Target("quick", "2"), Target("slow", "2")))
    nodes = {
        "n1": NodeFencing((Level((Target("quick"),)), Level((Target("slow"),)))),
        "n2": NodeFencing((Level(watchdog=True), both), delay_ms=1000, random_delay_ms=500),
    }
    topology = Topology(devices, nodes)
    worst = worst_case_ms(Timing(), group(fencing="required"), topology, ("n1", "n2"))
    assert [(part.name, part.ms) for part in worst.parts] == [
        ("last renewal seen", 375),
        ("etcd elects", 2000),
        ("suspected", 1500),
        ("fenced", 1500 + 6000 + 24_000),
        ("deposed and acquired", 375),
    ]
    assert worst.parts[3].why.startswith("delays of n2 1.5s; `off` of quick 5s, its status 1s; `off` of slow")
    assert worst_case_ms(Timing(), group(fencing="required"), topology, ("n1", "n3")).total_ms is None
    assert worst_case_ms(Timing(), group(), topology, ("n1", "n2")) == worst_case_ms(Timing(), group())


def test_a_service_by_its_checks() -> None:
    worst = service_worst_case_ms("s", CheckTimes(1000, 200, 3, 300))
    assert worst.total_ms == 1000 + 2 * 200 + 3 * 300
    assert service_worst_case_ms("s", CheckTimes(1000, 200, 3, 5000)).total_ms == 1000 + 2 * 200 + 3 * 1000


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0, "0ms"), (250, "250ms"), (0.5, "0.5ms"), (1000, "1s"), (3750.0, "3.75s"), (60_000, "1m"), (7_200_000, "2h")],
)
def test_format(ms: float, text: str) -> None:
    assert format_ms(ms) == text
