"""The form of a panel, before it is Grafana's JSON, and the queries that many of them have."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["stat", "timeseries", "state-timeline", "bargauge"]
# What the colours say. `one`: 1 is good, 0 is bad; `none`: 0 is good, more is bad; `shown`: a series is drawn while it
# is there.
Good = Literal["", "one", "none", "shown"]

COLUMNS = 24


class Query(NamedTuple):
    """An expression of Prometheus, in which `@` stands for the chosen cluster and nodes; the name of its series."""

    expr: str
    legend: str


class Panel(NamedTuple):
    """`unit`: Grafana's name of it; `width`: of COLUMNS; `low`: values below are bad, in the unit."""

    kind: Kind
    title: str
    description: str
    queries: tuple[Query, ...]
    unit: str = "none"
    good: Good = ""
    width: int = 8
    low: float | None = None


class Row(NamedTuple):
    """Panels below one heading."""

    title: str
    panels: tuple[Panel, ...]


def stat(
    title: str, description: str, query: Query, *, unit: str = "none", good: Good = "", low: float | None = None
) -> Panel:
    """The present value, in large figures."""
    return Panel("stat", title, description, (query,), unit, good, low=low)


def series(title: str, description: str, *queries: Query, unit: str = "none", width: int = 8) -> Panel:
    """Values over time."""
    return Panel("timeseries", title, description, queries, unit, width=width)


def states(title: str, description: str, query: Query, good: Good, *, width: int = 8) -> Panel:
    """A line for each series, whose colour is its state."""
    return Panel("state-timeline", title, description, (query,), good=good, width=width)


def p99(histogram: str, by: str, legend: str) -> Query:
    """What 99 of 100 did not exceed."""
    rate = f"sum by ({by}, le) (rate({histogram}_bucket{{@}}[$__rate_interval]))"
    return Query(f"histogram_quantile(0.99, {rate})", legend)


def increase(counter: str, by: str, legend: str, *, where: str = "") -> Query:
    """How many in each interval. `where`: more of the selector."""
    chosen = f"@, {where}" if where else "@"
    return Query(f"sum by ({by}) (increase({counter}{{{chosen}}}[$__rate_interval]))", legend)


def per_second(counter: str, by: str, legend: str, *, where: str = "") -> Query:
    """How many in a second."""
    query = increase(counter, by, legend, where=where)
    return query._replace(expr=query.expr.replace("(increase(", "(rate("))
