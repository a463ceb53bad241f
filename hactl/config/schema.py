"""The shape of cluster.yaml, and from it to the model (`hactl.model.cluster`).

Each model checks what can be seen within itself; what concerns several parts is in `crosscheck.py`. The
descriptions here are those of docs/configuration.md and of the JSON Schema.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from fencing.topology import Topology
from hactl.config.fencing import Fencing, NodeFencingSettings
from hactl.config.fields import (
    Argv,
    Duration,
    FilePath,
    InterfaceName,
    IpAddress,
    Name,
    Part,
    Strict,
    UnitName,
    VipAddress,
    WholeDuration,
    WholeDurationOrZero,
    needs_less_with_a_preset,
    wrong,
)
from hactl.config.services.haproxy import Haproxy
from hactl.config.services.service import Service
from hactl.decide.timing import PROFILES, Profile
from hactl.model.cluster import ClusterSpec, GroupSpec, NodeSpec, Timing
from hactl.model.resources import (
    KINDS,
    SPECS,
    ExecOptions,
    HaproxySpec,
    InGroupOptions,
    Kind,
    ManifestOptions,
    ResourceSpec,
    SystemdOptions,
    VipOptions,
)

# For their defaults.
_VIP, _RESOURCE, _GROUP = VipOptions(""), HaproxySpec("", InGroupOptions()), GroupSpec("", ())

# An address or a file is there at once or not at all; a service may take its time.
_START_TIMEOUT_MS: dict[Kind, float] = {"vip": 5_000.0, "manifest": 5_000.0, "haproxy": 10_000.0}
_STOP_TIMEOUT_MS: dict[Kind, float] = {"vip": 5_000.0, "haproxy": 5_000.0}


class TimingSettings(Strict):
    """The durations of the protocol: a profile, and any single one over it."""

    profile: Profile = Field(default="default", description="where the durations that are not given here come from")
    heartbeat: Duration | None = Field(
        default=None, description="between two renewals of a node's session", examples=["250ms"]
    )
    suspect_after: Duration | None = Field(
        default=None, description="silence after which a node is suspected, >= 4 x heartbeat", examples=["1.5s"]
    )
    lease: Duration | None = Field(
        default=None,
        description="how long a session lasts without renewal, >= stop_budget + 4 x heartbeat + 2 x etcd_election",
        examples=["3.75s"],
    )
    stop_budget: Duration | None = Field(
        default=None, description="how long before its lease ends a node kills what is exclusive", examples=["750ms"]
    )
    self_fence_lead: Duration | None = Field(
        default=None,
        description="how long before its lease ends a node that could not kill everything takes itself down",
        examples=["250ms"],
    )
    etcd_election: Duration | None = Field(
        default=None, description="etcd's own `--election-timeout`, on all its members", examples=["1s"]
    )

    def spec(self) -> Timing:
        """The durations, those of the profile where none is given."""
        given = self.model_dump(exclude={"profile"}, exclude_none=True)
        return replace(PROFILES[self.profile], **{f"{name}_ms": value for name, value in given.items()})


class NodeSettings(Strict):
    """A controller."""

    name: Name = Field(description="as in its node.toml", examples=["n1"])
    address: IpAddress = Field(description="what the others reach it by", examples=["10.0.0.11"])
    fencing: NodeFencingSettings | None = Field(
        default=None,
        description="how it is made certainly off; without it only a reboot, its own stop, or `hactl fence confirm` "
        "makes it safe",
    )


class Vip(Part):
    """An address that moves with its group."""

    OF: ClassVar[Any] = VipOptions

    address: VipAddress = Field(
        description="address and length of its network, IPv4 or IPv6", examples=["10.0.0.30/24"]
    )
    interface: InterfaceName | None = Field(
        default=None, description="where to put it; without: the interface with an address in its network"
    )
    announce_burst: int = Field(
        default=_VIP.announce_burst, ge=1, le=100, description="announcements right after it was put up"
    )
    announce_burst_interval: WholeDuration = Field(
        default=_VIP.announce_burst_interval_ms, description="between two of them"
    )
    announce_interval: WholeDuration = Field(
        default=_VIP.announce_interval_ms, description="between later announcements"
    )
    drain: WholeDurationOrZero = Field(
        default=_VIP.drain_ms,
        description="how long, at most, the node that it leaves in a move with `overlap` goes on with its connections "
        "(and not longer than stop_timeout - 1s); 0s: not at all",
    )


class Systemd(Part):
    """A unit of systemd's."""

    OF: ClassVar[Any] = SystemdOptions

    unit: UnitName = Field(description="its full name; it must not be enabled", examples=["mariadb.service"])


class Exec(Part):
    """Commands of one's own: either `command`, or `start`, `stop` and `monitor`. Words in lists, no shell."""

    OF: ClassVar[Any] = ExecOptions

    command: Argv | None = Field(
        default=None,
        description="a process that stays in the foreground; hactl supervises it",
        examples=[["/usr/bin/agent", "--foreground"]],
    )
    ready: Argv | None = Field(default=None, description="for `command`: returns 0 once it is ready")
    start: Argv | None = Field(default=None, description="returns 0 when it runs; no error when it ran already")
    stop: Argv | None = Field(default=None, description="returns 0 when it is stopped; no error when it was already")
    kill: Argv | None = Field(
        default=None, description="stops it by the fastest way, within stop_budget - self_fence_lead; without: `stop`"
    )
    monitor: Argv | None = Field(
        default=None, description="returns 0 while it runs, 3 or 7 when it does not, anything else when it is not well"
    )
    cwd: FilePath | None = Field(default=None, description="the directory they run in")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        agent = [name for name in ("start", "stop", "kill") if getattr(self, name) is not None]
        if self.command is not None:
            if agent:
                hint = "give `command` alone, which is stopped by signals, or `start`, `stop` and `monitor`"
                raise wrong(f"has both `command` and `{agent[0]}`", hint)
            return self
        missing = [name for name in ("start", "stop", "monitor") if getattr(self, name) is None]
        if missing:
            raise wrong(f"lacks `{'`, `'.join(missing)}`", "give `command`, or `start`, `stop` and `monitor`")
        if self.ready is not None:
            raise wrong("has `ready` without `command`", "leave it out: `start` itself returns when it runs")
        return self


class Manifest(Part):
    """A file that is in a directory while owned: a static pod for the kubelet."""

    OF: ClassVar[Any] = ManifestOptions

    source: FilePath | None = Field(default=None, description="the file to copy, outside `directory`")
    content: str | None = Field(default=None, description="its text, in place of `source`")
    directory: FilePath = Field(default=ManifestOptions().directory, description="the kubelet's directory")
    name: Name | None = Field(default=None, description="its name there; without: that of `source` or the resource")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.source is None) == (self.content is None):
            given = "neither" if self.source is None else "both"
            raise wrong(f"has {given} of `source` and `content`", "give one of them")
        if self.source is not None and self.source.rpartition("/")[0] == self.directory.rstrip("/"):
            raise wrong(
                f"`source` {self.source} is in `directory`: it would run on every node",
                "keep the source elsewhere, such as /etc/kubernetes/hactl",
            )
        return self


class HaproxyInGroup(Part):
    """HAProxy, where the group is and nowhere else. Without such a resource it runs on every node."""

    OF: ClassVar[Any] = InGroupOptions

    drain: WholeDurationOrZero = Field(
        default=_RESOURCE.options.drain_ms,
        description="how long, at most, connections that are open may go on when it is stopped, new ones being refused "
        "(and not longer than four fifths of stop_timeout); 0s: they are cut",
    )


class Resource(Strict):
    """A part of a group. Exactly one of `vip`, `systemd`, `exec`, `manifest`, `haproxy` says what it is."""

    name: Name = Field(description="unique within its group", examples=["address"])
    vip: Vip | None = Field(default=None, description="an address", examples=[{"address": "10.0.0.30/24"}])
    systemd: Systemd | None = Field(default=None, description="a unit", examples=[{"unit": "mariadb.service"}])
    exec: Exec | None = Field(default=None, description="commands", examples=[{"command": ["/usr/bin/x"]}])
    manifest: Manifest | None = Field(default=None, description="a file in a directory")
    haproxy: HaproxyInGroup | None = Field(
        default=None, description="HAProxy, after the addresses that it binds; in one group at most"
    )
    start_timeout: Duration | None = Field(
        default=None,
        description="how long its start may take; 30s, for `vip` and `manifest` 5s, for `haproxy` 10s",
        examples=["30s"],
    )
    stop_timeout: Duration | None = Field(
        default=None,
        description="how long its orderly stop may take; 30s, for `vip` and `haproxy` 5s",
        examples=["30s"],
    )
    monitor_interval: Duration = Field(
        default=_RESOURCE.monitor_interval_ms, description="between two looks at its health"
    )
    monitor_timeout: Duration = Field(default=_RESOURCE.monitor_timeout_ms, description="how long one may take")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(kinds) != 1:
            problem = f"is of several kinds: {', '.join(kinds)}" if kinds else "is of no kind"
            raise wrong(problem, f"give exactly one of {', '.join(KINDS)}")
        return self

    @property
    def kind(self) -> Kind:
        """What it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    def spec(self) -> ResourceSpec:
        """The resource of the model, all defaults resolved."""
        kind = self.kind
        start = self.start_timeout or _START_TIMEOUT_MS.get(kind, _RESOURCE.start_timeout_ms)
        stop = self.stop_timeout or _STOP_TIMEOUT_MS.get(kind, _RESOURCE.stop_timeout_ms)
        options = getattr(self, kind).made()
        return SPECS[kind](self.name, options, start, stop, self.monitor_interval, self.monitor_timeout)


class Group(Strict):
    """What runs on one node at a time: resources that start in order, and stop in reverse."""

    model_config = ConfigDict(json_schema_extra=needs_less_with_a_preset)
    name: Name = Field(description="unique; without: that of its preset", examples=["database"])
    preset: Name | None = Field(
        default=None,
        description="settings to begin with, see [presets](presets.md); all others here are over them",
        examples=["cinder-volume"],
    )
    resources: list[Resource] = Field(min_length=1, description="in the order in which they start")
    fencing: Literal["lease", "required"] = Field(
        default=_GROUP.fencing,
        description="`lease`: taken over when the lease of a silent node is over; `required`: only when that "
        "node is known to be stopped",
    )
    nodes: list[Name] = Field(default=[], description="where it may run, best first; empty: everywhere")
    overlap: bool = Field(
        default=False, description="a planned move starts it there before it stops it here; addresses only"
    )
    restarts: int = Field(
        default=_GROUP.restarts, ge=0, description="how often a failed resource is restarted before it moves"
    )
    failure_expiry: Duration = Field(
        default=_GROUP.failure_expiry_ms,
        description="how long a node where it failed is avoided; longer while another is left to be tried",
    )
    on_stop_failure: Literal["block", "self-fence"] = Field(
        default=_GROUP.on_stop_failure,
        description="when a stop fails while the lease is fine: wait for an operator, or restart the node, once; the "
        "group then waits for `hactl group cleanup`",
    )
    enabled: bool = Field(default=_GROUP.enabled, description="`false`: it is stopped and runs nowhere")

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
        )


class Cluster(Strict):
    """cluster.yaml."""

    cluster: Name = Field(description="the cluster's name, as in every node.toml", examples=["demo"])
    timing: TimingSettings = Field(default=TimingSettings(), description="the protocol's durations")
    nodes: list[NodeSettings] = Field(
        min_length=1, description="the controllers", examples=[[{"name": "n1", "address": "10.0.0.11"}]]
    )
    groups: list[Group] = Field(default=[], description="what runs on one node at a time")
    services: list[Service] = Field(default=[], description="what runs on every node, behind HAProxy")
    haproxy: Haproxy = Field(default=Haproxy(), description="HAProxy itself, the same on every node")
    fencing: Fencing = Field(default=Fencing(), description="what can switch nodes off")

    def spec(self) -> ClusterSpec:
        """The cluster of the model."""
        return ClusterSpec(
            name=self.cluster,
            nodes=tuple(NodeSpec(node.name, node.address) for node in self.nodes),
            groups=tuple(group.spec() for group in self.groups),
            services=tuple(service.spec(self.haproxy) for service in self.services),
            timing=self.timing.spec(),
            haproxy=self.haproxy.made(),
            fencing=Topology(
                devices={device.name: device.spec() for device in self.fencing.devices},
                nodes={node.name: node.fencing.spec() for node in self.nodes if node.fencing is not None},
                test_interval_ms=self.fencing.test_interval,
            ),
        )
