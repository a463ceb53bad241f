"""The cluster as configured, in the form in which everything but the configuration reader uses it.

`hactl.config` makes these from cluster.yaml; times are in milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from fencing.topology import Topology
from hactl.model.haproxy import GlobalOptions
from hactl.model.health import CheckSpec
from hactl.model.hooks import HookSpec
from hactl.model.options import LATER
from hactl.model.placing import Placing
from hactl.model.probes import HealthProbe
from hactl.model.resources import HaproxySpec, ResourceSpec, VipSpec
from hactl.model.service import ServiceSpec


@dataclass(frozen=True, slots=True)
class Timing:
    """The durations of docs/protocol.md, *Timing*, in ms. `hactl.decide.timing` checks their sums."""

    heartbeat_ms: float = 250.0
    suspect_after_ms: float = 1500.0
    lease_ms: float = 3750.0
    stop_budget_ms: float = 750.0
    self_fence_lead_ms: float = 250.0
    etcd_election_ms: float = 1000.0


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """An exclusive group: resources that are started in order on one node, and stopped in reverse.

    `nodes`: where it may run, best first (empty: all nodes, by their order in the configuration). `restarts`:
    how often a failed resource is restarted in place before the group moves. `failure_expiry_ms`: how long a
    node is avoided after that. `on_stop_failure`: what a stop that fails while the lease is fine leads to. `placing`:
    where it should run, and with what.
    `probes`: asked by the other nodes, of the group's address as a client sees it. `moves_limit`: so many moves by
    failures within `moves_window_ms`, and it is held where it is.
    """

    name: str
    resources: tuple[ResourceSpec, ...]
    fencing: Literal["lease", "required"] = "lease"
    nodes: tuple[str, ...] = ()
    overlap: bool = False
    restarts: int = 2
    failure_expiry_ms: float = 60_000.0
    on_stop_failure: Literal["block", "self-fence", "fence"] = "block"
    enabled: bool = True
    placing: Placing = field(default_factory=Placing)
    probes: tuple[HealthProbe, ...] = field(default=(), metadata=LATER)
    moves_limit: int = field(default=5, metadata=LATER)
    moves_window_ms: float = field(default=600_000.0, metadata=LATER)

    @property
    def first_vip(self) -> str:
        """Its first address, without the prefix; "" where it has none."""
        vips = (resource.options.address for resource in self.resources if isinstance(resource, VipSpec))
        return next(vips, "").partition("/")[0]


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A controller. `address` is what the others reach it by. `attributes`: for the expressions of groups, by name;
    `capacity`: how much it has of what groups need, by name."""

    name: str
    address: str
    attributes: tuple[tuple[str, str | float | bool], ...] = ()
    capacity: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class ClusterSpec:
    """The whole cluster. Without slots, for the indices, which are no fields: neither stored nor compared."""

    name: str
    nodes: tuple[NodeSpec, ...]
    groups: tuple[GroupSpec, ...] = ()
    services: tuple[ServiceSpec, ...] = ()
    timing: Timing = Timing()
    haproxy: GlobalOptions = field(default_factory=GlobalOptions)
    fencing: Topology = field(default_factory=Topology)
    hooks: tuple[HookSpec, ...] = ()
    health: tuple[CheckSpec, ...] = ()

    def address(self, name: str) -> str:
        """The node's address; "" for one that is not configured."""
        return next((node.address for node in self.nodes if node.name == name), "")

    def group(self, name: str) -> GroupSpec | None:
        """The group of this name."""
        return self._groups_by_name.get(name)

    @cached_property
    def _groups_by_name(self) -> dict[str, GroupSpec]:
        # Of two with the same name the first counts, as everywhere.
        return {group.name: group for group in reversed(self.groups)}

    def balancer_group(self) -> GroupSpec | None:
        """The group that HAProxy belongs to; None: it runs on every node."""
        having = (group for group in self.groups for resource in group.resources if isinstance(resource, HaproxySpec))
        return next(having, None)
