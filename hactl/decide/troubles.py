"""Troubles: faults of a node beside which its groups go on, such as a task that fails, a directory that is full, a log
that cannot be written. Every node reports its own, so that `hactl status` on any of them shows all. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from election.reading import ReadView
from election.records import TroubleReport
from hactl.decide.failures import trouble_over
from hactl.decide.node_reports import current_report
from hactl.decide.readiness import OwnReadiness
from hactl.decide.state import NodeState, Out
from hactl.model import events

Troubles = dict[str, TroubleReport]


def learn(state: NodeState, event: events.Trouble, out: Out) -> None:
    """Something of this node does not work, or works again."""
    known = state.troubles.get(event.source)
    if not event.what:
        if state.troubles.pop(event.source, None) is not None:
            out.note("trouble_over", source=event.source)
            trouble_over(state, out)
    elif known is None or (known["what"], known["do"]) != (event.what, event.do):
        since = known["since"] if known else event.since
        state.troubles[event.source] = {"what": event.what, "do": event.do, "since": since}
        out.note("trouble", source=event.source, what=event.what)


def bar(state: NodeState) -> None:
    """Where a group's definition cannot be kept nothing of it is started: so this node is not to be given one. What
    runs goes on here."""
    why = state.troubles.get("state_dir", {}).get("what", "")
    for name in state.runs:
        if why or name in state.readiness:
            own = state.readiness.setdefault(name, OwnReadiness())
            own.post("state_dir", "unfit" if why else "ready", why)


def troubles_of(view: ReadView, node: str) -> Troubles:
    """The troubles that a node reports; none once its session has ended."""
    report = current_report(view, node)
    return report.troubles if report is not None else {}


def trouble_warnings(document: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """A warning for each; this daemon's own are known to it before they are told."""
    own = (document["local"] or {}).get("troubles", {})
    for node in document["nodes"]:
        troubles = own if node["me"] and document["local"] else node["troubles"]
        for trouble in troubles.values():
            since = f" (since {trouble['since']})" if trouble.get("since") else ""
            todo = trouble.get("do") or f"see the daemon's log on {node['name']}"
            yield "warning", f"node {node['name']}: {trouble.get('what')}{since}", todo
