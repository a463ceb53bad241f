"""What the other nodes report of a group's address as a client sees it (hactl.decide.client_view). Pure."""

from __future__ import annotations

from election.reading import ReadView
from election.records import ClientViewReport, Ownership
from hactl.decide.node_reports import current_report


def client_views(view: ReadView, group: str) -> dict[str, ClientViewReport]:
    """What each live node that does not have the group says of its present ownership."""
    known = view.groups.get(group)
    if known is None or known.record.state != "owned":
        return {}
    said = {}
    for name in view.sessions:
        report = current_report(view, name)
        entry = report.client_views.get(group) if report is not None else None
        if entry is not None and entry.get("epoch") == known.record.epoch and name not in holding(known.record):
            said[name] = entry
    return said


def unseen_because(view: ReadView, group: str) -> str:
    """Why the group counts as failed for its clients; "": it does not."""
    said = client_views(view, group)
    failing = sorted(name for name, entry in said.items() if entry.get("level") == "failed")
    if not failing or any(entry.get("level") == "well" for entry in said.values()):
        return ""
    return f"{', '.join(failing)} cannot reach it: {said[failing[0]].get('why', '')}"


def holding(own: Ownership) -> set[str]:
    """The nodes that may have the group."""
    return {own.node, *(holder.node for holder in own.holders)}
