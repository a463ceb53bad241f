"""The `server` lines of a service: everything that HAProxy can be told without a reload stands here. Pure.

All configured nodes of a service are its servers, so that the file keeps its shape. The server of a node that is no
live member has the least weight: hardly any traffic goes there while another server is well, but if none is, it serves.
Nothing stronger, such as `disabled`, would be right: a daemon that is gone does not mean that the service is
(docs/protocol.md, *Guarantees*: L2), and when etcd is away no member is live, which must not take away every service.
Only HAProxy's checks decide whether a server answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hactl.haproxy.effective import OptionError
from hactl.haproxy.routing import Routing
from hactl.haproxy.words import endpoint, quoted
from hactl.model.service import WEIGHT, WEIGHT_NOT_LIVE, ServiceSpec
from hactl.model.service_parts import ListedServer


@dataclass(frozen=True, slots=True)
class Server:
    """One server. `weight`: None leaves it to HAProxy; `member`: it is a node of the cluster; `words`: those that
    stay the same."""

    name: str
    endpoint: str
    node: str
    member: bool
    weight: int | None
    disabled: bool
    words: str


def servers(service: ServiceSpec, addresses: Mapping[str, str]) -> tuple[Server, ...]:
    """The nodes, then those of the list. `addresses`: of all nodes. Raises OptionError."""
    options = service.options
    if options.kind == "frontend":
        return ()
    if unknown := [name for name in options.nodes if name not in addresses]:
        raise OptionError(f"service {service.name}: nodes: {', '.join(unknown)}: no such node in the cluster")
    weight = options.server.weight
    if weight is None and not options.defaults:
        weight = WEIGHT
    members = (options.nodes or addresses) if options.members else ()
    return (
        *(_member(name, addresses[name], weight, service) for name in members),
        *(_listed(server, weight, service) for server in options.servers),
    )


def server_line(server: Server, service: str, elected: str, routing: Routing) -> str:
    """The line with this routing. `elected`: the group whose owner alone is in use; "": all servers are."""
    weight = server.weight
    if server.member and server.node not in routing.live:
        weight = WEIGHT_NOT_LIVE
    if not elected and routing.is_drained(service, server.node or server.name):
        weight = 0
    words = f"server {server.name} {server.endpoint}"
    if weight is not None:
        words += f" weight {weight}"
    if server.disabled or (elected and (routing.owners or {}).get(elected) != server.node):
        words += " disabled"
    return words + server.words


def _member(name: str, address: str, weight: int | None, service: ServiceSpec) -> Server:
    cookie = f" cookie {name}" if service.options.cookie else ""
    weight = WEIGHT if weight is None else weight
    return Server(name, endpoint(address, service.port), name, True, weight, False, cookie)


def _listed(server: ListedServer, weight: int | None, service: ServiceSpec) -> Server:
    words = []
    if server.cookie or service.options.cookie:
        words.append(f"cookie {quoted(server.cookie or server.name)}")
    if server.backup:
        words.append("backup")
    if server.words:
        words.append(server.words)
    return Server(
        name=server.name,
        endpoint=endpoint(server.address, server.port or service.port),
        node=server.node,
        member=False,
        weight=weight if server.weight is None else server.weight,
        disabled=server.disabled,
        words="".join(f" {word}" for word in words),
    )
