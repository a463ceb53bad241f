"""The resources of a group: a type for each kind, with the settings of that kind. Pure. Times are in milliseconds."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar, cast, get_args

import msgspec
from msgspec import Meta

from hactl.model.options import Options
from hactl.model.probes import HealthProbe, Rhythm

Kind = Literal["vip", "systemd", "exec", "ocf", "manifest", "mount", "haproxy", "promote"]
Fsck = Literal["auto", "never", "force"]
# What udev finds a block device by: /dev/disk/by-uuid, ….
DEVICE_TAGS = ("UUID", "LABEL", "PARTUUID", "PARTLABEL")
# Of the options of an agent, those that no setting gives.
OCF_DERIVED = ("clone_max", "promoted_max")
# File systems of another machine, which sees to it that several may mount them.
NETWORK_TYPES = ("nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs")
# The words of a command; no shell takes them apart.
Argv = Annotated[tuple[str, ...], Meta(min_length=1)]


class VipOptions(Options, frozen=True):
    """An address with its prefix: `10.0.0.30/24`, `fd00::30/64`. `interface`: None, found by the network in which the
    address is."""

    address: str
    announce_burst: int = 5
    announce_burst_interval_ms: int = 100
    announce_interval_ms: int = 10_000
    drain_ms: int = 3_000
    interface: str | None = None


class SystemdOptions(Options, frozen=True):
    """A unit; without a suffix, a service. `bus`: a D-Bus address, for a systemd that is not this machine's own.
    `guard_at_boot`: systemd is kept from starting it also before hactl runs."""

    unit: Annotated[str, Meta(min_length=1)]
    bus: str | None = None
    guard_at_boot: bool = False

    def plain(self) -> dict[str, Any]:
        """For JSON. Stored documents of 0.1.0 stay the same."""
        written = super().plain()
        if not self.guard_at_boot:
            del written["guard_at_boot"]
        return written


class ExecOptions(Options, frozen=True):
    """Either `command`, a process that is supervised, with `ready`; or `start`, `stop`, `monitor` and `kill`."""

    command: Argv | None = None
    ready: Argv | None = None
    start: Argv | None = None
    stop: Argv | None = None
    kill: Argv | None = None
    monitor: Argv | None = None
    cwd: str | None = None


class OcfOptions(Options, frozen=True):
    """An agent, `provider:name`, and its parameters. `secrets`: parameters whose values are in files, by their paths.
    `check_level`: how deeply its monitor looks, 0 as it does by default. Not settings, but known by the whole
    configuration: `clone_max`, on how many nodes it runs, 0 where its group runs on one at a time; `promoted_max`, by
    how many groups it is promoted."""

    agent: Annotated[str, Meta(pattern=r"^[^:/]+:[^:/]+$")]
    parameters: dict[str, str] = {}
    secrets: dict[str, str] = {}
    check_level: int = 0
    clone_max: int = 0
    promoted_max: int = 0

    def plain(self) -> dict[str, Any]:
        """For JSON. Stored documents of 0.1.0 stay the same."""
        written = super().plain()
        return {name: value for name, value in written.items() if value or name not in OCF_DERIVED}


class PodSight(Options, frozen=True):
    """How a pod is seen; of several, all must say the same. `command`: its exit status 0 says so; `kubelet`: the URL of
    its list of pods; `process`: the name of a program."""

    command: Argv | None = None
    kubelet: str | None = None
    process: str | None = None


class ManifestOptions(Options, frozen=True):
    """A file in `directory`: a copy of `source`, or with `content`; or several, `sources`. `name`: None, that of
    `source` or the resource. `gone`: by which the pod is seen to have gone; `running`: by which it is seen to run."""

    source: str | None = None
    content: str | None = None
    directory: Annotated[str, Meta(min_length=1)] = "/etc/kubernetes/manifests"
    name: str | None = None
    sources: Annotated[tuple[str, ...], Meta(min_length=1)] | None = None
    gone: PodSight | None = None
    running: PodSight | None = None


class MountOptions(Options, frozen=True):
    """A file system. `device`: a path below /dev, `UUID=…` and the like, or, of another machine, `host:/export`.
    `type`: None, that which `blkid` finds, or `nfs`."""

    device: Annotated[str, Meta(min_length=1)]
    directory: Annotated[str, Meta(min_length=1)]
    type: str | None = None
    options: tuple[str, ...] = ()
    fsck: Fsck = "auto"

    @property
    def on_block_device(self) -> bool:
        """Whether it is on a disk that this machine has, which two machines must never use at one time."""
        return self.device.startswith("/dev/") or self.device.partition("=")[0] in DEVICE_TAGS

    @property
    def read_only(self) -> bool:
        """Whether nothing is written to it."""
        return "ro" in self.options


class InGroupOptions(Options, frozen=True):
    """HAProxy, where its group is and nowhere else."""

    drain_ms: int = 1_000


OptionsOfKind = TypeVar("OptionsOfKind", bound=Options)

# Settings that are written where they differ from their defaults only: stored documents of 0.1.0 stay the same.
LATER = ("monitor_start_delay_ms", "monitor_rise", "monitor_fall", "probes")
# Settings that say how a resource is watched: it need not be restarted for them.
_OF_WATCHING = ("monitor_interval_ms", *LATER)


class _Resource(Options, Generic[OptionsOfKind], frozen=True, tag_field="kind"):
    """One resource of a group. `monitor_…`: when its own monitor is run, and counts (`Rhythm`)."""

    name: str
    options: OptionsOfKind
    start_timeout_ms: float = 30_000.0
    stop_timeout_ms: float = 30_000.0
    monitor_interval_ms: float = 10_000.0
    monitor_timeout_ms: float = 5_000.0
    monitor_start_delay_ms: float = 0.0
    monitor_rise: int = 1
    monitor_fall: int = 2
    probes: tuple[HealthProbe, ...] = ()

    @property
    def kind(self) -> Kind:
        """Its kind."""
        return cast(Kind, self.__struct_config__.tag)

    @property
    def monitor(self) -> Rhythm:
        """When its own monitor is run, and counts."""
        return Rhythm(
            self.monitor_interval_ms,
            self.monitor_timeout_ms,
            self.monitor_start_delay_ms,
            self.monitor_rise,
            self.monitor_fall,
        )

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        written = {"name": self.name, "kind": self.kind, **super().plain()}
        for name in LATER:
            if getattr(self, name) == _default(type(self), name):
                del written[name]
        return written


def _default(spec: type[msgspec.Struct], name: str) -> Any:
    names, defaults = spec.__struct_fields__, spec.__struct_defaults__
    return defaults[names.index(name) - len(names) + len(defaults)]


def runs_alike(one: ResourceSpec, other: ResourceSpec) -> bool:
    """Whether the two run the same: they differ, if at all, in how they are watched, or guarded at boot."""
    return one == other or (type(one) is type(other) and _unwatched(one) == _unwatched(other))


def _unwatched(spec: ResourceSpec) -> ResourceSpec:
    options: Options | None = None
    if isinstance(spec, SystemdSpec) and spec.options.guard_at_boot:
        options = msgspec.structs.replace(spec.options, guard_at_boot=False)
    elif isinstance(spec, OcfSpec) and spec.options.clone_max:
        # How many there are may change while they run; whether they can be promoted is known from their start on.
        once = min(1, spec.options.promoted_max)
        options = msgspec.structs.replace(spec.options, clone_max=1, promoted_max=once)
    elif isinstance(spec, PromoteSpec) and spec.options.instance is not None:
        options = msgspec.structs.replace(spec.options, score=None, instance=_unwatched(spec.options.instance))
    if options is not None:
        spec = msgspec.structs.replace(spec, options=options)
    return msgspec.structs.replace(spec, **{name: _default(type(spec), name) for name in _OF_WATCHING})


class VipSpec(_Resource[VipOptions], frozen=True, tag="vip"):
    """An address."""


class SystemdSpec(_Resource[SystemdOptions], frozen=True, tag="systemd"):
    """A unit of systemd's."""


class ExecSpec(_Resource[ExecOptions], frozen=True, tag="exec"):
    """Commands of the operator's."""


class OcfSpec(_Resource[OcfOptions], frozen=True, tag="ocf"):
    """Something that an OCF resource agent drives."""


class ManifestSpec(_Resource[ManifestOptions], frozen=True, tag="manifest"):
    """A file that is in a directory while its node owns the group."""


class MountSpec(_Resource[MountOptions], frozen=True, tag="mount"):
    """A file system that is mounted where its group is."""


class HaproxySpec(_Resource[InGroupOptions], frozen=True, tag="haproxy"):
    """HAProxy."""


# What can be promoted.
InstanceSpec = SystemdSpec | ExecSpec | OcfSpec


class PromoteOptions(Options, frozen=True):
    """The promoted role of a resource that runs on every node: `of` is `GROUP/RESOURCE`, `instance` its definition;
    None: the whole configuration has not been looked at yet. Commands, where it is none of an agent's: `promote`;
    `demote`; `role`, which says by its exit status whether it is promoted; `score`, which prints how good it would be.
    """

    of: Annotated[str, Meta(pattern=r"^[^/]+/[^/]+$")]
    instance: InstanceSpec | None = None
    promote: Argv | None = None
    demote: Argv | None = None
    role: Argv | None = None
    score: Argv | None = None

    @property
    def group(self) -> str:
        """The group of the instances."""
        return self.of.partition("/")[0]


class PromoteSpec(_Resource[PromoteOptions], frozen=True, tag="promote"):
    """The promoted role of a resource that runs on every node."""


ResourceSpec = VipSpec | SystemdSpec | ExecSpec | OcfSpec | ManifestSpec | MountSpec | HaproxySpec | PromoteSpec
SPECS: dict[Kind, type[ResourceSpec]] = {
    "vip": VipSpec,
    "systemd": SystemdSpec,
    "exec": ExecSpec,
    "ocf": OcfSpec,
    "manifest": ManifestSpec,
    "mount": MountSpec,
    "haproxy": HaproxySpec,
    "promote": PromoteSpec,
}
KINDS: tuple[Kind, ...] = get_args(Kind)
