"""The health checks of cluster.yaml's shape."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from hactl.config.fields import (
    Argv,
    Duration,
    FilePath,
    InterfaceName,
    IpAddress,
    Name,
    Part,
    setting,
    wrong,
)
from hactl.model import health as of

MOST = 64
_NO_PART = "such as `5%` or `2GiB`"


def _part(value: str) -> str:
    try:
        part = of.Part.of(value)
    except ValueError:
        raise wrong(f"`{value}` is no part of a whole", _NO_PART) from None
    if part.percent is not None and part.percent > 100:
        raise wrong(f"`{value}` is more than all", _NO_PART)
    return value


def _percent(value: str) -> str:
    try:
        percent = of.Part.of(value).percent
    except ValueError:
        percent = None
    if percent is None or percent > 100:
        raise wrong(f"`{value}` is no percentage", "such as `40%`")
    return value


PartOf = Annotated[str, AfterValidator(_part)]
Percent = Annotated[str, AfterValidator(_percent)]
_DISK, _CHECK = of.Disk(""), of.CheckSpec("")


class _Sparse(Part):
    """Without what is not given."""

    def values(self) -> dict[str, Any]:
        """As its base does."""
        return {name: value for name, value in super().values().items() if value is not None}


class Disk(Part):
    """A file system has room, and can be written. It fails, too, when it does not answer in time."""

    OF: ClassVar[Any] = of.Disk

    path: FilePath = setting("a directory of the file system", examples=["/"])
    free: PartOf = setting("at least so much is free for programs that are not root's: `5%`, `2GiB`", _DISK.free)
    inodes: PartOf = setting("at least so many inodes are free: `1%`, `10000`", _DISK.inodes)
    writable: bool = setting("whether it must not be mounted read-only (as the kernel does after an error)", True)
    write: bool = setting("whether a small file is written there, synced and removed", False)


class Link(Part):
    """An interface is up, and has a carrier."""

    OF: ClassVar[Any] = of.Link

    interface: InterfaceName = setting("the interface's name", examples=["bond0"])


class Ping(Part):
    """Addresses answer a ping."""

    OF: ClassVar[Any] = of.Ping

    targets: list[IpAddress] = setting("the addresses; better two than one", min_length=1, examples=[["10.0.0.1"]])
    at_least: Annotated[int, Field(ge=1)] = setting("so many of them must answer", 1)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.at_least > len(self.targets):
            raise wrong(f"`at_least` is {self.at_least}, and there are {len(self.targets)} targets", "lower `at_least`")
        return self


class Route(Part):
    """The kernel has a route to each address. Nothing is sent."""

    OF: ClassVar[Any] = of.Route

    to: list[IpAddress] = setting("the addresses", min_length=1, examples=[["10.0.0.1"]])


class Pressure(_Sparse):
    """The kernel's pressure stall information, of the last minute: for how much of the time tasks waited."""

    OF: ClassVar[Any] = of.Pressure

    memory: Percent | None = setting("at most so much, all tasks at once, for memory", None, examples=["40%"])
    io: Percent | None = setting("at most so much, all tasks at once, for disks", None, examples=["80%"])
    cpu: Percent | None = setting("at most so much, some task, for a processor", None, examples=["90%"])

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.memory is None and self.io is None and self.cpu is None:
            raise wrong("has none of `memory`, `io`, `cpu`", "such as {memory: 40%}")
        return self


class Load(Part):
    """The load average of the last minute."""

    OF: ClassVar[Any] = of.Load

    per_cpu: Annotated[float, Field(gt=0, strict=False)] = setting("at most so much for each processor", examples=[8])


class Clock(Part):
    """The kernel's clock is synchronised (chrony, systemd-timesyncd)."""

    OF: ClassVar[Any] = of.Clock

    max_error: Duration = setting("how wrong it may be, as the kernel estimates it", of.Clock().max_error_ms)


class HealthCheck(_Sparse):
    """A check that every node makes of itself: [node health](node-health.md). One kind for each."""

    OF: ClassVar[Any] = of.CheckSpec

    name: Name = setting("unique", examples=["root-disk"])
    disk: Disk | None = setting("room on a file system, and that it can be written", None)
    link: Link | None = setting("an interface has a carrier", None)
    ping: Ping | None = setting("addresses answer a ping", None)
    route: Route | None = setting("there is a route to addresses", None)
    pressure: Pressure | None = setting("tasks do not wait too long for memory, disks or processors", None)
    load: Load | None = setting("the load average", None)
    clock: Clock | None = setting("the clock is synchronised", None)
    command: Argv | None = setting(
        "a command of your own, run as root: exit status 0 when the node is well; the last line of its output is shown",
        None,
    )
    then: Literal["unfit", "last", "attribute"] = setting(
        "when it fails: `unfit`: the node takes no group while another node can, and loses its groups; `last`: other "
        "nodes come first, and groups leave it for a node that is well; `attribute`: it is only shown",
        _CHECK.then,
    )
    interval: Duration = setting("how often it is made; at the same moments on every node", _CHECK.interval_ms)
    timeout: Duration = setting("how long it may take; then it has failed", _CHECK.timeout_ms)
    rise: Annotated[int, Field(ge=1)] = setting("so many good results in a row, and it passes again", _CHECK.rise)
    fall: Annotated[int, Field(ge=1)] = setting("so many bad results in a row, and it fails", _CHECK.fall)
    groups: list[Name] = setting("the groups that it concerns; empty: all", [])

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [kind for kind in of.KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            words = f"has `{given[0]}` and `{given[1]}`" if given else "checks nothing"
            raise wrong(words, f"give one of `{'`, `'.join(of.KINDS)}`; several checks have several names")
        if self.timeout > self.interval:
            raise wrong("`timeout` is longer than `interval`", "give `timeout` less, or `interval` more")
        return self
