"""The status document while etcd does not answer. Pure."""

from __future__ import annotations

from typing import Any

from hactl.status.clone_words import mark_clones_as_old


def mark_as_old(document: dict[str, Any], age_ms: int | None) -> None:
    """While etcd does not answer nobody knows who is well and what runs: it says what was known, and how long ago.
    `age_ms`: None while it answers."""
    if age_ms is None:
        return
    for node in document["nodes"]:
        node["state"] = "unknown" if node["state"] != "absent" else "absent"
    for group in document["groups"]:
        if group["enabled"]:
            group["waiting"] = f"{age_ms / 1000:.0f} s ago: {group['state']}"
            group["state"] = "unknown"
    mark_clones_as_old(document, age_ms)
