"""The screen of `hactl status`, from the status document, with the problems first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hactl.cli.output import Style, duration, shorten, table, wrap
from hactl.status.agreement import says, words
from hactl.status.clone_words import about_instance, at_rest

# A problem's text stands this far right of its severity.
_INDENT = 9


def render(document: dict[str, Any], style: Style) -> str:
    """The whole screen."""
    parts = [
        list(warning_lines(document["warnings"], style)),
        [shorten(line, style.width) for line in _title(document)],
        _nodes(document, style),
        _groups(document, style),
        _clones(document, style),
        _services(document, style),
        _fences(document, style),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def warning_lines(warnings: list[dict[str, str]], style: Style) -> Iterator[str]:
    """Each with its level, and what to do."""
    for warning in warnings:
        first, *further = wrap(warning["what"], style.width - _INDENT, "")
        yield style.paint(warning["level"].upper().ljust(_INDENT)) + first
        yield from (" " * _INDENT + line for line in further)
        if warning["do"]:
            yield from (" " * _INDENT + line for line in wrap(f"-> {warning['do']}", style.width - _INDENT, "   "))
    if not warnings:
        yield style.paint("ok".ljust(_INDENT)) + "nothing is wrong"


def _title(document: dict[str, Any]) -> list[str]:
    config, local = document["config"], document["local"]
    parts = [f"cluster {document['cluster']}", f"generation {document['generation']}"]
    parts.append(f"configuration {config['serial']} (revision {config['revision']})")
    if local:
        parts.append(f"asked {document['asked']}, its lease ends in {duration(local['lease_left_ms'])}")
    else:
        parts.append("read from etcd" if document["stale_ms"] is None else "kept on this node's disk")
    lines = ["   ".join(parts), *_etcd(document["etcd"] or {})]
    if document["stale_ms"] is not None and not document["revision"]:
        lines.append("nothing is known of the cluster: etcd has not answered this daemon yet, and nothing is kept here")
    elif document["stale_ms"] is not None:
        lines.append(f"what follows is as of {duration(document['stale_ms'])} ago")
    if local and (watchdog := local.get("watchdog")) and watchdog["armed"]:
        fed = duration(1000 * watchdog["last_fed_s"])
        lines.append(f"watchdog of {document['asked']} armed: {watchdog['timeout_s']} s, fed {fed} ago")
    return lines


def _etcd(etcd: dict[str, Any]) -> Iterator[str]:
    """etcd in one line, once its endpoints have answered."""
    answer = [endpoint for endpoint in etcd.get("endpoints", ()) if not endpoint["problem"]]
    if not answer:
        return
    members = len({endpoint["id"] for endpoint in answer})
    known = max(len(etcd["members"]), members)
    leader = next((endpoint["member"] or endpoint["endpoint"] for endpoint in answer if endpoint["leads"]), "")
    parts = [f"etcd {members} of {known} members", f"{leader} leads" if leader else "the leader is not among them"]
    parts.append(f"version {', '.join(sorted({endpoint['version'] for endpoint in answer}))}")
    largest = max(answer, key=lambda endpoint: int(endpoint["db_bytes"]))
    quota = f" of {largest['quota_bytes'] >> 20} MiB" if largest["quota_bytes"] else ""
    parts.append(f"database {largest['db_bytes'] / (1 << 20):.1f} MiB{quota}")
    yield "   ".join(parts)


def _nodes(document: dict[str, Any], style: Style) -> list[str]:
    rows = []
    for node in document["nodes"]:
        seen = "here" if node["me"] else f"{duration(node['silent_ms'])} ago" if node["silent_ms"] is not None else ""
        state = node["state"].replace("_", " ")
        runs = ", ".join([*node["runs"], *node.get("instances", ())])
        rows.append((node["name"], state, node["address"], node["version"], seen, runs))
    return table(("NODE", "STATE", "ADDRESS", "VERSION", "SEEN", "RUNS"), rows, style, painted=(1,))


def _groups(document: dict[str, Any], style: Style) -> list[str]:
    rows = []
    for group in document["groups"]:
        owner = group["owner"] or "-"
        if group["holders"]:
            owner += f" (+{','.join(group['holders'])})"
        epoch = f"{group['generation']}.{group['number']}" if group["epoch"] else "-"
        rows.append((group["name"], group["state"], owner, epoch, ", ".join(group["vips"]) or "-", _about(group)))
    return table(("GROUP", "STATE", "OWNER", "EPOCH", "VIPS", "RESOURCES"), rows, style, painted=(1,))


def _about(group: dict[str, Any]) -> str:
    if group["waiting"] and group["state"] != "running":
        return str(group["waiting"])
    if not group["owner"]:
        return ", ".join(resource["name"] for resource in group["resources"])
    return ", ".join(
        resource["name"] if resource["health"] == "running" else f"{resource['name']}: {resource['health'] or '?'}"
        for resource in group["resources"]
    )


def _clones(document: dict[str, Any], style: Style) -> list[str]:
    rows = [
        (clone["name"], clone["state"], f"{clone['running']} of {clone['wanted']}", _instances(clone))
        for clone in document.get("clones", ())
    ]
    return table(("ON EVERY NODE", "STATE", "RUNNING", "ON"), rows, style, painted=(1,))


def _instances(clone: dict[str, Any]) -> str:
    """Its nodes, those first on which it is not as it is to be, each with why."""
    words = [about_instance(instance) for instance in clone["nodes"] if not at_rest(instance)]
    away = [instance["node"] for instance in clone["nodes"] if instance["wanted"] and not instance["live"]]
    well = [known["node"] for known in clone["nodes"] if known["wanted"] and known["live"] and at_rest(known)]
    words += [f"{', '.join(away)}: away"] if away else []
    without = [
        f"not on {known['node']} ({known['why_not']})"
        for known in clone["nodes"]
        if not known["wanted"] and at_rest(known)
    ]
    return "; ".join([*words, *([", ".join(well)] if well else []), *without])


def _services(document: dict[str, Any], style: Style) -> list[str]:
    rows = []
    probed = any(service["probe"] for service in document["services"])
    for service in document["services"]:
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
    """The servers; a state that all share stands once."""
    states = [_about_server(server) for server in servers]
    names = [server["name"] for server in servers]
    if len(set(states)) == 1:
        return ", ".join(names) + (f": {'all ' if len(states) > 1 else ''}{states[0]}" if states[0] else "")
    return "; ".join(f"{name}: {words}" if words else name for name, words in zip(names, states, strict=True))


def _about_server(server: dict[str, Any]) -> str:
    """The balancers' verdict on a server; empty where all is well."""
    parts = [part for part in (_word(server), "drained" if _to_be_drained(server) else "") if part]
    if server["live"] is False:
        parts.append("node is not live")
    if server["sessions"]:
        parts.append(f"{server['sessions']} sessions")
    return ", ".join(parts)


def _to_be_drained(server: dict[str, Any]) -> bool:
    return bool(server["drained"] or server.get("away")) and server["state"] != "drained"


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


def _fences(document: dict[str, Any], style: Style) -> list[str]:
    rows = []
    for fence in sorted(document["fences"], key=lambda fence: (fence["state"] == "safe", fence["node"])):
        reason = f"{fence['evidence']}, by {fence['by']}" if fence["evidence"] else f"deposed by {fence['by']}"
        left = fence["lease_left_ms"]
        lease = "" if left is None or fence["state"] == "safe" else "over" if left <= 0 else f"over in {duration(left)}"
        rows.append((fence["node"], fence["state"], lease, reason))
    return table(("LAST DEAD SESSION OF", "STATE", "LEASE", "HOW"), rows, style, painted=(1,))
