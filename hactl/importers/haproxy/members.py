"""Servers of a file that are the nodes of a cluster: a service with all of them has the nodes as its members."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from hactl.importers.haproxy.common import Settings
from hactl.importers.haproxy.notes import Note
from hactl.importers.haproxy.servers import plain_address

# The settings that a server may have and still be a member.
_MAY_HAVE = {"name", "address", "port", "weight", "cookie"}
# A server is chosen, or compared, by its name.
_ANY_SERVER = re.compile(r"\buse-server\s+\S*%\[")
_BY_NAME = re.compile(r"\bsrv_name\b|%s\b")
# Lines that stay as written: servers without the weight of 100 that members have, and a line that sends their names.
_OTHER_SERVERS = re.compile(r"(server|server-template)\s")
_TELLS_NAMES = re.compile(r"http-send-name-header\s")
_PER_SERVER = "a member has no settings of its own"


def adopt(document: Mapping[str, Any], nodes: Mapping[str, str]) -> list[Note]:
    """Make the nodes the members of the services whose servers they are; the changes, and the reasons where there are
    none. `nodes`: addresses by name, in the cluster's order."""
    by_address = {plain_address(address): name for name, address in nodes.items()}
    notes = []
    for service in document["services"]:
        servers = service.get("servers", [])
        names = [by_address.get(plain_address(server["address"])) for server in servers]
        known = [name for name in names if name is not None]
        if not known:
            continue
        intro = f"service {service['name']}: "
        if reason := _against(document, service, names):
            intro += f"{_nodes(known)} among its servers, and stay in the list: {reason}"
            notes.append(Note("hint", 0, intro))
            # So that they are drained with their nodes.
            for server, name in zip(servers, names, strict=True):
                server.update({"node": name} if name is not None else {})
            continue
        was = ", ".join(server["name"] for server in servers)
        cookies = "; their cookies have the nodes' names" if any("cookie" in server for server in servers) else ""
        _become_members(service, known, list(nodes))
        notes.append(Note("hint", 0, f"{intro}its servers ({was}) are its members now: {', '.join(known)}{cookies}"))
    return notes


def _nodes(known: list[str]) -> str:
    return f"node {known[0]} is" if len(known) == 1 else f"nodes {', '.join(known)} are"


def _against(document: Mapping[str, Any], service: Settings, names: list[str | None]) -> str:
    """Why the servers have to stay a list; "" when nothing is against members."""
    servers = service["servers"]
    if None in names:
        return "there are others, too"
    if len(set(names)) != len(names):
        return "a node is there twice"
    if any(server.get("backup") for server in servers):
        return "one is `backup`; see `writer: elected`"
    if any(not set(server) <= _MAY_HAVE for server in servers):
        return _PER_SERVER
    if len({server.get("weight") for server in servers}) > 1:
        return "their weights differ"
    if 0 in (servers[0].get("weight"), _weight(document, service)):
        return "their weight is 0, which keeps new connections away; a member's is never"
    ports = {server.get("port", 0) for server in servers}
    if len(ports) > 1 or not ports.copy().pop():
        return "they have no port in common"
    if any(_OTHER_SERVERS.match(line) for line in service.get("extra", ())):
        return "there are others, too, which stay as they are written"
    extra = (*service.get("extra", ()), *_behind(document, service).get("extra", ()))
    if any(_TELLS_NAMES.match(line) for line in extra):
        return "they are told their names (`http-send-name-header`)"
    return _named_elsewhere(document, service)


def _behind(document: Mapping[str, Any], service: Settings) -> Settings:
    """Its set of defaults."""
    return cast(Settings, document["haproxy"].get("defaults", {}).get(service.get("defaults"), {}))


def _weight(document: Mapping[str, Any], service: Settings) -> int | None:
    """The weight of the servers that have none of their own."""
    inherited = _behind(document, service).get("server", {}).get("weight")
    return cast("int | None", service.get("server", {}).get("weight", inherited))


def _named_elsewhere(document: Mapping[str, Any], service: Settings) -> str:
    """A rule that names a server would not find it: a member's name is its node's."""
    texts = list(_texts([document["services"], document["haproxy"]]))
    if any(_ANY_SERVER.search(text) for text in texts):
        return "a rule chooses servers by a name that it makes up"
    by_name = any(_BY_NAME.search(text) for text in texts)
    for server in service["servers"]:
        name = re.escape(server["name"])
        pattern = rf"\b(use-server|track)\s+(\S+/)?{name}(?![\w.-])|{re.escape(service['name'])}/{name}(?![\w.-])"
        pattern += rf"|\bsrv_\w+\({name}\)" + (rf"|(?<![\w.-]){name}(?![\w.-])" if by_name else "")
        if any(re.search(pattern, text) for text in texts):
            return f"`{server['name']}` is named by a rule, or by a server that tracks it"
    return ""


def _texts(value: Any) -> Iterator[str]:
    """All texts but names and addresses."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in ("name", "address", "defaults", "cookie"):
                yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _become_members(service: Settings, known: list[str], nodes: list[str]) -> None:
    port = service["servers"][0]["port"]
    at = list(service).index("members")
    settings = [(key, value) for key, value in service.items() if key not in ("members", "servers", "port")]
    settings[at:at] = [("port", port), *([("nodes", known)] if known != nodes else [])]
    service.clear()
    service.update(settings)


def same_servers(document: Mapping[str, Any]) -> list[Note]:
    """Without a cluster at hand: a hint where the same addresses serve several services."""
    by_addresses: dict[tuple[str, ...], list[str]] = {}
    for service in document["services"]:
        addresses = tuple(sorted({plain_address(server["address"]) for server in service.get("servers", ())}))
        if len(addresses) > 1:
            by_addresses.setdefault(addresses, []).append(service["name"])
    advice = "if these are the nodes of a cluster, import again with `--cluster cluster.yaml`: they become its members"
    return [
        Note("hint", 0, f"{', '.join(names)}: served by {', '.join(addresses)}; {advice}")
        for addresses, names in by_addresses.items()
    ]
