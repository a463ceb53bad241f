"""Reports of nodes: of themselves, of their groups, and of the fence devices."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypedDict

from election.records.document import Count, Name, Record, too_deep


@dataclass(frozen=True, slots=True)
class Member(Record):
    """A node's report of itself, written on change."""

    node: Name
    address: str
    version: str
    config_revision: Count
    abilities: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    def problem(self) -> str:
        """Its free fields are bounded, too."""
        return "is nested too deeply" if too_deep(self.extra) else ""


class ReadinessReport(TypedDict, total=False):
    """How ready a node is for one group."""

    level: str
    why: str


class TroubleReport(TypedDict, total=False):
    """Something that does not work on a node."""

    what: str
    do: str
    since: str


class CheckReport(TypedDict, total=False):
    """How a health check of a node stands. `text`: value and limit, for people; `value`: for expressions; `since`: wall
    time, for people."""

    ok: bool
    text: str
    value: float
    since: str


class ClientViewReport(TypedDict, total=False):
    """How a node sees a group of another node through its address: `level` is well, failed or unreached."""

    epoch: int
    level: str
    why: str


class GroupReport(TypedDict, total=False):
    """A node's report of one group. `leaving`: it runs, and is to stop when those after it have stopped. `given_up`: an
    instance of a group that runs on every node has failed more often than it is restarted in place. `score`: how good
    its instance would be to be promoted, `score_of`: as of which revision of the ownership. `restarted`: the
    mod_revision of the operator's request to restart such a group, once this node has restarted its instance. `alone`:
    it is left alone (maintenance). `outdated`: it runs by a definition that is no longer the configured one."""

    phase: str
    epoch: int
    resources: dict[str, str]
    reason: str
    failed: bool
    leaving: bool
    given_up: bool
    score: int
    score_of: int
    restarted: int
    alone: bool
    outdated: bool


@dataclass(frozen=True, slots=True)
class ResourceWarning:
    """A fault of a resource on the node that reports it, though the resource may run (`resource` empty: with its
    group). `topic`: in one word. `mac`: of the station that has to do with it."""

    group: str
    resource: str
    topic: str
    text: str
    mac: str = ""


@dataclass(frozen=True, slots=True)
class Report(Record):
    """A node's report of the groups on it, written on change.

    `groups`: for each group its phase, epoch and the health of each resource. `probes`: for each group the
    mod_revision of the probe it answers: what it says of that group was seen after that revision. `readiness`: for
    each group that this node is not ready for, `level` (poor, unfit) and `why`. `troubles`: what does not work on this
    node, by source: `what`, `do`, `since`. `warnings`: what is wrong with resources here. `checks`: this node's health
    checks, by name. `client_views`: of each group whose address this node asks as a client does, how it
    sees it in its present ownership.
    """

    limit = 1 << 20

    session_id: str
    config_revision: Count
    groups: dict[str, GroupReport] = field(default_factory=dict)
    probes: dict[str, Count] = field(default_factory=dict)
    readiness: dict[str, ReadinessReport] = field(default_factory=dict)
    troubles: dict[str, TroubleReport] = field(default_factory=dict)
    warnings: tuple[ResourceWarning, ...] = ()
    checks: dict[str, CheckReport] = field(default_factory=dict)
    client_views: dict[str, ClientViewReport] = field(default_factory=dict)


class TargetReport(TypedDict, total=False):
    """How a fence device was found for one node."""

    node: str
    device: str
    plug: str
    ok: bool
    power: str
    detail: str
    since: str
    seconds: float


@dataclass(frozen=True, slots=True)
class DeviceReport(Record):
    """How a node finds the fence devices, written when an outcome is another, or when it was asked for.

    `test`: the FenceTest that it answers, if any. `at`: wall time of the writing, for people. `targets`: of every
    target of every level `node`, `device`, `plug`, `ok`, `power`, `detail`, and `since` when (wall time) it is so.
    """

    limit = 1 << 20

    test: str
    at: str
    config_revision: Count
    targets: tuple[TargetReport, ...] = ()
