"""The rules that make the timings safe, and the worst case of a failover (docs/protocol.md, *Timing*). Pure.

All durations are in milliseconds. The rules are demanded by the protocol; a configuration that breaks one is
refused with the sum shown. The worst case of a group is the sum of the parts that can follow one another
between the death of its node and its resources running elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, NamedTuple

from election.observer import CLOCK_RATE_MARGIN, limit_ms
from election.records import LONGEST_LEASE_MS
from fencing.guard.watchdog_state import SECOND_MS
from fencing.topology import Topology
from hactl.model.cluster import GroupSpec, Timing

# An attempt's deadline is half a heartbeat: below this a healthy etcd could not keep it.
MIN_HEARTBEAT_MS = 20.0

Profile = Literal["default", "fast", "wan"]

# default: one network, etcd as it comes. fast: one network, etcd with a heartbeat of 50 ms and an election
# timeout of 300 ms. wan: sites apart (round trips of some 100 ms), etcd with an election timeout of 5 s: an
# attempt, which is two to three round trips, has a second.
PROFILES: dict[Profile, Timing] = {
    "default": Timing(250.0, 1500.0, 3750.0, 750.0, 250.0, 1000.0),
    "fast": Timing(100.0, 400.0, 1250.0, 250.0, 100.0, 300.0),
    "wan": Timing(2000.0, 10_000.0, 21_000.0, 3000.0, 1000.0, 5000.0),
}


class Problem(NamedTuple):
    """A rule that is broken. `setting`: the one to look at first, by its name in cluster.yaml; `problem`: the
    sum; `hint`: what would be right."""

    setting: str
    problem: str
    hint: str

    def __str__(self) -> str:
        return f"{self.problem}: {self.hint}"


class Part(NamedTuple):
    """A part of a worst case. `ms`: at most this long (None: no bound); `why`: where the number comes from."""

    name: str
    ms: float | None
    why: str


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A worst case and its parts, in the order in which they follow one another. `starts`: those at the end
    that are the resources' own, bounded by their timeouts only."""

    subject: str
    parts: tuple[Part, ...]
    starts: tuple[Part, ...] = ()

    @property
    def total_ms(self) -> float | None:
        """The whole, in ms; None when a part has no bound."""
        return _sum(self.parts + self.starts)

    @property
    def takeover_ms(self) -> float | None:
        """Without the starts: what the cluster itself takes."""
        return _sum(self.parts)


def _sum(parts: tuple[Part, ...]) -> float | None:
    known = [part.ms for part in parts if part.ms is not None]
    return sum(known) if len(known) == len(parts) else None


def format_ms(ms: float) -> str:
    """A duration as it is written in cluster.yaml: `250ms`, `3.75s`, `1m`. Exact: reading it gives `ms`."""
    value = Decimal(repr(ms))
    for unit, factor in (("h", 3_600_000), ("m", 60_000)):
        if value and value % factor == 0:
            return f"{value / factor:f}{unit}".replace(".0", "")
    number, unit = (value / 1000, "s") if value >= 1000 else (value, "ms")
    text = f"{number:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + unit


def check(timing: Timing) -> list[Problem]:
    """The rules of docs/protocol.md, *Timing*, that `timing` breaks; empty when it is safe."""
    return [*_positive(timing), *_suspicion(timing), *_stopping(timing), *_lease(timing)]


def _positive(timing: Timing) -> Iterator[Problem]:
    for setting, ms in settings(timing).items():
        if not 0 < ms < float("inf"):
            yield Problem(setting, f"{setting} {ms:g}ms is not a duration above zero", "give one above zero")
    if 0 < timing.heartbeat_ms < MIN_HEARTBEAT_MS:
        problem = f"heartbeat {format_ms(timing.heartbeat_ms)}: a renewal has half of it to be answered, too little"
        yield Problem("heartbeat", problem, f"raise heartbeat to {format_ms(MIN_HEARTBEAT_MS)} or more")


def _suspicion(timing: Timing) -> Iterator[Problem]:
    least = 4 * timing.heartbeat_ms
    if timing.suspect_after_ms < least:
        beat, suspect = format_ms(timing.heartbeat_ms), format_ms(timing.suspect_after_ms)
        problem = f"suspect_after {suspect}, but 4 x heartbeat {beat} = {format_ms(least)}"
        hint = f"raise suspect_after to {format_ms(least)} or more, or lower heartbeat"
        yield Problem("suspect_after", problem, hint)


def _stopping(timing: Timing) -> Iterator[Problem]:
    lead, budget, lease = timing.self_fence_lead_ms, timing.stop_budget_ms, timing.lease_ms
    if not lead < budget:
        problem = f"stop_budget {format_ms(budget)} - self_fence_lead {format_ms(lead)} leaves no time to stop in"
        hint = f"lower self_fence_lead below {format_ms(budget)}, or raise stop_budget"
        yield Problem("self_fence_lead", problem, hint)
    if not budget < lease:
        problem = f"stop_budget {format_ms(budget)} is not less than lease {format_ms(lease)}"
        yield Problem("stop_budget", problem, f"lower stop_budget below {format_ms(lease)}, or raise lease")


def _lease(timing: Timing) -> Iterator[Problem]:
    """An election of etcd's, and four renewals, must fit between a renewal and the emergency stop."""
    if LONGEST_LEASE_MS < timing.lease_ms < float("inf"):
        longest = format_ms(LONGEST_LEASE_MS)
        text = f"lease {format_ms(timing.lease_ms)} is longer than {longest}"
        yield Problem("lease", text, f"give {longest} at most")
    left = timing.lease_ms - timing.stop_budget_ms
    needed = 4 * timing.heartbeat_ms + 2 * timing.etcd_election_ms
    if left < needed:
        shown = f"= {format_ms(left)}" if left >= 0 else "is less than nothing"
        yield Problem(
            "lease",
            f"lease {format_ms(timing.lease_ms)} - stop_budget {format_ms(timing.stop_budget_ms)} {shown}, but "
            f"4 x heartbeat {format_ms(timing.heartbeat_ms)} + "
            f"2 x etcd_election {format_ms(timing.etcd_election_ms)} = {format_ms(needed)}",
            f"raise lease to {format_ms(needed + timing.stop_budget_ms)} or more, "
            "or lower heartbeat, stop_budget or etcd_election",
        )


def check_watchdog(timing: Timing) -> list[Problem]:
    """The rule that a watchdog adds: it counts whole seconds, up to 2 % long, and those that are left after a renewal
    that was answered late, and the next, must be more than the guard needs to stop everything."""
    left = timing.lease_ms - 1.5 * timing.heartbeat_ms
    seconds = max(0, int(left // SECOND_MS))
    if seconds * 1000.0 > timing.stop_budget_ms:
        return []
    needed = (timing.stop_budget_ms // 1000.0 + 1) * SECOND_MS + 1.5 * timing.heartbeat_ms
    problem = (
        f"lease {format_ms(timing.lease_ms)} - 1.5 x heartbeat {format_ms(timing.heartbeat_ms)} leaves a watchdog "
        f"{seconds} x {format_ms(SECOND_MS)}, but stop_budget is {format_ms(timing.stop_budget_ms)}"
    )
    return [Problem("lease", problem, f"raise lease to {format_ms(needed)} or more, or lower stop_budget")]


def settings(timing: Timing) -> dict[str, float]:
    """The durations in ms by their names in cluster.yaml."""
    return {
        "heartbeat": timing.heartbeat_ms,
        "suspect_after": timing.suspect_after_ms,
        "lease": timing.lease_ms,
        "stop_budget": timing.stop_budget_ms,
        "self_fence_lead": timing.self_fence_lead_ms,
        "etcd_election": timing.etcd_election_ms,
    }


def kill_time_ms(timing: Timing) -> float:
    """How long a kill may take before the node fences itself."""
    return timing.stop_budget_ms - timing.self_fence_lead_ms


def worst_case_ms(
    timing: Timing, group: GroupSpec, topology: Topology | None = None, nodes: Sequence[str] = ()
) -> Breakdown:
    """How long `group` is away at worst when its node, one of `nodes`, dies, from the death to its last resource
    started.

    Assumed: etcd answers within an attempt's deadline and elects in one round; the first choice of the nodes
    left is well, and so is the first device level of the node. The death may take etcd's leader with it. With
    `fencing: required` and a node without a fence device the end is not in the cluster's hands, so there is no bound.
    """
    limits = [(resource.name, resource.start_timeout_ms) for resource in group.resources]
    starts = [Part(f"start {name}", ms, f"start_timeout {format_ms(ms)}") for name, ms in limits]
    fenced = _fenced(topology or Topology(), nodes) if group.fencing == "required" else None
    silent = _silence(timing, suspected=fenced is not None)
    if group.fencing == "required" and fenced is None:
        fenced = Part("fenced", None, "until the node has rebooted, says that it stopped, or an operator confirms")
    parts = (*_detection(timing), silent, *((fenced,) if fenced else ()), _takeover(timing))
    return Breakdown(group.name, parts, tuple(starts))


def _detection(timing: Timing) -> Iterator[Part]:
    beat, election = format_ms(timing.heartbeat_ms), format_ms(timing.etcd_election_ms)
    why = f"heartbeat {beat} / 2 for its write, heartbeat {beat} until the watch shows it"
    yield Part("last renewal seen", 1.5 * timing.heartbeat_ms, why)
    # A renewal that the dying leader had copied but not yet called committed is shown by the next leader only.
    why = f"2 x etcd_election {election}, if its leader died too, a renewal under way"
    yield Part("etcd elects", 2 * timing.etcd_election_ms, why)


def _silence(timing: Timing, *, suspected: bool) -> Part:
    if suspected:
        text = f"suspect_after {format_ms(timing.suspect_after_ms)}: it has a fence device"
        return Part("suspected", timing.suspect_after_ms, text)
    text = f"lease {format_ms(timing.lease_ms)} + {100 * CLOCK_RATE_MARGIN:g} % for clocks"
    return Part("lease over", limit_ms(timing.lease_ms), text)


def _fenced(topology: Topology, nodes: Sequence[str]) -> Part | None:
    """The longest that the first device level of any of `nodes` may take; None where one has none."""
    parts = [_first_level(topology, name) for name in nodes]
    if not parts or None in parts:
        return None
    return max((part for part in parts if part is not None), key=lambda part: part.ms or 0.0)


def _first_level(topology: Topology, node: str) -> Part | None:
    fencing = topology.of(node)
    first = next((level for level in fencing.levels if level.targets), None)
    if first is None:
        return None
    delay = fencing.delay_ms + fencing.random_delay_ms
    devices = [topology.devices[target.device] for target in first.targets]
    why = [f"delays of {node} {format_ms(delay)}"] if delay else []
    why += [
        f"`off` of {device.name} {format_ms(device.timeout_ms)}, its status {format_ms(device.status_timeout_ms)}"
        for device in devices
    ]
    needed = sum(device.timeout_ms + device.status_timeout_ms for device in devices)
    return Part("fenced", delay + needed, "; ".join(why))


def _takeover(timing: Timing) -> Part:
    beat = format_ms(timing.heartbeat_ms)
    return Part("deposed and acquired", 1.5 * timing.heartbeat_ms, f"3 requests of heartbeat {beat} / 2")


class CheckTimes(NamedTuple):
    """A service's checks, as they are in force, in ms: `fall` bad ones in a row, `inter_ms` and then `fastinter_ms`
    apart, make a server down. `connect_ms`: how long it may take to accept."""

    inter_ms: float
    fastinter_ms: float
    fall: int
    connect_ms: float


def service_worst_case_ms(service: str, times: CheckTimes) -> Breakdown:
    """How long HAProxy goes on sending to a dead node's server at worst, by its checks alone. Meanwhile a connection
    to it is redispatched after `timeouts.connect`.

    HAProxy's manual, `timeout check`: a check's connect has the lesser of `timeout connect` and `inter`.
    """
    inter, fast, fall = times.inter_ms, times.fastinter_ms, times.fall
    connect = min(times.connect_ms, inter)
    parts = (
        Part("next check", inter, f"check.inter {format_ms(inter)}"),
        Part("further checks", (fall - 1) * fast, f"(fall {fall} - 1) x check.fastinter {format_ms(fast)}"),
        Part("no answers", fall * connect, f"fall {fall} x timeouts.connect {format_ms(connect)}"),
    )
    return Breakdown(service, parts)
