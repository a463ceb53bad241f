"""Warnings about services, as the balancers of the live nodes see them. Pure: from the status document alone.

A fault that hundreds of services have in common is said once: a dead machine is one thing to look at, not two hundred.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from hactl.status.agreement import DISAGREE, says, words

Warning_ = tuple[str, str, str]

# So many services are named, the rest counted.
_NAMED = 3

_NETWORK = "look at the network between them and it, and at firewalls"


def service_warnings(document: dict[str, Any]) -> Iterator[Warning_]:
    """Level, what, what to do."""
    yield from _balancers(document)
    services = [service for service in document["services"] if service["enabled"]]
    yield from _writers(document, services)
    yield from _without_server(services)
    yield from _on_last(services)
    yield from _down(services)
    yield from _disagreements(services)
    yield from _probes(services)


def _balancers(document: dict[str, Any]) -> Iterator[Warning_]:
    silent = []
    for balancer in document["balancers"]:
        if not balancer["live"] or not balancer["wanted"]:
            continue
        node, error = balancer["node"], balancer["error"]
        if not balancer["told"]:
            silent.append(node)
        elif not balancer["running"]:
            text = f"HAProxy does not run on {node}" + (f": {error}" if error else "")
            yield "error", text, f"see `hactl events`, and the daemon's log on {node}"
        elif "did not answer" in error:
            text = f"HAProxy on {node} hangs: {error}"
            yield "error", text, f"wait: it is killed and started again; if it stays so, see the daemon's log on {node}"
        elif error:
            todo = "it serves with what it had; it is tried again by itself, or fix cluster.yaml and apply it"
            yield "error", f"HAProxy on {node} does not run as configured: {error}", todo
    if silent:
        text = f"the state of the servers as HAProxy on {', '.join(silent)} sees it is not known"
        yield "notice", text, "wait, or see the daemons' log there"


def _writers(document: dict[str, Any], services: list[dict[str, Any]]) -> Iterator[Warning_]:
    groups = {group["name"]: group for group in document["groups"]}
    for service in services:
        if service["writer"] != "":
            continue
        state = groups.get(service["group"], {}).get("state", "in no configuration")
        text = f"service {service['name']} has no writer: no node owns group {service['group']} ({state})"
        yield "error", text, f"see what is said of group {service['group']}"


def _without_server(services: list[dict[str, Any]]) -> Iterator[Warning_]:
    unserved: dict[tuple[str, ...], list[str]] = {}
    for service in services:
        in_use = _in_use(service)
        without = tuple(name for name, servers in in_use.items() if not servers)
        if without and service["writer"] != "":
            unserved.setdefault(() if len(without) == len(in_use) else without, []).append(service["name"])
    for balancers, names in unserved.items():
        where = f" as seen from {' and '.join(balancers)}" if balancers else ""
        yield "error", f"{_services(names)} no server left{where}", "look at the service on its nodes"


def _on_last(services: list[dict[str, Any]]) -> Iterator[Warning_]:
    """Where one server is left of several. One that was elected, here or by the service itself, is not the last of
    several."""
    alone: dict[str, list[str]] = {}
    for service in services:
        left = {tuple(servers) for servers in _in_use(service).values()}
        last = left.pop() if len(left) == 1 else ()
        elected = service["writer"] is not None or service["role"]
        if len(last) == 1 and len(service["servers"]) > 1 and not elected:
            alone.setdefault(last[0], []).append(service["name"])
    for server, names in alone.items():
        yield "warning", f"{_services(names)} one server left, {server}", "bring the others back before anything else"


def _down(services: list[dict[str, Any]]) -> Iterator[Warning_]:
    """Servers that all find down, while there are others. Those of a node that is gone are not mentioned: the node
    is."""
    down: dict[tuple[str, str], dict[str, str]] = {}
    for service, server in _servers(services):
        missed = server["state"] == "down" and server["live"] is not False and not _has_another_role(service, server)
        if missed and any(_in_use(service).values()):
            down.setdefault((server["name"], words(server)), {})[service["name"]] = server["address"]
    for (name, why), addresses in down.items():
        text = f"server {name} of {_list(addresses)} is down: {why}"
        yield "warning", text, f"look at it: {_list(dict.fromkeys(addresses.values()))}"


def _has_another_role(service: dict[str, Any], server: dict[str, Any]) -> bool:
    """It answers, but the role that the check asks for is another server's: as it is meant to be."""
    checks = [balancer["check"] for balancer in server["balancers"].values() if balancer["word"] == "down"]
    return bool(service["role"]) and all(check.startswith("L7") for check in checks)


def _disagreements(services: list[dict[str, Any]]) -> Iterator[Warning_]:
    disputed: dict[tuple[str, str], list[str]] = {}
    for service, server in _servers(services):
        if server["state"] == DISAGREE:
            disputed.setdefault((server["name"], says(server, ", ")), []).append(service["name"])
    for (name, statements), names in disputed.items():
        yield "warning", f"balancers disagree on server {name} of {_list(names)}: {statements}", _NETWORK


def _probes(services: list[dict[str, Any]]) -> Iterator[Warning_]:
    for service in services:
        probe = service["probe"]
        if probe is None:
            continue
        name, failed = service["name"], _failed(probe)
        if not probe["target"]:
            todo = "give it a bind on a VIP, or name one: `probe: {bind: ADDRESS:PORT}`"
            yield "warning", f"service {name} is not probed: it has no bind on a VIP", todo
        elif failed:
            level = "error" if probe["outcome"] == "failed" else "warning"
            detail = probe["nodes"][failed[0]]["detail"]
            text = f"service {name}: the probe through {probe['target']} fails from {' and '.join(failed)}: {detail}"
            yield level, text, "look at its servers, and at who has the address"


def _failed(probe: dict[str, Any]) -> list[str]:
    return [name for name, result in probe["nodes"].items() if result["outcome"] == "failed"]


def _in_use(service: dict[str, Any]) -> dict[str, list[str]]:
    """The servers that get connections, by balancer."""
    balancers = dict.fromkeys(name for server in service["servers"] for name in server["balancers"])
    return {
        name: [server["name"] for server in service["servers"] if _word(server, name) == "up"] for name in balancers
    }  # fmt: skip


def _word(server: dict[str, Any], balancer: str) -> str:
    return str(server["balancers"].get(balancer, {}).get("word", ""))


def _servers(services: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    return ((service, server) for service in services for server in service["servers"])


def _services(names: Iterable[str]) -> str:
    listed = list(names)
    return f"service {listed[0]} has" if len(listed) == 1 else f"services {_list(listed)} have"


def _list(names: Iterable[str]) -> str:
    listed = list(names)
    more = len(listed) - _NAMED
    shown = listed if more <= 1 else listed[:_NAMED]
    return ", ".join(shown) + (f" and {more} more" if more > 1 else "")
