"""The shape of cluster.yaml, and from it to the model (`hactl.model.cluster`).

Each model checks its own settings; the rules between several parts are in `crosscheck.py`. The descriptions here are
those of docs/configuration.md and of the JSON Schema.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

from pydantic import ConfigDict, model_validator

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
    setting,
    wrong,
)
from hactl.config.services.haproxy import Haproxy
from hactl.config.services.service import Service
from hactl.decide.timing import PROFILES, Profile
from hactl.model import resources as of
from hactl.model.cluster import ClusterSpec, GroupSpec, NodeSpec, Timing

# For their defaults.
_VIP, _RESOURCE, _GROUP = of.VipOptions(""), of.HaproxySpec("", of.InGroupOptions()), GroupSpec("", ())

# An address or a file is there at once or not at all; a service may take its time.
_START_TIMEOUT_MS: dict[of.Kind, float] = {"vip": 5_000.0, "manifest": 5_000.0, "haproxy": 10_000.0}
_STOP_TIMEOUT_MS: dict[of.Kind, float] = {"vip": 5_000.0, "haproxy": 5_000.0}


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
    fencing: NodeFencingSettings | None = setting(
        "how the node is made certainly off; without it only a reboot, its own stop, or `hactl fence confirm` makes it "
        "safe",
        None,
    )


class Vip(Part):
    """An address that moves with its group."""

    OF: ClassVar[Any] = of.VipOptions

    address: VipAddress = setting("the address with its prefix length, IPv4 or IPv6", examples=["10.0.0.30/24"])
    interface: InterfaceName | None = setting(
        "the network interface; default: the one with an address in the same network", None
    )
    announce_burst: int = setting(
        "number of announcements right after the address was added", _VIP.announce_burst, ge=1, le=100
    )
    announce_burst_interval: WholeDuration = setting("time between two of these", _VIP.announce_burst_interval_ms)
    announce_interval: WholeDuration = setting("time between later announcements", _VIP.announce_interval_ms)
    drain: WholeDurationOrZero = setting(
        "how long, at most, the old node keeps open connections in a move with `overlap` (not longer than stop_timeout "
        "- 1s); 0s: not at all",
        _VIP.drain_ms,
    )


class Systemd(Part):
    """A systemd unit."""

    OF: ClassVar[Any] = of.SystemdOptions

    unit: UnitName = setting("the unit's full name; it must not be enabled in systemd", examples=["mariadb.service"])


class Exec(Part):
    """Commands of your own: either `command`, or `start`, `stop` and `monitor`. Lists of words, no shell."""

    OF: ClassVar[Any] = of.ExecOptions

    command: Argv | None = setting(
        "a program that stays in the foreground; hactl supervises it",
        None,
        examples=[["/usr/bin/agent", "--foreground"]],
    )
    ready: Argv | None = setting("for `command`: returns 0 as soon as the program is ready", None)
    start: Argv | None = setting("returns 0 when the resource runs; it must not fail if it runs already", None)
    stop: Argv | None = setting(
        "returns 0 when the resource is stopped; it must not fail if it is stopped already", None
    )
    kill: Argv | None = setting(
        "the fastest way to stop it, within stop_budget - self_fence_lead; default: `stop`", None
    )
    monitor: Argv | None = setting(
        "returns 0 while the resource runs well, 3 or 7 when it does not run, any other status when it has failed", None
    )
    cwd: FilePath | None = setting("the working directory of the commands", None)

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
    """A file that is in a directory while the group runs here: a static pod for the kubelet."""

    OF: ClassVar[Any] = of.ManifestOptions

    source: FilePath | None = setting("the file to copy, outside `directory`", None)
    content: str | None = setting("the text of the file, in place of `source`", None)
    directory: FilePath = setting("the directory that the kubelet watches", of.ManifestOptions().directory)
    name: Name | None = setting(
        "the file's name in `directory`; default: that of `source`, or the resource's name with `.yaml`", None
    )

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
    """HAProxy only on the node where the group runs. Without such a resource it runs on every node."""

    OF: ClassVar[Any] = of.InGroupOptions

    drain: WholeDurationOrZero = setting(
        "how long, at most, open connections may go on after a stop, while new ones are refused (not longer than four "
        "fifths of stop_timeout); 0s: they are cut at once",
        _RESOURCE.options.drain_ms,
    )


class Resource(Strict):
    """A part of a group. Exactly one of `vip`, `systemd`, `exec`, `manifest`, `haproxy` gives its kind."""

    name: Name = setting("unique within its group", examples=["address"])
    vip: Vip | None = setting("an IP address", None, examples=[{"address": "10.0.0.30/24"}])
    systemd: Systemd | None = setting("a systemd unit", None, examples=[{"unit": "mariadb.service"}])
    exec: Exec | None = setting("commands", None, examples=[{"command": ["/usr/bin/x"]}])
    manifest: Manifest | None = setting("a file in a directory", None)
    haproxy: HaproxyInGroup | None = setting(
        "HAProxy; it must come after the addresses that it binds, in one group at most", None
    )
    start_timeout: Duration | None = setting(
        "how long its start may take; default: 30s, for `vip` and `manifest` 5s, for `haproxy` 10s",
        None,
        examples=["30s"],
    )
    stop_timeout: Duration | None = setting(
        "how long its orderly stop may take; default: 30s, for `vip` and `haproxy` 5s", None, examples=["30s"]
    )
    monitor_interval: Duration = setting("time between two checks of its health", _RESOURCE.monitor_interval_ms)
    monitor_timeout: Duration = setting("how long one check may take", _RESOURCE.monitor_timeout_ms)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [kind for kind in of.KINDS if getattr(self, kind) is not None]
        if len(kinds) != 1:
            problem = f"is of several kinds: {', '.join(kinds)}" if kinds else "is of no kind"
            raise wrong(problem, f"give exactly one of {', '.join(of.KINDS)}")
        return self

    @property
    def kind(self) -> of.Kind:
        """Its kind."""
        return next(kind for kind in of.KINDS if getattr(self, kind) is not None)

    def spec(self) -> of.ResourceSpec:
        """The resource of the model, all defaults resolved."""
        kind = self.kind
        start = self.start_timeout or _START_TIMEOUT_MS.get(kind, _RESOURCE.start_timeout_ms)
        stop = self.stop_timeout or _STOP_TIMEOUT_MS.get(kind, _RESOURCE.stop_timeout_ms)
        options = getattr(self, kind).made()
        return of.SPECS[kind](self.name, options, start, stop, self.monitor_interval, self.monitor_timeout)


class Group(Strict):
    """A group runs on one node at a time. Its resources start in order, and stop in reverse order."""

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
    on_stop_failure: Literal["block", "self-fence"] = setting(
        "if a stop fails while the lease is valid: `block`: wait for an operator; `self-fence`: restart the node, "
        "once; then the group waits for `hactl group cleanup`",
        _GROUP.on_stop_failure,
    )
    enabled: bool = setting("`false`: the group is stopped and runs nowhere", _GROUP.enabled)

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

    cluster: Name = setting("the cluster's name, as in every node.toml", examples=["demo"])
    timing: TimingSettings = setting("the durations of the protocol", TimingSettings())
    nodes: list[NodeSettings] = setting(
        "the cluster's nodes", min_length=1, examples=[[{"name": "n1", "address": "10.0.0.11"}]]
    )
    groups: list[Group] = setting("active/passive groups: each runs on one node at a time", [])
    services: list[Service] = setting("active/active services behind HAProxy, on every node", [])
    haproxy: Haproxy = setting("HAProxy's own settings, the same on every node", Haproxy())
    fencing: Fencing = setting("the devices that can switch nodes off", Fencing())

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
