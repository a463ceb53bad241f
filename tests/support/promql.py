"""What an expression of Prometheus names, compared with the table of metrics."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hactl.daemon.metric_table import TABLE
from hactl.model.serving_metrics import SERVING
from tools.docs.metrics import page

METRICS = {metric.name: metric for metric in (*TABLE, *SERVING)}
# Of Prometheus itself, and of its client library.
OTHERS = {"up", "process_cpu_seconds_total", "process_resident_memory_bytes"}
# deploy/prometheus/scrape.yaml gives these to every series.
OF_TARGETS = {"cluster", "instance", "job"}

_SELECTOR = re.compile(r"\b((?:hactl|process)_\w+|up\b)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING = re.compile(r"\b(by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_VALUES = re.compile(r"^\| `(\w+)` of `(\w+)` \| (.*) \|$", re.MULTILINE)


def values() -> dict[tuple[str, str], set[str]]:
    """What a label of a metric may be, where docs/metrics.md lists it."""
    listed = _VALUES.findall(page())
    return {(metric, label): set(re.findall(r"`([^`]+)`", text)) for label, metric, text in listed}


def selectors(expr: str) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Each metric with its matchers: label, operator, value."""
    plain = _GROUPING.sub(" ", expr)
    return [(name, _MATCHER.findall(braces)) for name, braces in _SELECTOR.findall(plain)]


def _base(name: str) -> str:
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    return base if base in METRICS and METRICS[base].kind == "histogram" else name


def labels(expr: str) -> set[str]:
    """That its series may have."""
    expr = expr.partition(" unless ")[0]  # what is behind it takes away series, and adds no label
    grouped = [set(re.findall(r"\w+", words)) for kind, words in _GROUPING.findall(expr) if kind == "by"]
    if grouped:
        return set.union(*grouped)
    own = {label for name, _ in selectors(expr) if name not in OTHERS for label in METRICS[_base(name)].labels}
    return own | OF_TARGETS


def problems(expr: str) -> Iterator[str]:
    """Metrics, labels and values in it that the product does not have."""
    named = selectors(expr)
    if not named:
        yield "names no metric"
    known = set(OF_TARGETS)
    for name, matchers in named:
        metric = METRICS.get(_base(name))
        if metric is None and name not in OTHERS:
            yield f"{name}: no such metric"
        own = set(metric.labels) if metric else set()
        known |= own | ({"le"} if name.endswith("_bucket") else set())
        for label, operator, value in matchers:
            if label not in own | OF_TARGETS:
                yield f"{name} has no label {label}"
            allowed = values().get((_base(name), label))
            given = set(value.split("|") if "~" in operator else [value]) - {""}
            if allowed is not None and not given <= allowed:
                yield f"{label} of {name} is never {', '.join(sorted(given - allowed))}"
    for _, words in _GROUPING.findall(expr):
        for label in re.findall(r"\w+", words):
            if label not in known:
                yield f"no series here has the label {label}"
