"""The rules between several parts of cluster.yaml: names, addresses, timings, collisions.

Each check yields findings with the path of the setting to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from ipaddress import ip_address, ip_interface

from hactl.config.errors import KeyPath, suggest
from hactl.config.parts import Parts, mappings, names
from hactl.config.rules.fencing import fencing_findings
from hactl.config.rules.findings import Finding, twice
from hactl.config.rules.groups import group_findings
from hactl.config.rules.haproxy_group import balancer_findings
from hactl.config.rules.health import health_findings
from hactl.config.rules.hooks import hook_findings
from hactl.config.rules.mounts import mount_findings
from hactl.config.rules.placing import placing_findings
from hactl.config.rules.promotion import promotion_findings
from hactl.config.rules.services import service_findings
from hactl.config.rules.vips import vip_findings
from hactl.decide import timing
from hactl.resources.ocf.environment import instance


def cross_check(parts: Parts) -> list[Finding]:
    """All findings."""
    checks: tuple[Callable[[Parts], Iterator[Finding]], ...] = (
        _names,
        _node_references,
        _addresses,
        _held_twice,
        _timing,
        vip_findings,
        group_findings,
        placing_findings,
        fencing_findings,
        service_findings,
        balancer_findings,
        hook_findings,
        mount_findings,
        health_findings,
        promotion_findings,
    )
    return [finding for check in checks for finding in check(parts)]


def _names(parts: Parts) -> Iterator[Finding]:
    lists: list[tuple[KeyPath, str]] = [(("nodes",), "node"), (("groups",), "group"), (("services",), "service")]
    lists += [(("fencing", "devices"), "device"), (("hooks",), "hook"), (("health",), "health check")]
    lists += [((*path, "resources"), "resource") for path, _ in mappings(parts.data, ("groups",))]
    for path, kind in lists:
        named = (
            ((*entry.path, "name"), entry.name, f"a {kind} named `{entry.name}`") for entry in names(parts.data, path)
        )
        yield from twice(named, f"give every {kind} a name of its own")


def _node_references(parts: Parts) -> Iterator[Finding]:
    """`nodes` of groups and services name nodes of the cluster, none twice."""
    known = parts.node_names
    for kind in ("groups", "services"):
        for path, mapping in mappings(parts.data, (kind,)):
            listed = mapping.get("nodes")
            given = [
                ((*path, "nodes", index), name)
                for index, name in enumerate(listed if isinstance(listed, list) else ())
                if isinstance(name, str)
            ]
            for here, name in given:
                if name not in known:
                    yield Finding(here, f"`{name}` is no node of this cluster", suggest(name, known))
            yield from twice(((here, name, f"node `{name}`") for here, name in given), "name it once")


def _addresses(parts: Parts) -> Iterator[Finding]:
    """Nobody else has an address: no other node, no other VIP."""
    held: list[tuple[KeyPath, Hashable, str]] = [
        ((*path, "address"), ip_address(node.address), f"address {node.address}") for path, node in parts.nodes
    ]
    for _, path, resource in parts.resources():
        if resource.vip is None:
            continue
        here, address = (*path, "vip", "address"), ip_interface(resource.vip.address).ip
        held.append((here, address, f"address {address}"))
        if address.is_link_local and address.version == 6 and resource.vip.interface is None:
            yield Finding(here, f"{address} is link-local, so it may be on any interface", "give `interface`, too")
    yield from twice(held, "give each an address of its own")


def _held_twice(parts: Parts) -> Iterator[Finding]:
    """A unit, a file, an agent's name belongs to one resource: two would start and stop it against each other."""
    held: list[tuple[KeyPath, Hashable, str]] = []
    for group, path, resource in parts.resources():
        if resource.systemd is not None:
            unit = resource.systemd.unit
            held.append(((*path, "systemd", "unit"), ("unit", unit), f"unit {unit}"))
        if resource.manifest is not None:
            files = resource.manifest.files(resource.name)
            held += [((*path, "manifest"), ("file", file), f"file {file}") for file in files]
        if resource.ocf is not None:
            called = instance(group.name, resource.name)
            held.append(((*path, "ocf"), ("instance", called), f"a resource that its agent knows as {called}"))
    yield from twice(held, "let one resource have it")


def _timing(parts: Parts) -> Iterator[Finding]:
    if parts.timing is not None:
        levels = [level for _, node in parts.nodes if node.fencing is not None for level in node.fencing.levels]
        watchdogs = timing.check_watchdog(parts.timing) if any(level.watchdog for level in levels) else []
        for problem in timing.check(parts.timing) + watchdogs:
            yield Finding(("timing", problem.setting), problem.problem, problem.hint)
