"""The services' part of the status document: of each service its servers, and what each balancer thinks of them. Pure.

What the balancers say (`hactl.status.health`) counts of live nodes alone, and of those whose HAProxy runs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

from election.reading import ReadView
from hactl.decide import probing
from hactl.decide.routing import drained, following, owners
from hactl.model.cluster import ClusterSpec
from hactl.model.service import ServiceSpec
from hactl.status.agreement import agreed
from hactl.status.health import NodeHealth, ProbeHealth, ServerHealth, current

_WORDS = {"UP": "up", "no": "up", "DOWN": "down", "MAINT": "disabled", "DRAIN": "drained", "NOLB": "drained"}


class Server(NamedTuple):
    """A server as configured. `node`: the cluster's node that it is on, "" for none."""

    name: str
    node: str
    address: str


def servers_of(service: ServiceSpec, spec: ClusterSpec) -> list[Server]:
    """Those of a service, in the order in which HAProxy has them: nodes, then listed ones."""
    options, addresses = service.options, {node.name: node.address for node in spec.nodes}
    if options.kind == "frontend" or not options.enabled:
        return []
    members = (options.nodes or addresses) if options.members else ()
    servers = [Server(name, name, _endpoint(addresses.get(name, ""), service.port)) for name in members]
    for listed in options.servers:
        address = _endpoint(listed.address, listed.port or service.port)
        servers.append(Server(listed.name, listed.node, address))
    return servers


def with_roles(spec: ClusterSpec | None) -> frozenset[str]:
    """The services whose check asks for a role, which one server has."""
    return frozenset(service.name for service in spec.services if service.options.check.role) if spec else frozenset()


def word(server: ServerHealth) -> str:
    """HAProxy's treatment of it: `up`, `down`, `drained` (no new connections), `disabled`; else HAProxy's own word."""
    if server.up:
        return "up"
    text = _WORDS.get(server.status.split()[0] if server.status else "", server.status.lower())
    return "drained" if text == "up" else text


def balancer_status(
    view: ReadView, spec: ClusterSpec | None, me: str, health: Mapping[str, NodeHealth]
) -> list[dict[str, Any]]:  # fmt: skip
    """HAProxy on every configured node. `me`: the node that is asked. `wanted`: it is to run there; `told`: its node is
    live and says something."""
    if spec is None:
        return []
    documents = current(health, view, me)
    return [_balancer(view, spec, node.name, documents.get(node.name)) for node in spec.nodes]


def _balancer(view: ReadView, spec: ClusterSpec, node: str, document: NodeHealth | None) -> dict[str, Any]:
    told = document or NodeHealth(node, "")
    return {
        "node": node,
        "live": node in view.sessions,
        "wanted": _wanted(view, spec, node),
        "told": document is not None,
        "running": told.running,
        "version": told.version,
        "error": told.error,
        "at": told.at,
    }


def service_status(
    view: ReadView, spec: ClusterSpec, me: str, health: Mapping[str, NodeHealth]
) -> list[dict[str, Any]]:  # fmt: skip
    """The configured services. `me`: the node that is asked."""
    documents = {name: document for name, document in current(health, view, me).items() if document.running}
    return [_service(view, spec, service, documents.get(me), documents) for service in spec.services]


def _service(
    view: ReadView, spec: ClusterSpec, service: ServiceSpec, own: NodeHealth | None, documents: Mapping[str, NodeHealth]
) -> dict[str, Any]:
    group = service.elected_by
    writer = owners(view, (group,)).get(group, "") if group else None
    out = {place for _, place in drained(view, (service,))}
    away = {place for name, place in following(view, spec) if name == service.name} if service.follows else set()
    return {
        "name": service.name,
        "mode": service.mode,
        "binds": list(service.binds),
        "enabled": service.options.enabled,
        "writer": writer,
        "group": group,
        "role": service.options.check.role,
        "follows": service.follows,
        "servers": [
            {**_server(view, service, each, writer, out, own, documents), "away": bool(each.node) and each.node in away}
            for each in servers_of(service, spec)
        ],
        "probe": _probe(view, spec, service, documents),
    }


def _server(
    view: ReadView,
    service: ServiceSpec,
    server: Server,
    writer: str | None,
    out: Collection[str],
    own: NodeHealth | None,
    documents: Mapping[str, NodeHealth],
) -> dict[str, Any]:
    seen = {
        name: health for name, document in documents.items() if (health := document.server(service.name, server.name))
    }
    here = own.server(service.name, server.name) if own else None
    return {
        "name": server.name,
        "node": server.node,
        "address": server.address,
        "live": server.node in view.sessions if server.node else None,
        "drained": (server.node or server.name) in out,
        "writer": None if writer is None else server.node == writer and writer != "",
        "state": agreed({name: word(health) for name, health in seen.items()}),
        "sessions": sum(health.sessions for health in seen.values()),
        "haproxy": f"{here.status} {here.check}".strip() if here else None,
        "balancers": {name: {"word": word(health), **health.as_dict()} for name, health in seen.items()},
    }


def _probe(
    view: ReadView, spec: ClusterSpec, service: ServiceSpec, documents: Mapping[str, NodeHealth]
) -> dict[str, Any] | None:  # fmt: skip
    if service.options.probe is None:
        return None
    target = probing.target(service, spec)
    by = probing.probers(view, spec, target)
    probed: dict[str, ProbeHealth] = {
        name: documents[name].probes[service.name]
        for name in by
        if name in documents and service.name in documents[name].probes
    }
    return {
        "kind": service.options.probe.kind,
        "target": target,
        "by": by,
        "outcome": agreed({name: probe.outcome for name, probe in probed.items()}),
        "nodes": {name: asdict(probe) for name, probe in probed.items()},
    }


def _wanted(view: ReadView, spec: ClusterSpec, node: str) -> bool:
    if not spec.services:
        return False
    group = spec.balancer_group()
    return group is None or owners(view, (group.name,)).get(group.name) == node


def _endpoint(address: str, port: int) -> str:
    if not port or address.startswith(("/", "unix@", "abns@")):
        return address
    return f"[{address}]:{port}" if ":" in address and not address.startswith("[") else f"{address}:{port}"
