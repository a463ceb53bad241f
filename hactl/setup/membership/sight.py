"""Looks at etcd, the cluster, and the files of this machine: the facts for `steps`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from election.etcd.facts import EndpointFacts
from election.etcd.store import EtcdStore
from election.keys import Keys
from election.view import View
from hactl.admin.nodes import remembered
from hactl.config.document import read_stored
from hactl.config.errors import ConfigErrors
from hactl.config.etcd_access import open_etcd
from hactl.config.node import NodeConfig, load_node
from hactl.model.cluster import ClusterSpec
from hactl.setup.begin import read_made_bundle
from hactl.setup.bundle import Bundle
from hactl.setup.errors import RefusedError
from hactl.setup.etcdctl import Etcdctl
from hactl.setup.membership import configuration
from hactl.setup.membership.quorum import Members, members_of
from hactl.setup.membership.steps import Facts, NodeFacts
from hactl.setup.places import Places
from hactl.setup.plan import CLIENT_PORT, Change, Plan
from hactl.status.document import group_state

_LOOK_S = 2.0
_TIMEOUT_S = 5.0
# States in which a group is on its way.
_MOVING = ("starting", "stopping", "handoff", "unknown", "lost")


class Known(NamedTuple):
    """The cluster, as etcd has it."""

    view: View
    spec: ClusterSpec


def read_cluster(store: EtcdStore, cluster: str) -> Known:
    """Raises RefusedError where it cannot be read, StoreError."""
    view = View(Keys.of(cluster))
    view.load(store.snapshot(view.keys.prefix, timeout_s=_TIMEOUT_S))
    if view.config is None:
        raise RefusedError(f"etcd holds no cluster {cluster} yet: `hactl setup` goes on with it")
    try:
        return Known(view, read_stored(view.config.record, checked=False).spec)
    except ConfigErrors as error:
        raise RefusedError(f"the configuration in use cannot be read: {error}") from None


def look(plan: Plan, places: Places) -> Facts:
    """The facts. Raises RefusedError, ConfigErrors, StoreError."""
    config, change = load_node(Path(places.node_toml)), plan.change
    with closing(open_etcd(config)) as store:
        known = read_cluster(store, config.cluster)
    etcd, users = Members(), frozenset[str]()
    if plan.etcd is None:
        etcd = members(plan, config)
        users = frozenset(Etcdctl.admin(voters_of(etcd) or config.endpoints, places)("user", "list").split())
    names = [name for name in (change.host.name, change.old) if name] if change else []
    return Facts(
        members=etcd,
        users=users,
        bundle=change is not None and _made(change, places),
        configured=change is None or configuration.is_there(change, known.spec, places),
        nodes={name: node_facts(known, name) for name in names},
        stale=stale(plan, places),
    )


def members(plan: Plan, config: NodeConfig) -> Members:
    """etcd's members, each asked itself."""
    urls = dict.fromkeys(host.url(CLIENT_PORT) for host in plan.members)
    if plan.change and not plan.etcd:
        urls[plan.change.host.url(CLIENT_PORT)] = None
    facts = _ask(config, urls)
    others = {url: None for fact in facts for member in fact.members for url in member.urls if url not in urls}
    return members_of(_ask(config, {**urls, **others}) if others else facts)


def voters_of(members: Members) -> list[str]:
    """The endpoints of the members that answer requests: no learners."""
    return [url for member in members.voters if member.id in members.answering for url in member.urls[:1]]


def _ask(config: NodeConfig, urls: Iterable[str]) -> tuple[EndpointFacts, ...]:
    with closing(open_etcd(dataclasses.replace(config, endpoints=tuple(urls)))) as store:
        return store.look(_LOOK_S)


def node_facts(known: Known, name: str) -> NodeFacts:
    """A node, as the cluster knows it."""
    view, spec = known
    session, fence = view.sessions.get(name), view.fences.get(name)
    runs = [
        group for group, owner in view.groups.items() if any(runner.node == name for runner in owner.record.runners)
    ]
    moving = [group.name for group in spec.exclusive if group.enabled and group_state(view, group) in _MOVING]
    return NodeFacts(
        alive=session is not None or view.bad_node(name) is not None,
        standby=name in view.standby,
        unsafe=session is None and fence is not None and fence.record.state != "safe",
        busy=tuple(sorted({*runs, *moving})),
        machine_id=session.record.machine_id if session else "",
        remembered=bool(remembered(view, name)),
    )


def _made(change: Change, places: Places) -> bool:
    bundle = read_made_bundle(places, change.host)
    return bundle is not None and bundle.made_at >= change.at


def stale(plan: Plan, places: Places) -> tuple[str, ...]:
    """The machines whose join files say something else of etcd than what is now: its endpoints, or, for a restore, its
    members' addresses."""
    made = {host: read_made_bundle(places, host) for host in plan.hosts}
    return tuple(host.name for host, bundle in made.items() if bundle and _is_stale(bundle, plan))


def _is_stale(bundle: Bundle, plan: Plan) -> bool:
    if bundle.node and bundle.node.endpoints != plan.endpoints(bundle.host):
        return True
    now = {member.address for member in plan.members}
    return bundle.etcd is not None and {member.address for member in bundle.etcd.members} != now
