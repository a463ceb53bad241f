"""What operators have planned, in the status document and its warnings. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from election.reading import ReadView
from election.records import Stop
from election.text import printable
from hactl.decide.planned import ALL, all_maintenance, maintenance_of, node_of
from hactl.status.service_warnings import Warning_


def planned_status(view: ReadView, group: str) -> dict[str, Any]:
    """A group's part: `stopped` (None, or `by`, `at`, `reason`), `bans` (`node`, `by`, `at`, `until`, `reason`),
    `restarting` (a request to restart it is being carried out), `maintenance` (None, or as of a ban, without `node`: it
    is asked for, of the group or of everything)."""
    stop, restart, stored = view.stopped.get(group), view.restarts.get(group), view.groups.get(group)
    restarting = restart is not None and stored is not None and restart.record.epoch == stored.record.epoch
    bans = [
        {"node": name.partition("/")[2], **_about(ban.record), "until": printable(ban.record.until)}
        for name, ban in sorted(view.bans.items())
        if name.partition("/")[0] == group
    ]
    asked = maintenance_of(view, group)
    alone = {**_about(asked.record), "until": printable(asked.record.until)} if asked is not None else None
    stopped = _about(stop.record) if stop else None
    return {"stopped": stopped, "bans": bans, "restarting": restarting, "maintenance": alone}


def maintenance_status(view: ReadView) -> list[dict[str, str]]:
    """What operators have asked to be left alone: `group` (`*`: everything; "": a node), `node`, `by`, `at`, `until`,
    `reason`."""
    return [
        {
            "group": "" if node_of(name) else name,
            "node": node_of(name),
            **_about(known.record),
            "until": printable(known.record.until),
        }
        for name, known in sorted(all_maintenance(view).items())
    ]


def scheduled_status(view: ReadView) -> list[dict[str, str]]:
    """The moves that operators have planned: `group`, `to` ("": the best other node), `at`, `by`."""
    return [
        {"group": name, "to": known.record.to, "at": printable(known.record.at), "by": printable(known.record.by)}
        for name, known in sorted(view.scheduled.items())
    ]


def stopped_by(stop: Stop) -> str:
    """Why a group does not run that an operator has stopped."""
    return "stopped" + _by(_about(stop))


def planned_warnings(document: dict[str, Any]) -> Iterator[Warning_]:
    """What was planned, and how it is ended."""
    for asked in document["maintenance"]:
        until = f" until {asked['until']}" if asked["until"] else ""
        if asked["group"] == ALL:
            text = f"EVERYTHING IS IN MAINTENANCE{until}{_by(asked)}: hactl starts, stops, moves and fences nothing"
            yield "warning", text, "`hactl maintenance off` when you are done"
        elif asked.get("node"):
            node = asked["node"]
            what = "hactl leaves what it has alone, moves nothing to it, and does not fence it"
            text = f"NODE {node} IS IN MAINTENANCE{until}{_by(asked)}: {what}"
            yield "warning", text, f"`hactl maintenance off --node {node}` when you are done"
        else:
            text = f"GROUP {asked['group']} IS IN MAINTENANCE{until}{_by(asked)}: hactl leaves it alone"
            yield "warning", text, f"`hactl group manage {asked['group']}` when you are done"
    for move in document["scheduled"]:
        text = f"group {move['group']} is to move to {move['to'] or 'another node'} at {move['at']} (by {move['by']})"
        yield "notice", text, f"`hactl failover {move['group']} --cancel` takes it back"
    for group in document["groups"]:
        name, owner, why = group["name"], group["owner"], group["waiting"]
        if group["state"] == "unmanaged" and not group["maintenance"]:
            text = f"group {name} was left alone on {owner}, and is not looked after yet: {why or 'wait'}"
            todo = f"see where it runs; if {owner} is off: `hactl fence confirm {owner}`"
            yield "error" if why else "notice", text, todo
    for group in [*document["groups"], *document["clones"]]:
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
