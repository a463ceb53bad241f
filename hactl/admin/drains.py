"""`hactl service drain`: servers that get no new connections, and the old ones that are left. Calls block, and raise
RefusedError with nothing written, or StoreError.

A service whose writer is elected has one server in use, which changes with its group: it is not drained. Nor, when all
services of a node are, is one that has one server in use for its role.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from election.reading import ReadView
from election.records import Drain, RecordError
from election.store import Compare, Delete, KeyValue, Put, Store, Txn
from fencing.linux.clock import utc
from hactl.admin import health_store
from hactl.admin.errors import HarmError, NoSuchError, RefusedError
from hactl.admin.transaction import TIMEOUT_S, same_history, write
from hactl.config.errors import suggest
from hactl.decide.routing import ALL, drainable, drained
from hactl.model.cluster import ClusterSpec
from hactl.model.text import text_problem
from hactl.status.health import NodeHealth, ServerHealth, current
from hactl.status.services import servers_of

# How many other servers' drains a write depends on: etcd allows 128 compares.
_COMPARED = 100


class Server(NamedTuple):
    """A server that can be drained. `place`: its node; of one that is on no node, its name."""

    service: str
    name: str
    place: str


def servers(spec: ClusterSpec, service: str = ALL) -> Iterator[Server]:
    """Those of a service, or of all that are drained together."""
    for known in spec.services:
        if known.name == service or (service == ALL and drainable(known)):
            for server in servers_of(known, spec):
                yield Server(known.name, server.name, server.node or server.name)


def drain(
    store: Store,
    view: ReadView,
    spec: ClusterSpec | None,
    service: str,
    node: str,
    by: str,
    *,
    reason: str = "",
    force: bool = False,
) -> tuple[Drain, bool]:
    """Have the servers of `service` (`*`: of all) on `node` get no new connections; the request that is
    there now, and whether it is new. Refused, unless `force`, when a service would be left without a server in use."""
    if spec is None:
        raise NoSuchError(f"no service `{service}`: no configuration is known")
    _check(spec, service, node)
    if problem := text_problem(reason):
        raise NoSuchError(f"the reason {problem}")
    key = view.keys.drain(service, node)
    current, _ = store.get(key, timeout_s=TIMEOUT_S)
    if current is not None:
        return _request(current), False
    if not force and (left := _without(spec, view, _fresh(store, view), service, node)):
        raise HarmError(f"no other server of {', '.join(left)} is in use: draining {node} would end the service")
    request = Drain(by, utc(), reason)
    compares = (same_history(view), Compare(key, "mod", 0), *_as_seen(spec, view, service, node))
    write(store, Txn(compares, (Put(key, request.to_json()),)), f"what is drained of service {service}")
    return request, True


def undrain(store: Store, view: ReadView, spec: ClusterSpec | None, service: str, node: str) -> bool:
    """Withdraw the request; False: there was none."""
    key = view.keys.drain(service, node)
    request, _ = store.get(key, timeout_s=TIMEOUT_S)
    if request is None:
        if service != ALL and f"{ALL}/{node}" in view.drains:
            raise RefusedError(f"every service is drained on {node}: `hactl node online {node}`")
        if spec is not None:
            _check(spec, service, node)
        return False
    compares = (same_history(view), Compare(key, "mod", request.mod_revision))
    write(store, Txn(compares, (Delete(key),)), f"what is drained of service {service}")
    return True


def progress(store: Store, view: ReadView, spec: ClusterSpec | None, service: str, node: str) -> dict[str, Any]:
    """The progress of a drain: `drain` the request (None: there is none), `sessions` left on each balancer that has
    taken notice, `waiting` the live nodes whose balancer has not yet."""
    request, _ = store.get(view.keys.drain(service, node), timeout_s=TIMEOUT_S)
    here = [server for server in servers(spec, service) if server.place == node] if spec else []
    documents = _fresh(store, view)
    sessions: dict[str, int] = {}
    waiting = []
    for name in sorted(view.sessions) if here else ():
        health = documents.get(name)
        known = [state for server in here if health and (state := health.server(server.service, server.name))]
        if health is None or not all(map(_is_drained, known)):
            waiting.append(name)
        elif health.running:
            sessions[name] = sum(state.sessions for state in known)
    record = _request(request) if request else None
    return {
        "drain": {"by": record.by, "at": record.at, "reason": record.reason} if record else None,
        "sessions": sessions,
        "waiting": waiting,
    }


def _request(kv: KeyValue) -> Drain:
    """An unreadable request is a drain all the same: the key names the server."""
    try:
        return Drain.from_json(kv.value, kv.key)
    except RecordError:
        return Drain()


def _check(spec: ClusterSpec, service: str, node: str) -> None:
    """Raises NoSuchError, RefusedError."""
    services = {known.name: known.options for known in spec.services}
    if service != ALL and service not in services:
        raise NoSuchError(f"no service `{service}`; {suggest(service, list(services)) or 'there are none'}")
    if service != ALL and services[service].writer:
        raise RefusedError(
            f"service {service} has one server in use, its group's owner: to take it out of use "
            f"`hactl failover {services[service].group}`"
        )
    nodes = [known.name for known in spec.nodes]
    places = [server.place for server in servers(spec, service)]
    if node in places or (service == ALL and node in nodes):
        return
    if node in nodes:
        raise NoSuchError(f"service {service} has no server on {node}: its servers are on {', '.join(places)}")
    raise NoSuchError(f"no node `{node}`; {suggest(node, [*nodes, *places]) or 'there are none'}")


def _without(
    spec: ClusterSpec, view: ReadView, documents: Mapping[str, NodeHealth], service: str, node: str
) -> list[str]:
    """The services that have no server in use but those on `node`."""
    in_use: dict[str, set[str]] = {}
    out, nodes = drained(view, spec.services), [known.name for known in spec.nodes]
    for server in servers(spec, service):
        if (server.service, server.place) not in out and _in_use(server, view, documents, nodes):
            in_use.setdefault(server.service, set()).add(server.place)
    return [name for name, places in in_use.items() if places == {node}]


def _in_use(server: Server, view: ReadView, documents: Mapping[str, NodeHealth], nodes: Collection[str]) -> bool:
    """Whether it gets connections, as the balancers say; before they do, whether its node is live."""
    known = [state for health in documents.values() if (state := health.server(server.service, server.name))]
    if known:
        return any(state.up for state in known)
    return server.place in view.sessions or server.place not in nodes


def _fresh(store: Store, view: ReadView) -> dict[str, NodeHealth]:
    """The servers' states as the live nodes' balancers report them."""
    return current(health_store.read(store, view.keys, timeout_s=TIMEOUT_S), view)


def _is_drained(server: ServerHealth) -> bool:
    return server.weight == 0 or server.status.startswith("MAINT")


def _as_seen(spec: ClusterSpec, view: ReadView, service: str, node: str) -> list[Compare]:
    """That no other server of the service was drained meanwhile."""
    others = sorted({server.place for server in servers(spec, service)} - {node})
    pairs = dict.fromkeys(pair for other in others for pair in ((service, other), (ALL, other)))
    compares = [Compare(key := view.keys.drain(*pair), "mod", view.mod_of(key)) for pair in pairs]
    return compares[:_COMPARED]
