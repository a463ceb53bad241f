"""Services may name only what exists: sets of defaults, other services, groups, nodes, userlists, their own binds."""

from __future__ import annotations

from collections.abc import Iterator

from hactl.config.errors import KeyPath, suggest
from hactl.config.parts import GroupPart, Parts
from hactl.config.presets import find
from hactl.config.rules.findings import Finding, twice
from hactl.config.services.service import Service
from hactl.haproxy.diff.parse import sections
from hactl.haproxy.render.global_sections import EXPORTER
from hactl.haproxy.render.service import FRONT, OWN

# The sections that have servers, by which other sections can be led to them.
_WITH_SERVERS = frozenset({"listen", "backend"})


def reference_findings(parts: Parts) -> Iterator[Finding]:
    """Names of things that do not exist, and names that are used twice."""
    yield from _reserved(parts)
    for path, service in parts.services:
        yield from _defaults(parts, path, service)
        yield from _servers(parts, path, service)
        yield from _group(parts, path, service)
        yield from _backends(parts, path, service)
        yield from _userlist(parts, path, service)
        if service.probe and service.probe.bind and service.probe.bind not in [bind.address for bind in service.binds]:
            known = [bind.address for bind in service.binds]
            yield Finding((*path, "probe", "bind"), f"`{service.probe.bind}` is none of `binds`", suggest("", known))


def _reserved(parts: Parts) -> Iterator[Finding]:
    for path, service in parts.services:
        if service.name == EXPORTER:
            yield Finding(
                (*path, "name"), f"`{EXPORTER}` is what HAProxy's own metrics are called", "call it otherwise"
            )
    fronts = {service.name + FRONT for _, service in parts.services if service.kind == "split"}
    for path, service in parts.services:
        if service.name in fronts:
            problem = f"`{service.name}` is the frontend of service `{service.name.removesuffix(FRONT)}`"
            yield Finding((*path, "name"), problem, "call one of them otherwise")
    if OWN in parts.haproxy.defaults:
        hint = "call it otherwise, or put lines into `haproxy.extra_defaults`"
        yield Finding(("haproxy", "defaults", OWN), f"`{OWN}` is the built-in set's name", hint)


def _defaults(parts: Parts, path: KeyPath, service: Service) -> Iterator[Finding]:
    known = list(parts.haproxy.defaults)
    if service.defaults and service.defaults not in known:
        hint = suggest(service.defaults, known) if known else "add it to `haproxy.defaults`"
        yield Finding((*path, "defaults"), f"there is no set of defaults named `{service.defaults}`", hint)


def _servers(parts: Parts, path: KeyPath, service: Service) -> Iterator[Finding]:
    """Every server has a name of its own, and is on a node that is there."""
    if service.nodes and not service.members:
        yield Finding((*path, "nodes"), "has `nodes` and `members: false`", "leave out one of them")
    members = (service.nodes or parts.node_names) if service.members and service.kind != "frontend" else []
    listed = [((*path, "servers", index), server) for index, server in enumerate(service.servers)]
    for here, server in listed:
        if server.name in members:
            yield Finding((*here, "name"), f"node `{server.name}` is a server of that name", "call this one otherwise")
        if server.node and server.node not in parts.node_names:
            hint = suggest(server.node, parts.node_names)
            yield Finding((*here, "node"), f"`{server.node}` is no node of this cluster", hint)
    yield from twice(
        (((*here, "name"), server.name, f"a server named `{server.name}`") for here, server in listed),
        "give every server a name of its own",
    )


def _group(parts: Parts, path: KeyPath, service: Service) -> Iterator[Finding]:
    """The owner of the group can be any of its nodes, and each needs a server; what runs on every node has no owner."""
    if not service.group:
        return
    known = [group.name for group in parts.groups]
    group = next((group for group in parts.groups if group.name == service.group), None)
    if group is None:
        hint = suggest(service.group, known) if known else "add the group"
        if (preset := find(service.group)) and preset.kind == "group":
            hint = f"add `- {{preset: {service.group}}}` to `groups`"
        yield Finding((*path, "group"), f"there is no group `{service.group}`", hint)
        return
    clone = group.settings is not None and group.settings.run == "all"
    if clone and service.writer:
        yield Finding(
            (*path, "writer"),
            f"group `{group.name}` has `run: all`: it has no owner that could be the writer",
            "leave out `writer`: the servers follow the group's instances then; or name a group that runs on one node",
        )
    elif clone:
        yield from _instances(parts, path, service, group)
    elif not service.writer:
        yield Finding(
            (*path, "group"),
            f"group `{group.name}` runs on one node at a time",
            "add `writer: elected`: its owner is the only server in use then; or name a group with `run: all`",
        )
    else:
        yield from _owners(parts, path, service, group)


def _instances(parts: Parts, path: KeyPath, service: Service, group: GroupPart) -> Iterator[Finding]:
    """A server on a node where the group never runs would never get connections."""
    allowed = group.settings.nodes if group.settings else []
    without = [name for name in _served(parts, service) if allowed and name in parts.node_names and name not in allowed]
    if without:
        yield Finding(
            (*path, "group"),
            f"group `{group.name}` never runs on {', '.join(without)}, which has a server here: it would never be used",
            "leave these out of `nodes` here, or add them to the group's `nodes`",
        )


def _served(parts: Parts, service: Service) -> list[str]:
    """The nodes that have a server."""
    members = (service.nodes or parts.node_names) if service.members else []
    return list(dict.fromkeys([*members, *(server.node for server in service.servers)]))


def _owners(parts: Parts, path: KeyPath, service: Service, group: GroupPart) -> Iterator[Finding]:
    places = (group.settings.nodes if group.settings else []) or parts.node_names
    served = _served(parts, service)
    if missing := [name for name in places if name not in served]:
        yield Finding(
            (*path, "group"),
            f"group `{group.name}` can be owned by {', '.join(missing)}, which has no server here: nothing would serve",
            "name these in `nodes` here, or leave them out of the group's `nodes`",
        )


def _backends(parts: Parts, path: KeyPath, service: Service) -> Iterator[Finding]:
    """HAProxy takes a condition of http for a frontend of mode tcp, but no servers of mode tcp for a frontend of mode
    http."""
    named = [((*path, "use_backend", place), rule.split()[0]) for place, rule in enumerate(service.use_backend) if rule]
    if service.default_backend:
        named.append(((*path, "default_backend"), service.default_backend))
    raw = raw_proxies(parts)
    services = {other.name: other for _, other in parts.services}
    known = [name for name, other in services.items() if other.kind != "frontend" and name != service.name]
    for here, name in named:
        if name.startswith("%[") or name in raw:
            continue
        target = services.get(name)
        if target is None:
            hint = suggest(name, [*known, *raw]) if known or raw else f"add a service `{name}` of kind backend"
            yield Finding(here, f"there is no service `{name}`", hint)
        elif target.kind == "frontend":
            yield Finding(here, f"service `{name}` is of kind frontend: it has no servers", "name one of kind backend")
        elif not target.enabled and service.enabled:
            yield Finding(here, f"service `{name}` has `enabled: false`", "enable it, or name another")
        elif mode_of(parts, service) == "http" and mode_of(parts, target) == "tcp":
            hint = "give both the same `mode`"
            yield Finding(here, f"service `{service.name}` has mode http, but `{name}` has mode tcp", hint)


def _userlist(parts: Parts, path: KeyPath, service: Service) -> Iterator[Finding]:
    known = list(parts.haproxy.userlists)
    if service.stats and service.stats.userlist and service.stats.userlist not in known:
        hint = suggest(service.stats.userlist, known) if known else "add it to `haproxy.userlists`"
        yield Finding((*path, "stats", "userlist"), f"there is no userlist `{service.stats.userlist}`", hint)


def raw_proxies(parts: Parts) -> list[str]:
    """The names of the proxies with servers in `haproxy.sections`."""
    written = [section for text in parts.haproxy.sections for section in sections(text)]
    return [section.name for section in written if section.kind in _WITH_SERVERS]


def mode_of(parts: Parts, service: Service) -> str:
    """The mode in force."""
    behind = parts.haproxy.defaults.get(service.defaults)
    return service.mode or (behind.mode if behind else None) or "tcp"
