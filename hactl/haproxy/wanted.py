"""The configuration that this node's HAProxy should run with: taken on the event loop, rendered beside it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_interface
from typing import NamedTuple

from hactl.haproxy.diff.parse import bound_addresses
from hactl.haproxy.render.document import render
from hactl.haproxy.routing import Routing
from hactl.haproxy.settings import HaproxySettings
from hactl.model.cluster import ClusterSpec
from hactl.model.resources import VipSpec


@dataclass(frozen=True, slots=True)
class Wanted:
    """The configuration at `revision`, and the state that the file depends on beside it."""

    cluster: ClusterSpec
    routing: Routing
    revision: int

    @property
    def grouped(self) -> bool:
        """Whether a group has HAProxy."""
        return self.cluster.balancer_group() is not None

    @property
    def manage_sysctl(self) -> bool:
        """Whether the kernel settings that HAProxy needs may be set."""
        return self.cluster.haproxy.manage_sysctl

    @property
    def without_writers(self) -> Wanted:
        """As it is kept for the start after a reboot: nobody is known to be the writer of anything then."""
        live = frozenset(node.name for node in self.cluster.nodes)
        return replace(self, routing=Routing(live, self.routing.drained))

    def is_kept_as(self, other: Wanted) -> bool:
        """Whether `other` is kept by the same file."""
        return self.cluster is other.cluster and self.routing.drained == other.routing.drained


class Rendered(NamedTuple):
    """The file, or why there is none (`problem`). `bound`: the groups of which it binds a VIP."""

    text: str
    problem: str = ""
    bound: frozenset[str] = frozenset()


def render_wanted(wanted: Wanted, node: str, settings: HaproxySettings) -> Rendered:
    """The file of `node`. Takes some ten milliseconds with hundreds of services."""
    try:
        text = render(wanted.cluster, wanted.routing, node, settings, wanted.revision)
    except ValueError as error:
        enabled = (service for service in wanted.cluster.services if service.options.enabled)
        binds = [bind for service in enabled for bind in service.binds]
        return Rendered("", str(error), bound_groups(wanted.cluster, binds))
    return Rendered(text, "", bound_groups(wanted.cluster, bound_addresses(text)))


def bound_groups(cluster: ClusterSpec, binds: Iterable[str]) -> frozenset[str]:
    """The groups of which a VIP is bound by HAProxy: whose clients are answered by that of the node that has the
    group. None where a group has HAProxy: its own resource then says how that is."""
    if cluster.balancer_group() is not None:
        return frozenset()
    bound = {_address(bind.rpartition(":")[0].rpartition("@")[2]) for bind in binds}
    return frozenset(
        group.name
        for group in cluster.groups
        for resource in group.resources
        if isinstance(resource, VipSpec) and not bound.isdisjoint({"", "*", _address(resource.options.address)})
    )


def _address(text: str) -> str:
    """One way to write each address; "*" for all of this machine."""
    try:
        address = ip_interface(text.strip("[]").partition("%")[0]).ip
    except ValueError:
        return text
    return "*" if address.is_unspecified else str(address)
