"""What operators have planned, in the status document and its warnings. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from election.reading import ReadView
from election.records import Stop
from election.text import printable
from hactl.status.service_warnings import Warning_


def planned_status(view: ReadView, group: str) -> dict[str, Any]:
    """A group's part: `stopped` (None, or `by`, `at`, `reason`), `bans` (`node`, `by`, `at`, `until`, `reason`),
    `restarting` (a request to restart it is being carried out)."""
    stop, restart, stored = view.stopped.get(group), view.restarts.get(group), view.groups.get(group)
    restarting = restart is not None and stored is not None and restart.record.epoch == stored.record.epoch
    bans = [
        {"node": name.partition("/")[2], **_about(ban.record), "until": printable(ban.record.until)}
        for name, ban in sorted(view.bans.items())
        if name.partition("/")[0] == group
    ]
    return {"stopped": _about(stop.record) if stop else None, "bans": bans, "restarting": restarting}


def stopped_by(stop: Stop) -> str:
    """Why a group does not run that an operator has stopped."""
    return "stopped" + _by(_about(stop))


def planned_warnings(document: dict[str, Any]) -> Iterator[Warning_]:
    """What was planned, and how it is ended."""
    for group in document["groups"]:
        name = group["name"]
        if stop := group["stopped"]:
            yield "notice", f"group {name} is stopped{_by(stop)}", f"`hactl group start {name}`"
        for ban in group["bans"]:
            until = f" until {ban['until']}" if ban["until"] else ""
            text = f"group {name} is banned from {ban['node']}{until}{_by(ban)}"
            yield "notice", text, f"`hactl group clear {name} {ban['node']}`"


def _about(record: Any) -> dict[str, str]:
    return {"by": printable(record.by), "at": printable(record.at), "reason": printable(record.reason)}


def _by(about: dict[str, str]) -> str:
    """Who, since when and why, in brackets."""
    parts = [f"by {about['by']}" if about["by"] else "", f"since {about['at']}" if about["at"] else "", about["reason"]]
    return f" ({', '.join(part for part in parts if part)})" if any(parts) else ""
