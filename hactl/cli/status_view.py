"""The screen of `hactl status`, from the status document, for somebody who was woken by it: what is wrong first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hactl.cli.output import Style, duration, shorten, table, wrap
from hactl.status.agreement import says, words

# What is wrong stands this far right of how bad it is.
_INDENT = 9


def render(found: dict[str, Any], style: Style) -> str:
    """The whole screen."""
    parts = [
        list(_warnings(found, style)),
        [shorten(line, style.width) for line in _title(found)],
        _nodes(found, style),
        _groups(found, style),
        _services(found, style),
        _fences(found, style),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _warnings(found: dict[str, Any], style: Style) -> Iterator[str]:
    for one in found["warnings"]:
        first, *rest = wrap(one["what"], style.width - _INDENT, "")
        yield style.paint(one["level"].upper().ljust(_INDENT)) + first
        yield from (" " * _INDENT + line for line in rest)
        if one["do"]:
            yield from (" " * _INDENT + line for line in wrap(f"-> {one['do']}", style.width - _INDENT, "   "))
    if not found["warnings"]:
        yield style.paint("ok".ljust(_INDENT)) + "nothing is wrong"


def _title(found: dict[str, Any]) -> list[str]:
    config, local = found["config"], found["local"]
    parts = [f"cluster {found['cluster']}", f"generation {found['generation']}"]
    parts.append(f"configuration {config['serial']} (revision {config['revision']})")
    if local:
        parts.append(f"asked {found['asked']}, its lease ends in {duration(local['lease_left_ms'])}")
    else:
        parts.append("read from etcd" if found["stale_ms"] is None else "kept on this node's disk")
    lines = ["   ".join(parts)]
    if found["stale_ms"] is not None and not found["revision"]:
        lines.append("nothing is known of the cluster: etcd has not answered this daemon yet, and nothing is kept here")
    elif found["stale_ms"] is not None:
        lines.append(f"what follows is as of {duration(found['stale_ms'])} ago")
    if local and (watchdog := local.get("watchdog")) and watchdog["armed"]:
        fed = duration(1000 * watchdog["last_fed_s"])
        lines.append(f"watchdog of {found['asked']} armed: {watchdog['timeout_s']} s, fed {fed} ago")
    return lines


def _nodes(found: dict[str, Any], style: Style) -> list[str]:
    rows = []
    for node in found["nodes"]:
        seen = "here" if node["me"] else f"{duration(node['silent_ms'])} ago" if node["silent_ms"] is not None else ""
        state = node["state"].replace("_", " ")
        rows.append((node["name"], state, node["address"], node["version"], seen, ", ".join(node["runs"])))
    return table(("NODE", "STATE", "ADDRESS", "VERSION", "SEEN", "RUNS"), rows, style, painted=(1,))


def _groups(found: dict[str, Any], style: Style) -> list[str]:
    rows = []
    for group in found["groups"]:
        owner = group["owner"] or "-"
        if group["holders"]:
            owner += f" (+{','.join(group['holders'])})"
        epoch = f"{group['generation']}.{group['number']}" if group["epoch"] else "-"
        rows.append((group["name"], group["state"], owner, epoch, ", ".join(group["vips"]) or "-", _about(group)))
    return table(("GROUP", "STATE", "OWNER", "EPOCH", "VIPS", "RESOURCES"), rows, style, painted=(1,))


def _about(group: dict[str, Any]) -> str:
    if group["waiting"] and group["state"] != "running":
        return str(group["waiting"])
    named = [
        one["name"] if one["health"] == "running" else f"{one['name']}: {one['health'] or '?'}"
        for one in group["resources"]
        if group["owner"]
    ]
    return ", ".join(named) or ", ".join(one["name"] for one in group["resources"])


def _services(found: dict[str, Any], style: Style) -> list[str]:
    rows = []
    probed = any(service["probe"] for service in found["services"])
    for service in found["services"]:
        row = [service["name"], _count(service), " ".join(service["binds"])]
        if probed:
            row.append(_probe(service["probe"]))
        rows.append((*row, _on(service["servers"])))
    head = ("SERVICE", "SERVERS", "BINDS", *(("PROBE",) if probed else ()), "ON")
    return table(head, rows, style, painted=(3,) if probed else ())


def _count(service: dict[str, Any]) -> str:
    servers = service["servers"]
    if not service["enabled"]:
        return "not enabled"
    if service["writer"] is not None:
        return f"writer {service['writer']}" if service["writer"] else "no writer"
    if not any(server["balancers"] for server in servers):
        return ""
    return f"{sum(server['state'] == 'up' for server in servers)} of {len(servers)} up"


def _on(servers: list[dict[str, Any]]) -> str:
    """The servers; where the same is to be said of all, it is said once."""
    states = [_about_server(server) for server in servers]
    names = [server["name"] for server in servers]
    if len(set(states)) == 1:
        return ", ".join(names) + (f": {'all ' if len(states) > 1 else ''}{states[0]}" if states[0] else "")
    return "; ".join(f"{name}: {words}" if words else name for name, words in zip(names, states, strict=True))


def _about_server(server: dict[str, Any]) -> str:
    """Nothing where all is well; else what the balancers think of it."""
    parts = [part for part in (_word(server), "drained" if _to_be_drained(server) else "") if part]
    if server["live"] is False:
        parts.append("node is not live")
    if server["sessions"]:
        parts.append(f"{server['sessions']} sessions")
    return ", ".join(parts)


def _to_be_drained(server: dict[str, Any]) -> bool:
    return bool(server["drained"]) and server["state"] != "drained"


def _word(server: dict[str, Any]) -> str:
    match server["state"]:
        case "up":
            return ""
        case "down":
            return f"down ({words(server)})"
        case "disagree":
            return says(server, ", ")
        case "unknown":
            return "not known"
        case "disabled" if server["writer"] is False:
            return "not the writer"
        case state:
            return str(state)


def _probe(probe: dict[str, Any] | None) -> str:
    if probe is None:
        return ""
    nodes, outcome = probe["nodes"], probe["outcome"]
    if outcome == "completed":
        return f"completed {duration(max(node['ms'] for node in nodes.values()))}"
    failed = [name for name, node in nodes.items() if node["outcome"] == "failed"]
    return f"failed from {', '.join(failed)}" if failed else "not yet" if probe["by"] else "by nobody"


def _fences(found: dict[str, Any], style: Style) -> list[str]:
    rows = []
    for fence in sorted(found["fences"], key=lambda one: (one["state"] == "safe", one["node"])):
        how = f"{fence['evidence']}, by {fence['by']}" if fence["evidence"] else f"deposed by {fence['by']}"
        left = fence["lease_left_ms"]
        lease = "" if left is None or fence["state"] == "safe" else "over" if left <= 0 else f"over in {duration(left)}"
        rows.append((fence["node"], fence["state"], lease, how))
    return table(("LAST DEAD SESSION OF", "STATE", "LEASE", "HOW"), rows, style, painted=(1,))
