"""The `server` lines of a service: what HAProxy can be told without a reload stands here. Pure.

All configured nodes of a service are its servers, so that the file keeps its shape. The server of a node that is no
live member has the least weight: hardly any traffic goes there while another server is well, but if none is, it
serves. Nothing stronger, such as `disabled`, would be right: a daemon that is gone does not mean that the service
is (docs/protocol.md, *Guarantees*: L2), and when etcd is away no member is live, which must not take away every
service. Whether a server answers is for HAProxy's checks to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hactl.haproxy.options import WEIGHT, WEIGHT_NOT_LIVE, ListedServer, OptionError, ServiceOptions, Situation
from hactl.haproxy.words import endpoint, quoted


@dataclass(frozen=True, slots=True)
class Server:
    """One server. `weight`: None leaves it to HAProxy; `member`: it is a node of the cluster; `rest`: the words that
    no situation changes."""

    name: str
    endpoint: str
    node: str
    member: bool
    weight: int | None
    disabled: bool
    rest: str


def servers(options: ServiceOptions, addresses: Mapping[str, str], where: str) -> tuple[Server, ...]:
    """The nodes, then those of the list. `addresses`: of all nodes. Raises OptionError."""
    if options.kind == "frontend":
        return ()
    if unknown := [one for one in options.nodes if one not in addresses]:
        raise OptionError(f"{where}: nodes: {', '.join(unknown)}: no such node in the cluster")
    weight = options.server.weight
    if weight is None and not options.defaults:
        weight = WEIGHT
    members = (options.nodes or addresses) if options.members else ()
    return (
        *(_member(name, addresses[name], weight, options) for name in members),
        *(_listed(one, weight, options) for one in options.servers),
    )


def server_line(server: Server, service: str, elected: str | None, situation: Situation) -> str:
    """The line in this situation. `elected`: the group whose owner alone is in use."""
    weight = server.weight
    if server.member and server.node not in situation.live:
        weight = WEIGHT_NOT_LIVE
    if not elected and situation.is_drained(service, server.node or server.name):
        weight = 0
    words = f"server {server.name} {server.endpoint}"
    if weight is not None:
        words += f" weight {weight}"
    if server.disabled or (elected and (situation.owners or {}).get(elected) != server.node):
        words += " disabled"
    return words + server.rest


def _member(name: str, address: str, weight: int | None, options: ServiceOptions) -> Server:
    cookie = f" cookie {name}" if options.cookie else ""
    return Server(
        name, endpoint(address, options.port), name, True, WEIGHT if weight is None else weight, False, cookie
    )


def _listed(server: ListedServer, weight: int | None, options: ServiceOptions) -> Server:
    words = []
    if server.cookie or options.cookie:
        words.append(f"cookie {quoted(server.cookie or server.name)}")
    if server.backup:
        words.append("backup")
    if server.words:
        words.append(server.words)
    return Server(
        name=server.name,
        endpoint=endpoint(server.address, server.port or options.port),
        node=server.node,
        member=False,
        weight=weight if server.weight is None else server.weight,
        disabled=server.disabled,
        rest="".join(f" {word}" for word in words),
    )
