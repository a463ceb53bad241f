"""Warnings about machines that are copies of each other. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from election.reading import ReadView
from hactl.decide.namesake import NEW_MACHINE_ID
from hactl.status.service_warnings import Warning_


def namesake_warnings(document: dict[str, Any], view: ReadView) -> Iterator[Warning_]:
    """Machines that were refused; and nodes with one machine id, which began before that was looked at."""
    for node, refusal in view.refusals.items():
        if node not in view.sessions or refusal.mod_revision > view.sessions[node].create_revision:
            text = f"a second machine with the name {node} was refused: {refusal.record.reason}"
            yield "error", text, "follow the reason; its daemon's log there: `journalctl -u hactl`"
    names: dict[str, list[str]] = {}
    for node, session in sorted(view.sessions.items()):
        names.setdefault(session.record.machine_id, []).append(node)
    for machine_id, nodes in names.items():
        if machine_id and len(nodes) > 1:
            text = f"nodes {' and '.join(nodes)} have the same machine id, {machine_id}: one is a copy of the other"
            yield "error", f"{text}; after its next reboot one is refused", f"on all but one of them: {NEW_MACHINE_ID}"
