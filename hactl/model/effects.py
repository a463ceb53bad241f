"""The effects that the decide side wants. Each is carried out by one piece of effect code and answered by one event."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from election.clock import Instant
from election.store import Txn
from fencing.topology import PowerAction, Target
from hactl.model.cluster import GroupSpec
from hactl.model.purposes import Purpose
from hactl.model.resources import ResourceSpec

Action = Literal["start", "stop", "kill", "probe"]


class SendTxn(NamedTuple):
    """Send a transaction; answered by TxnDone. `purpose` is for logs and metrics."""

    id: int
    purpose: Purpose
    txn: Txn
    timeout_ms: float


class Relist(NamedTuple):
    """List everything, from another endpoint than the last, and watch on from there; answered by Listed or
    ListFailed."""

    id: int
    timeout_ms: float


class ReadConfig(NamedTuple):
    """Read the stored configuration, `text`, of this revision; answered by Configured. A newer one takes its place."""

    revision: int
    text: str


class GuardBegin(NamedTuple):
    """Give the guard the new session; answered by GuardAnswered."""

    session_id: str
    stop_budget_ms: float
    self_fence_lead_ms: float
    valid_until: Instant


class GuardExtend(NamedTuple):
    """Tell the guard the new deadline; answered by GuardAnswered only when refused."""

    session_id: str
    stop_budget_ms: float
    self_fence_lead_ms: float
    valid_until: Instant


class GuardRegister(NamedTuple):
    """Keep the definition on disk, then have the guard acknowledge that this resource is about to be started;
    answered by GuardAnswered. Nothing is started before that."""

    group: GroupSpec
    resource: ResourceSpec


class GuardUnregister(NamedTuple):
    """The resource is known to be stopped; no answer."""

    group: str
    resource: str


class KeepStarted(NamedTuple):
    """Keep the definition of a group that runs on every node on disk: something of it is started here. No answer."""

    group: GroupSpec


class WriteMember(NamedTuple):
    """Write this node's member record, as long as its session is the one created at `session_revision`; no answer.
    `macs`: with the MAC addresses of its interfaces."""

    session_revision: int
    address: str
    config_revision: int
    macs: bool


class Act(NamedTuple):
    """Carry out an action on a resource; answered by Acted, within its timeout. `beside`: the other nodes that hold the
    group while it is started here (`overlap`)."""

    id: int
    group: str
    resource: ResourceSpec
    action: Action
    epoch: int
    timeout_ms: float
    beside: tuple[str, ...] = ()


class Announce(NamedTuple):
    """Tell the stations of its networks once more that the group's addresses are here; no answer."""

    group: str


class StopAnnouncing(NamedTuple):
    """The group's addresses go to a node that announces them from now on, while they are still here (`overlap`)."""

    group: str


class LeaveAlone(NamedTuple):
    """Nothing is to be done by itself to the group's resources here, such as putting back an address that was removed
    (`alone`); or it is again, once they are seen running. No answer."""

    group: str
    alone: bool


class FenceAct(NamedTuple):
    """Have `node` switched by a device of the configuration in use; answered by FenceActed, within `timeout_ms`.
    An action that is not over by then is killed, and has failed. It is not begun, and has failed, where it could
    last beyond `until` (None: whenever): the peers take it that nothing hits the node after that (S5)."""

    id: int
    node: str
    target: Target
    action: PowerAction
    timeout_ms: float
    until: Instant | None = None


class FenceCancel(NamedTuple):
    """End a FenceAct that is under way; its FenceActed comes once the agent has been seen dead."""

    id: int


class AskGuard(NamedTuple):
    """Ask a peer's guard, directly, whether it holds the deadline of session `session_id`; answered by GuardReplied,
    or by nothing."""

    node: str
    address: str
    session_id: str


class Identify(NamedTuple):
    """Find out what tells this machine from any other; `address` is the node's. Answered by Identified."""

    address: str


class ProbeOriginal(NamedTuple):
    """Ask the network for another machine that has this node's `address`; answered by OriginalProbed."""

    address: str


class Disown(NamedTuple):
    """Keep on disk that another machine was seen to renew session `session_id`: no daemon here ever attests it."""

    session_id: str


class SelfFence(NamedTuple):
    """Take this node down at once."""

    reason: str


class Exit(NamedTuple):
    """End the daemon. `code` 0: as asked."""

    code: int
    reason: str


class Note(NamedTuple):
    """Something happened that an operator may want to know: log, history, metrics. `event` is its one name."""

    event: str
    data: dict[str, Any]


Effect = (
    SendTxn | Relist | ReadConfig | GuardBegin | GuardExtend | GuardRegister | GuardUnregister | KeepStarted
    | WriteMember | Act | Announce | StopAnnouncing | LeaveAlone | FenceAct | FenceCancel | AskGuard | Identify
    | ProbeOriginal | Disown | SelfFence | Exit | Note
)  # fmt: skip
