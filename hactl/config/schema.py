"""The shape of cluster.yaml, and from it to the model (`hactl.model.cluster`).

Each model checks its own settings; the rules between several parts are in `crosscheck.py`. The descriptions here are
those of docs/configuration.md and of the JSON Schema.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import ConfigDict

from fencing.topology import Topology
from hactl.config.fencing import Fencing, NodeFencingSettings
from hactl.config.fields import (
    Duration,
    IpAddress,
    Name,
    Strict,
    needs_less_with_a_preset,
    setting,
)
from hactl.config.health import MOST as MOST_CHECKS
from hactl.config.health import HealthCheck
from hactl.config.hooks import MOST as MOST_HOOKS
from hactl.config.hooks import Hook
from hactl.config.placing import Amount, Attribute, Placed
from hactl.config.resources.probes import Probe
from hactl.config.resources.resource import Resource
from hactl.config.services.haproxy import Haproxy
from hactl.config.services.service import Service
from hactl.decide.timing import PROFILES, Profile
from hactl.model.cluster import ClusterSpec, GroupSpec, NodeSpec, Timing

# For its defaults.
_GROUP = GroupSpec("", ())


class TimingSettings(Strict):
    """The durations of the protocol: those of a profile, and single ones that override it."""

    profile: Profile = setting("the profile that gives the durations which are not set here", "default")
    heartbeat: Duration | None = setting("time between two renewals of a node's session", None, examples=["250ms"])
    suspect_after: Duration | None = setting(
        "a node that is silent for so long is suspected; >= 4 x heartbeat", None, examples=["1.5s"]
    )
    lease: Duration | None = setting(
        "how long a session lasts without renewal, >= stop_budget + 4 x heartbeat + 2 x etcd_election",
        None,
        examples=["3.75s"],
    )
    stop_budget: Duration | None = setting(
        "how long before the end of its lease a node kills the exclusive resources that still run",
        None,
        examples=["750ms"],
    )
    self_fence_lead: Duration | None = setting(
        "how long before the end of its lease a node that could not kill everything fences itself",
        None,
        examples=["250ms"],
    )
    etcd_election: Duration | None = setting(
        "etcd's own `--election-timeout`, the same on all its members", None, examples=["1s"]
    )

    def spec(self) -> Timing:
        """The durations, those of the profile where none is given."""
        given = self.model_dump(exclude={"profile"}, exclude_none=True)
        return replace(PROFILES[self.profile], **{f"{name}_ms": value for name, value in given.items()})


class NodeSettings(Strict):
    """A node of the cluster."""

    name: Name = setting("the node's name, as in its node.toml", examples=["n1"])
    address: IpAddress = setting("the IP address at which the other nodes reach it", examples=["10.0.0.11"])
    attributes: dict[Name, Attribute] = setting(
        "what expressions of groups (`where`, `prefers`) ask for", {}, examples=[{"rack": "a", "ssd": True}]
    )
    capacity: dict[Name, Amount] = setting(
        "how much it has of what groups need, in whatever unit", {}, examples=[{"memory": 64}]
    )
    fencing: NodeFencingSettings | None = setting(
        "how the node is made certainly off; without it only a reboot, its own stop, or `hactl fence confirm` makes it "
        "safe",
        None,
    )

    def spec(self) -> NodeSpec:
        """The node of the model; its fencing is in the cluster's topology."""
        attributes = ((name, float(value) if type(value) is int else value) for name, value in self.attributes.items())
        return NodeSpec(self.name, self.address, tuple(attributes), tuple(self.capacity.items()))


class Group(Placed):
    """A group runs on one node at a time. Its resources start in order, and stop in reverse order; addresses that stand
    next to each other in the list start together, and stop together."""

    model_config = ConfigDict(json_schema_extra=needs_less_with_a_preset)
    name: Name = setting("unique; default: the name of its preset", examples=["database"])
    preset: Name | None = setting(
        "the preset to begin with, see [presets](presets.md); all other settings here override it",
        None,
        examples=["cinder-volume"],
    )
    resources: list[Resource] = setting("its resources, in the order in which they start", min_length=1)
    fencing: Literal["lease", "required"] = setting(
        "when another node takes the group over from a silent one: `lease`: when the lease is over; `required`: when "
        "the node is known to be stopped",
        _GROUP.fencing,
    )
    nodes: list[Name] = setting("the nodes that may run it, the preferred one first; empty: all nodes", [])
    overlap: bool = setting(
        "whether a planned move starts it on the new node before it stops it on the old one; addresses only", False
    )
    restarts: int = setting("how often a failed resource is restarted before the group moves", _GROUP.restarts, ge=0)
    failure_expiry: Duration = setting(
        "how long a node on which it failed is avoided; longer while there is a node that was not tried",
        _GROUP.failure_expiry_ms,
    )
    on_stop_failure: Literal["block", "self-fence", "fence"] = setting(
        "if a stop fails while the lease is valid: `block`: wait for an operator; `self-fence`: restart the node, "
        "once; then the group waits for `hactl group cleanup`; `fence`: have the other nodes fence this one by its "
        "devices, once until `hactl group cleanup`; the group starts elsewhere then",
        _GROUP.on_stop_failure,
    )
    enabled: bool = setting("`false`: the group is stopped and runs nowhere", _GROUP.enabled)
    probes: list[Probe] = setting(
        "checks of the group's address as a client sees it: the other nodes ask it; a failure of the group when none "
        "of them reaches it any more",
        [],
    )
    moves_limit: int = setting(
        "a group that its failures moved so often within `moves_window` is held: it stays where it is, and is "
        "restarted there every 30s, until `hactl group cleanup`, or until it has run well for `moves_window`",
        _GROUP.moves_limit,
        ge=1,
        le=1000,
    )
    moves_window: Duration = setting("the time in which these moves are counted", _GROUP.moves_window_ms)

    def spec(self) -> GroupSpec:
        """The group of the model."""
        return GroupSpec(
            name=self.name,
            resources=tuple(resource.spec() for resource in self.resources),
            fencing=self.fencing,
            nodes=tuple(self.nodes),
            overlap=self.overlap,
            restarts=self.restarts,
            failure_expiry_ms=self.failure_expiry,
            on_stop_failure=self.on_stop_failure,
            enabled=self.enabled,
            placing=self.placing(),
            probes=tuple(probe.spec() for probe in self.probes),
            moves_limit=self.moves_limit,
            moves_window_ms=self.moves_window,
        )


class Cluster(Strict):
    """cluster.yaml."""

    cluster: Name = setting("the cluster's name, as in every node.toml", examples=["demo"])
    timing: TimingSettings = setting("the durations of the protocol", TimingSettings())
    nodes: list[NodeSettings] = setting(
        "the cluster's nodes", min_length=1, examples=[[{"name": "n1", "address": "10.0.0.11"}]]
    )
    groups: list[Group] = setting("active/passive groups: each runs on one node at a time", [])
    services: list[Service] = setting("active/active services behind HAProxy, on every node", [])
    haproxy: Haproxy = setting("HAProxy's own settings, the same on every node", Haproxy())
    fencing: Fencing = setting("the devices that can switch nodes off", Fencing())
    health: list[HealthCheck] = setting("checks that every node makes of itself", [], max_length=MOST_CHECKS)
    hooks: list[Hook] = setting("commands and webhooks that get events", [], max_length=MOST_HOOKS)

    def spec(self) -> ClusterSpec:
        """The cluster of the model."""
        return ClusterSpec(
            name=self.cluster,
            nodes=tuple(node.spec() for node in self.nodes),
            groups=tuple(group.spec() for group in self.groups),
            services=tuple(service.spec(self.haproxy) for service in self.services),
            timing=self.timing.spec(),
            haproxy=self.haproxy.made(),
            fencing=Topology(
                devices={device.name: device.spec() for device in self.fencing.devices},
                nodes={node.name: node.fencing.spec() for node in self.nodes if node.fencing is not None},
                test_interval_ms=self.fencing.test_interval,
            ),
            hooks=tuple(hook.made() for hook in self.hooks),
            health=tuple(check.made() for check in self.health),
        )
