"""What a member of etcd measures of itself, from its page /metrics in Prometheus' text format. Pure.

Source of the names: etcd's manual, *Metrics*. They are counters since the member's start: two pages give what happened
in between.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_FSYNC = "etcd_disk_wal_fsync_duration_seconds_bucket"
_ROUND_TRIP = "etcd_network_peer_round_trip_time_seconds"
_QUOTA = "etcd_server_quota_backend_bytes"
_SAMPLE = re.compile(r'(\w+)(?:\{\w+="([^"]*)"\})? ([-+.\deEInfNa]+)')


class ServerMetrics(NamedTuple):
    """`quota_bytes`: 0 where it does not say. `fsyncs`: writes of the log to the disk, as upper bound in seconds and
    how many took no longer, by size. `round_trips`: by the other member's id in hexadecimal, seconds in all and number.
    """

    quota_bytes: int = 0
    fsyncs: tuple[tuple[float, float], ...] = ()
    round_trips: Mapping[str, tuple[float, float]] = {}

    def since(self, before: ServerMetrics) -> ServerMetrics:
        """What happened after `before`; all of it where the member was started in between."""
        earlier = dict(before.fsyncs)
        fsyncs = tuple((bound, count - earlier.get(bound, 0.0)) for bound, count in self.fsyncs)
        if any(count < 0 for _, count in fsyncs):
            return self
        trips = {}
        for peer, (seconds, count) in self.round_trips.items():
            seconds_before, count_before = before.round_trips.get(peer, (0.0, 0.0))
            trips[peer] = (max(0.0, seconds - seconds_before), max(0.0, count - count_before))
        return ServerMetrics(self.quota_bytes, fsyncs, trips)

    def fsync_quantile(self, share: float, at_least: int = 1) -> float | None:
        """The smallest bound in seconds that `share` of the writes to the disk did not exceed, the largest there is if
        they did exceed it; None: there were fewer than `at_least`."""
        total = self.fsyncs[-1][1] if self.fsyncs else 0.0
        finite = [(bound, count) for bound, count in self.fsyncs if bound < float("inf")]
        if total < at_least or not finite:
            return None
        return next((bound for bound, count in finite if count >= share * total), finite[-1][0])

    def mean_round_trips(self) -> dict[str, float]:
        """In seconds, by the other member's id."""
        return {peer: seconds / count for peer, (seconds, count) in self.round_trips.items() if count > 0}


def parse(page: str) -> ServerMetrics:
    """The page; what is not known, or no number, is left out."""
    quota, fsyncs, sums, counts = 0.0, [], {}, {}
    for name, label, value in _samples(page):
        if name == _QUOTA:
            quota = value
        elif name == _FSYNC:
            fsyncs.append((_number(label), value))
        elif name == f"{_ROUND_TRIP}_sum":
            sums[label] = value
        elif name == f"{_ROUND_TRIP}_count":
            counts[label] = value
    known = sorted((bound, count) for bound, count in fsyncs if bound is not None)
    trips = {peer: (sums[peer], count) for peer, count in counts.items() if peer in sums}
    return ServerMetrics(max(0, int(quota)), tuple(known), trips)


def _samples(page: str) -> Iterator[tuple[str, str, float]]:
    for line in page.splitlines():
        if line.startswith((_FSYNC, _ROUND_TRIP, _QUOTA)) and (match := _SAMPLE.fullmatch(line)):
            value = _number(match[3])
            if value is not None and math.isfinite(value):
                yield match[1], match[2] or "", value


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
