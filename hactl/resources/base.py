"""A resource: the contract between the daemon and the kinds of resource (one file each beside this).

A resource carries out actions and reports its observations; it decides nothing. All waiting is asyncio's; all
outcomes are verified, not assumed: `stop` and `kill` return only when it is known that nothing runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from hactl.linux.drop_ins import DropIns
from hactl.linux.errors import OperationError
from hactl.model.events import Warned
from hactl.model.resources import ResourceSpec
from hactl.resources.moving import MovingAddresses
from hactl.supervise import Tasks

Health = Literal["running", "stopped", "failed"]


class ResourceError(OperationError):
    """An action on a resource failed, or its options are wrong."""


@dataclass(frozen=True, slots=True)
class Observation:
    """The result of a look. `failed`: it is neither healthy nor known to be stopped, `detail` says why. `put_right`:
    something else's change to it, which is put right. `warned`: a problem that begins or ends while it runs. Not
    `certain`: the word of a check that may be wrong once (a command that tests its health); only after `monitor_fall`
    of them in a row it has failed."""

    health: Health
    detail: str = ""
    put_right: str = ""
    warned: Warned | None = None
    certain: bool = True


@dataclass(frozen=True, slots=True)
class NodeContext:
    """Where the resources of this node live.

    `state_dir` survives a daemon's restart but need not survive a reboot. `cgroup_root` is a cgroup v2
    directory below which every resource gets a cgroup of its own, outside the daemon's, so that the daemon's
    end does not touch it. `daemon_cgroup` is the daemon's, for processes that must end with it. None where cgroups
    cannot be had (then process groups are used). `tasks` keeps the watches of resources running. `moving`: addresses
    that move from node to node. `drop_ins`: hactl's, for units of this machine's systemd.
    """

    node: str
    state_dir: str
    cgroup_root: str | None
    daemon_cgroup: str | None = None
    tasks: Tasks = field(default_factory=Tasks, compare=False, repr=False)
    moving: MovingAddresses = field(default_factory=MovingAddresses, compare=False, repr=False)
    drop_ins: DropIns = field(default_factory=DropIns, compare=False, repr=False)


class Resource(Protocol):
    """One resource on this node."""

    @property
    def spec(self) -> ResourceSpec:
        """Its definition."""

    async def start(self, env: Mapping[str, str]) -> None:
        """Start it and return when it is running. `env` holds HACTL_GROUP, HACTL_RESOURCE, HACTL_NODE,
        HACTL_EPOCH and HACTL_CLUSTER. Starting a running one is no error. Raises ResourceError. Cancelled at
        its timeout."""

    async def stop(self) -> None:
        """Stop it in the orderly way and return when it is known to be stopped, and not about to restart.
        Stopping a stopped one is no error. Raises ResourceError. Cancelled at its timeout."""

    async def kill(self) -> None:
        """Stop it by the fastest way there is (SIGKILL, address removed), verified. Raises ResourceError."""

    async def probe(self) -> Observation:
        """See whether it runs, without changing anything; cheap."""

    async def monitor(self) -> Observation:
        """Probe, and test its health more deeply where it has a test."""

    async def watch(self, report: Callable[[Observation], None]) -> None:
        """Run until cancelled; call `report` at once when an event (netlink, D-Bus signal, process end) shows
        that it changed by itself. Repairs only changes that are no failure: a lost address is put back and reported."""

    async def ready(self) -> str:
        """Why it could not be started on this node, in the operator's words; "": it could. Cheap: nothing is changed,
        and no process is started each time (an agent is asked once for its metadata). Raises ResourceError when it
        cannot be found out."""

    def guard_steps(self) -> tuple[dict[str, Any], ...]:
        """How the guard stops it without the daemon's help: steps that fencing/guard/main.py knows."""


@runtime_checkable
class Commands(Protocol):
    """A resource that is started, stopped and looked at by commands. `under_way`: which one runs now, "" none."""

    under_way: str


@runtime_checkable
class Announcing(Protocol):
    """A resource that tells other machines where it is."""

    def announce(self) -> None:
        """Tell them again."""

    def stop_announcing(self) -> None:
        """Stop announcing; another node is taking the address."""
