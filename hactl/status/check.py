"""`hactl status --check`: the status document as one line with an exit status, for monitoring programs that follow the
Nagios plugin guidelines. Pure, and light to import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OK, WARNING, CRITICAL, UNKNOWN = range(4)

_WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
# Monitoring programs keep so much of a line.
_LONGEST = 900


def check(document: Mapping[str, Any]) -> tuple[int, str]:
    """The exit status, and the line. Errors of `hactl status` are critical; notices are not."""
    if document["stale_ms"] is not None and not document["revision"]:
        return UNKNOWN, line(UNKNOWN, "nothing is known of the cluster: etcd has not answered this daemon yet")
    warnings = document["warnings"]
    errors = [warning["what"] for warning in warnings if warning["level"] == "error"]
    others = [warning["what"] for warning in warnings if warning["level"] == "warning"]
    status = CRITICAL if errors else WARNING if others else OK
    text = "; ".join([*errors, *others]) or f"{document['cluster']}: nothing is wrong"
    return status, line(status, text, _performance(document, len(errors), len(others)))


def line(status: int, text: str, performance: str = "") -> str:
    """A line of output. What the format needs for itself (`|`, line breaks) is no part of the text."""
    shown = " ".join(text.replace("|", "/").split())
    shown = shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
    return f"HACTL {_WORDS[status]} - {shown}" + (f" | {performance}" if performance else "")


def _performance(document: Mapping[str, Any], errors: int, warnings: int) -> str:
    """The performance data: `name=value;warning;critical;least;most`."""
    nodes, groups, clones = document["nodes"], document["groups"], document.get("clones", ())
    wanted = [group for group in groups if group["enabled"]]
    counts = {
        "nodes_online": (sum(node["state"] == "online" for node in nodes), len(nodes)),
        "groups_running": (sum(group["state"] == "running" for group in wanted), len(wanted)),
        "groups_unmanaged": (
            sum(group["state"] == "unmanaged" for group in (*groups, *clones)),
            len(groups) + len(clones),
        ),
        "sessions_unsafe": (sum(node["state"] == "fence_pending" for node in nodes), len(nodes)),
    }
    if clones:
        counts["instances_running"] = tuple(sum(clone[key] for clone in clones) for key in ("running", "wanted"))
    parts = [f"{name}={value};;;0;{most}" for name, (value, most) in counts.items()]
    return " ".join([*parts, f"errors={errors};;;0", f"warnings={warnings};;;0"])
