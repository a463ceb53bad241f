"""Trouble that the nodes report of resources that run, or that run where they should not: for the status document and
as warnings. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from election.reading import ReadView
from hactl.decide.outside import ALSO_STARTED, PUT_RIGHT, STRAY, STUCK, TWIN
from hactl.status.service_warnings import Warning_


def reported_warnings(view: ReadView) -> list[dict[str, Any]]:
    """The reports of live nodes, with the node whose MAC address is named."""
    stations = {
        str(mac): {"node": name, "interface": str(interface)}
        for name, member in sorted(view.members.items())
        for mac, interface in _macs(member.record.extra).items()
    }
    return [
        {"node": name, **asdict(warning), "station": stations.get(warning.mac)}
        for name, report in sorted(view.reports.items())
        if (session := view.sessions.get(name)) is not None and session.record.session_id == report.record.session_id
        for warning in report.record.warnings
    ]


def resource_warnings(document: dict[str, Any]) -> Iterator[Warning_]:
    """Level, what is wrong and where, what to do."""
    live = {node["name"] for node in document["nodes"] if node["state"] in ("online", "standby")}
    for warning in document["resource_warnings"]:
        group, node, station = warning["group"], warning["node"], warning["station"]
        text = f"{group}/{warning['resource']} on {node}: {warning['text']}"
        match warning["topic"]:
            case "conflict" if station is not None:
                todo = _take_off(document, warning, station, station["node"] in live)
                yield "warning", f"{text}, which is {station['interface']} of {station['node']}", todo
            case "conflict":
                todo = "find the station with this MAC address and give it another address; hactl defends it meanwhile"
                yield "warning", f"{text}, which is no node of this cluster", todo
            case "degraded":
                yield "warning", text, f"repair it, or move the group: see the log of {node}, and of the program"
            case topic if topic == PUT_RIGHT:
                seen = f"`hactl events` and {node}'s log say when"
                yield "warning", text, f"find what does it (NetworkManager, a script, a person); {seen}"
            case topic if topic == STRAY:
                yield "warning", text, f"find what starts it on {node}; hactl stops it each time"
            case topic if topic == TWIN:
                todo = f"on {node}: end it, and what starts it (an enabled unit, cron, a person); hactl leaves it alone"
                yield "error", text, todo
            case topic if topic == ALSO_STARTED:
                words, _, todo = warning["text"].partition(": ")
                yield "warning", f"{group}/{warning['resource']} on {node}: {words}", f"on {node}: {todo}"
            case topic if topic == STUCK:
                text = f"group {group} also runs on {node}, which does not own it, and cannot be stopped there"
                yield "error", f"{text}: {warning['text']}", f"stop it by hand on {node}"
            case _:
                yield "warning", text, f"see `hactl events` and the log of {node}"


def _take_off(document: dict[str, Any], warning: dict[str, Any], station: dict[str, str], live: bool) -> str:
    other = station["node"]
    if not live:
        return f"{other} was lost and still answers for the address: make sure that it is off"
    vips: list[str] = next((group["vips"] for group in document["groups"] if group["name"] == warning["group"]), [])
    address = next((vip for vip in vips if f" {vip.partition('/')[0]} " in f"{warning['text']} "), "ADDRESS")
    return f"on {other}: `ip addr del {address} dev {station['interface']}`"


def _macs(extra: Any) -> dict[str, Any]:
    macs = extra.get("macs") if isinstance(extra, dict) else None
    return macs if isinstance(macs, dict) else {}
