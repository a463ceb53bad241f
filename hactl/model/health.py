"""Health checks of a node. Pure. `cluster.yaml` has the settings under the same names."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from hactl.model.options import Sparse

# A node on which the check fails: takes no group while another node can, and loses its groups; comes last, and loses
# its groups to a node that is well; is only shown.
Then = Literal["unfit", "last", "attribute"]

_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(%|KiB|MiB|GiB|TiB|)")


class Part(NamedTuple):
    """A part of a whole: a percentage, or a number (of bytes, of inodes)."""

    percent: float | None
    number: int = 0

    @classmethod
    def of(cls, text: str) -> Part:
        """`5%`, `2GiB`, `1000`. Raises ValueError."""
        match = _PART.fullmatch(text.strip())
        if match is None:
            raise ValueError(text)
        if match[2] == "%":
            return cls(float(match[1]))
        return cls(None, int(float(match[1]) * _UNITS[match[2]]))

    def enough(self, left: float, whole: float) -> bool:
        """Whether at least this part of `whole` is left."""
        return left >= self.number if self.percent is None else 100 * left >= self.percent * whole


class Disk(Sparse, frozen=True):
    """A file system. `free`, `inodes`: at least so much is left. `writable`: it is not mounted read-only. `write`: a
    file is written there, synced and removed."""

    path: str
    free: str = "5%"
    inodes: str = "1%"
    writable: bool = True
    write: bool = False


class Link(Sparse, frozen=True):
    """An interface is up, and has a carrier."""

    interface: str


class Ping(Sparse, frozen=True):
    """At least so many of the addresses answer a ping."""

    targets: tuple[str, ...]
    at_least: int = 1


class Route(Sparse, frozen=True):
    """The kernel has a route to each address."""

    to: tuple[str, ...]


class Pressure(Sparse, frozen=True):
    """The kernel's pressure stall information: within the last minute tasks waited for it at most this part of the
    time, in percent. `memory` and `io`: all of them at once; `cpu`: some of them."""

    memory: str | None = None
    io: str | None = None
    cpu: str | None = None


class Load(Sparse, frozen=True):
    """The load average of the last minute, for each processor, is at most this."""

    per_cpu: float


class Clock(Sparse, frozen=True):
    """The clock is synchronised, and wrong by at most this."""

    max_error_ms: float = 500.0


class CheckSpec(Sparse, frozen=True):
    """A check, of one kind. `rise`, `fall`: after so many results in a row it passes, or fails. `groups`: whom it
    concerns; empty: all."""

    name: str
    disk: Disk | None = None
    link: Link | None = None
    ping: Ping | None = None
    route: Route | None = None
    pressure: Pressure | None = None
    load: Load | None = None
    clock: Clock | None = None
    command: tuple[str, ...] = ()
    then: Then = "unfit"
    interval_ms: float = 10_000.0
    timeout_ms: float = 3_000.0
    rise: int = 2
    fall: int = 3
    groups: tuple[str, ...] = ()

    def concerns(self, group: str) -> bool:
        """Whether its failure counts for the group."""
        return self.then != "attribute" and (not self.groups or group in self.groups)


KINDS = ("disk", "link", "ping", "route", "pressure", "load", "clock", "command")
