"""What a node says of itself now. Pure."""

from __future__ import annotations

from election.reading import ReadView
from election.records import Report


def current_report(view: ReadView, node: str) -> Report | None:
    """The node's report of its present session; None: it has no session, or has said nothing in it."""
    report, session = view.reports.get(node), view.sessions.get(node)
    if report is None or session is None or report.record.session_id != session.record.session_id:
        return None
    return report.record
