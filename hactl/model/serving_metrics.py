"""The form of a metric, and the metrics of the serving process beside the daemon's (`hactl.daemon.metrics`)."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["gauge", "counter", "histogram"]


class Metric(NamedTuple):
    """One metric. `buckets` in seconds, for histograms."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()


REFUSALS = ("full", "rate", "descriptors", "accept")

SERVING = (
    Metric("hactl_http_connections", "gauge", (), "Connections to the process that serves the metrics."),
    Metric("hactl_http_refused_total", "counter", ("reason",), "Connections that it did not take."),
    Metric(
        "hactl_snapshot_age_seconds",
        "gauge",
        (),
        "How old the last answer of this node's daemon is that the serving process has; NaN: it never had one.",
    ),
    Metric("hactl_up", "gauge", (), "1: this node's daemon answers the serving process, 0: not."),
)
