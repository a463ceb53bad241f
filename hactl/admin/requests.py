"""An operator's actions as they are asked for and answered, by type. Light: the command line imports it for every one
of them, and sends it to the daemon as JSON."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

import msgspec

A = TypeVar("A", bound=msgspec.Struct)


class Request(msgspec.Struct, Generic[A]):
    """`path`: where the API takes it, below /v1/. `answer`: the type of its answer."""

    path: ClassVar[str]
    answer: ClassVar[type[msgspec.Struct]]


class MoveRequested(msgspec.Struct):
    """`revision`: at which the request was written."""

    id: str
    from_node: str = msgspec.field(name="from")
    to: str
    revision: int


class Withdrawn(msgspec.Struct):
    """False: it is not there any more (carried out, refused, or replaced)."""

    withdrawn: bool


class Groups(msgspec.Struct):
    """The groups that the node has now. `revision`: at which the request was written, 0: it was there already."""

    groups: list[str]
    revision: int = 0


class Changed(msgspec.Struct):
    """False: it was so already."""

    changed: bool


class CleanedUp(msgspec.Struct):
    """`nodes`: where it may run again. `unblocked`: it was blocked. `freed`: it was held."""

    nodes: list[str]
    unblocked: bool
    freed: bool = False


class GroupRequested(msgspec.Struct):
    """`changed`: false, it was asked for already. `revision`: at which the request was written, 0: it was not. `node`:
    where the group is now, "": nowhere. `until`: wall time, for people; "": without an end."""

    changed: bool
    revision: int = 0
    node: str = ""
    until: str = ""


class MaintenanceAsked(msgspec.Struct):
    """`changed`: false, there was none to end. `until`: wall time, for people; "": without an end. `also`: other
    requests that keep groups alone: the groups, `*`, or `node:NODE`. `groups`: that somebody has, of those it was asked
    for; `lost`: those whose owner is lost: they stay where they were."""

    changed: bool
    revision: int = 0
    until: str = ""
    also: list[str] = []
    lost: list[str] = []
    groups: list[str] = []


class Cleared(msgspec.Struct):
    """`nodes`: from which the group was banned. `revision`: at which that was ended, 0: there was nothing to end."""

    nodes: list[str]
    revision: int = 0


class DrainRequested(msgspec.Struct):
    """The request that is there now, and whether it is new."""

    by: str
    at: str
    reason: str
    changed: bool


class Confirmed(msgspec.Struct, rename={"session_id": "sid"}):
    """The session that is taken to be stopped."""

    session_id: str


class FenceRequested(msgspec.Struct):
    """The action that will be carried out: `off`, `reboot` or `on`."""

    action: str


class TestRequested(msgspec.Struct):
    """`nodes`: those that will answer. `limit_ms`: how long that may take."""

    id: str
    nodes: list[str]
    limit_ms: float


class Failover(Request[MoveRequested]):
    """Move `group` once, to `to` or ("") to the best other node."""

    path = "failover"
    answer = MoveRequested
    group: str
    to: str | None = ""


class Schedule(Request[GroupRequested]):
    """Move `group` once at `at_ms` (UTC in ms since 1970), to `to` or ("") to the best other node."""

    path = "failover/schedule"
    answer = GroupRequested
    group: str
    at_ms: float
    to: str | None = ""


class CancelScheduled(Request[Changed]):
    """Take back what was scheduled for `group`."""

    path = "failover/cancel"
    answer = Changed
    group: str


class Withdraw(Request[Withdrawn]):
    """Withdraw the request `id` to move `group`."""

    path = "failover/withdraw"
    answer = Withdrawn
    group: str
    id: str


class Standby(Request[Groups]):
    """Have every group leave `node`. `check`: only look whether that would be refused."""

    path = "node/standby"
    answer = Groups
    node: str
    force: bool = False
    check: bool = False


class Online(Request[Changed]):
    """End the standby of `node`."""

    path = "node/online"
    answer = Changed
    node: str


class Cleanup(Request[CleanedUp]):
    """Forget the failures of `group` on `node`, or ("") on every node."""

    path = "group/cleanup"
    answer = CleanedUp
    group: str
    node: str


class Stop(Request[GroupRequested]):
    """Have `group` run nowhere, until it is started. `force`: even if that ends services."""

    path = "group/stop"
    answer = GroupRequested
    group: str
    reason: str | None = ""
    force: bool = False


class Start(Request[GroupRequested]):
    """Have a stopped group run again."""

    path = "group/start"
    answer = GroupRequested
    group: str


class Restart(Request[GroupRequested]):
    """Stop `group` and start it again where it is, in order."""

    path = "group/restart"
    answer = GroupRequested
    group: str


class Ban(Request[GroupRequested]):
    """Keep `group` off `node`, for `for_ms` or (0) until it is cleared. `force`: even if no other node may run it."""

    path = "group/ban"
    answer = GroupRequested
    group: str
    node: str
    for_ms: float = 0.0
    reason: str | None = ""
    force: bool = False


class Clear(Request[Cleared]):
    """End the bans of `group` from `node`, or ("") from every node."""

    path = "group/clear"
    answer = Cleared
    group: str
    node: str = ""


class Maintenance(Request[MaintenanceAsked]):
    """Leave `group`, or ("") everything, alone: for `for_ms`, or (0) until it is ended."""

    path = "maintenance/on"
    answer = MaintenanceAsked
    group: str = ""
    for_ms: float = 0.0
    reason: str | None = ""


class EndMaintenance(Request[MaintenanceAsked]):
    """End the maintenance of `group`, or ("") that of everything."""

    path = "maintenance/off"
    answer = MaintenanceAsked
    group: str = ""


class NodeMaintenance(Request[MaintenanceAsked]):
    """Leave a node alone, with all that it has: for `for_ms`, or (0) until it is ended. A path of its own: a daemon
    that does not know of it must not take it for everything."""

    path = "maintenance/node/on"
    answer = MaintenanceAsked
    node: str
    for_ms: float = 0.0
    reason: str | None = ""


class EndNodeMaintenance(Request[MaintenanceAsked]):
    """End the maintenance of a node."""

    path = "maintenance/node/off"
    answer = MaintenanceAsked
    node: str


class Drain(Request[DrainRequested]):
    """Have the servers of `service` on `node` get no new connections."""

    path = "service/drain"
    answer = DrainRequested
    service: str
    node: str
    reason: str | None = ""
    force: bool = False


class Undrain(Request[Changed]):
    """Have them get new connections again."""

    path = "service/undrain"
    answer = Changed
    service: str
    node: str


class Confirm(Request[Confirmed]):
    """An operator's word that the dead session of `node` runs nothing any more."""

    path = "fence/confirm"
    answer = Confirmed
    node: str


class Fence(Request[FenceRequested]):
    """Fence `node`, whatever runs on it, by `action`; "": the configured one. Or switch it on: `on`."""

    path = "fence"
    answer = FenceRequested
    node: str
    action: str


class FenceTest(Request[TestRequested]):
    """Have every live node test every fence device."""

    path = "fence/test"
    answer = TestRequested
