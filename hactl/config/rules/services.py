"""The rules between several services, or services and other parts of cluster.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_interface
from typing import NamedTuple

from hactl.config.errors import KeyPath, closest, show_path
from hactl.config.fields import Address
from hactl.config.parts import Parts, mapping_at
from hactl.config.rules.findings import Finding
from hactl.config.rules.service_references import reference_findings
from hactl.config.services.fields import Socket, socket_of
from hactl.config.services.modes import mode_findings
from hactl.config.services.service import Service


def service_findings(parts: Parts) -> Iterator[Finding]:
    """The problems of services together, and warnings about them."""
    yield from _missing(parts)
    yield from _binds(parts)
    yield from _bind_addresses(parts)
    yield from _own_ports(parts)
    yield from reference_findings(parts)
    yield from mode_findings(parts)


def _missing(parts: Parts) -> Iterator[Finding]:
    """The settings that a service of its kind requires. A port that is forgotten is not taken for that of the bind."""
    known = list(Service.model_fields)
    for path, service in parts.services:
        given = mapping_at(parts.data, path)
        given |= {closest(key, known): given[key] for key in given if key not in Service.model_fields}
        if service.kind != "backend" and not given.get("binds"):
            yield Finding((*path, "binds"), "is missing", 'such as `binds: ["10.0.0.30:5000"]`')
        if service.kind != "frontend" and service.members and "port" not in given:
            yield Finding((*path, "port"), "is missing", "such as `port: 5000`; 0 is the port of the `bind`")


def all_binds(parts: Parts) -> Iterator[tuple[KeyPath, str, Socket]]:
    """Place, text and meaning of each `bind` on an IP address of the services that are enabled."""
    for path, service in parts.services:
        for index, bind in enumerate(service.binds if service.enabled else ()):
            socket = socket_of(bind.address)
            if socket is not None:
                yield (*path, "binds", index), bind.address, socket


class _Listener(NamedTuple):
    """Where a service itself listens on a node."""

    service: str
    node: str
    address: Address
    port: int


def _listeners(parts: Parts) -> list[_Listener]:
    addresses = {node.name: ip_address(node.address) for _, node in parts.nodes}
    listeners = []
    for _, service in parts.services:
        if not service.members or service.kind == "frontend":
            continue
        names = [name for name in addresses if not service.nodes or name in service.nodes]
        sockets = [socket_of(bind.address) for bind in service.binds] if not service.port else []
        ports = [service.port] if service.port else [socket.first for socket in sockets if socket is not None]
        listeners += [_Listener(service.name, name, addresses[name], port) for name in names for port in ports]
    return listeners


def _binds(parts: Parts) -> Iterator[Finding]:
    """No two sockets on one address and port: neither two of HAProxy's, nor HAProxy's and a service's own."""
    listeners = _listeners(parts)
    earlier: list[tuple[KeyPath, str, Socket]] = []
    for path, bind, socket in all_binds(parts):
        for other_path, other, other_socket in earlier:
            if socket.meets(other_socket):
                yield Finding(
                    path, f"{bind} collides with {other}: {show_path(other_path)}", "give it another address or port"
                )
                break
        earlier.append((path, bind, socket))
        taken = next((listener for listener in listeners if socket.takes(listener.address, listener.port)), None)
        if taken is not None:
            yield Finding(
                path,
                f"HAProxy would take {bind} from service `{taken.service}`, which itself listens on "
                f"{taken.address}:{taken.port} on {taken.node}",
                "bind the VIP alone, or another port",
            )


def _own_ports(parts: Parts) -> Iterator[Finding]:
    """HAProxy's metrics and the peers have ports of each node's address."""
    own: list[tuple[KeyPath, int]] = []
    if parts.haproxy.exporter is not None:
        own.append((("haproxy", "exporter", "port"), parts.haproxy.exporter.port))
    if any(service.enabled and service.stick and service.stick.shared for _, service in parts.services):
        own.append((("haproxy", "peers_port"), parts.haproxy.peers_port))
    for path, port in own:
        yield from _taken(parts, path, port)
    if len({port for _, port in own}) < len(own):
        yield Finding(("haproxy", "peers_port"), "is the port of the metrics, too", "give it another port")


def _taken(parts: Parts, path: KeyPath, port: int) -> Iterator[Finding]:
    listeners = _listeners(parts)
    for _, node in parts.nodes:
        address = ip_address(node.address)
        taken = [show_path(other) for other, _, socket in all_binds(parts) if socket.takes(address, port)]
        taken += [
            f"service `{listener.service}`"
            for listener in listeners
            if (listener.node, listener.port) == (node.name, port)
        ]
        if taken:
            yield Finding(path, f"{node.address}:{port} is taken: {taken[0]}", "give it another port")
            return


def _bind_addresses(parts: Parts) -> Iterator[Finding]:
    known: set[Address] = {ip_address(node.address) for _, node in parts.nodes}
    known |= {ip_interface(resource.vip.address).ip for _, _, resource in parts.resources() if resource.vip is not None}
    for path, bind, socket in all_binds(parts):
        if not socket.address.is_unspecified and socket.address not in known:
            yield Finding(
                path,
                f"{bind} is on no VIP and no node's address of this cluster",
                "see that it is meant",
                refused=False,
            )
