"""The events that the decide side is told. An event carries what was seen, never what to do."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from election.clock import Instant
from election.records import CheckReport
from election.store import Snapshot, TxnResult, WatchBatch
from hactl.model.cluster import ClusterSpec, GroupSpec

Health = Literal["unknown", "running", "stopped", "failed"]
Power = Literal["on", "off", "unknown"]
ReadinessLevel = Literal["ready", "poor", "unfit"]
# From good to bad.
READINESS: tuple[ReadinessLevel, ...] = ("ready", "poor", "unfit")


class GuardFacts(NamedTuple):
    """The guard's answer when the daemon adopted it. `exclusive`: names `group/resource`."""

    session_id: str
    valid_until: Instant | None
    latched: bool
    exclusive: tuple[str, ...]
    incarnation: int


class Boot(NamedTuple):
    """The knowledge of a daemon when it begins.

    `nonce`: never used before by any daemon. `identity`: uuid and generation of the store's history as kept on
    disk, with the highest revision seen of it. `last_session_id`, `last_session_revision`: this node's last
    session, as kept on disk.
    `leftovers`: the groups of which something was started here, by their definition then; `same_boot`: perhaps since
    this machine booted. `held_session_id`: the last session that was held in this boot, as kept where no copy of the
    disk has it. `disowned`: sessions in this node's name that another machine was seen to renew.
    """

    node: str
    machine_id: str
    boot_id: str
    nonce: str
    guard: GuardFacts
    identity: tuple[str, int] | None
    known_revision: int
    last_session_id: str = ""
    leftovers: tuple[GroupSpec, ...] = ()
    same_boot: bool = True
    held_session_id: str = ""
    disowned: tuple[str, ...] = ()
    last_session_revision: int = 0


class Listed(NamedTuple):
    """A list of everything; the watch goes on from it."""

    id: int
    snapshot: Snapshot


class ListFailed(NamedTuple):
    """A list could not be had."""

    id: int
    problem: str


class Watched(NamedTuple):
    """Changes came."""

    batch: WatchBatch


class WatchEnded(NamedTuple):
    """The watch cannot go on (compaction): list again."""

    problem: str


class Configured(NamedTuple):
    """The configuration at `revision` (mod_revision of the key) has been read. With a `problem` it could not be:
    `spec` is the last one that could, kept on this node, for a daemon that has none yet."""

    revision: int
    spec: ClusterSpec | None
    problem: str = ""


class TxnDone(NamedTuple):
    """A transaction's answer. `result` None: unknown whether it was or will be carried out, unless `refused`."""

    id: int
    result: TxnResult | None
    refused: bool = False
    problem: str = ""


class GuardAnswered(NamedTuple):
    """The guard's answer to GuardBegin (`name` "begin"), GuardExtend ("extend") or GuardRegister
    ("group/resource")."""

    name: str
    ok: bool
    problem: str = ""


class GuardLost(NamedTuple):
    """The guard has died."""


class Acted(NamedTuple):
    """An action has ended. `health` is what is known of the resource now. `score`: of a probe of the promoted role, how
    good this node's instance would be, the higher the better; None: it must not be promoted."""

    id: int
    ok: bool
    health: Health
    detail: str = ""
    score: int | None = None


class Warned(NamedTuple):
    """Something is wrong with a resource while it runs, or (`text` empty) is no longer. `topic`: in one word, by which
    the end finds its beginning. `mac`: of the station that has to do with it."""

    topic: str
    text: str
    mac: str = ""


class Observed(NamedTuple):
    """A monitor or an event showed a resource's health. `put_right`: what something outside of hactl did to it and has
    been put right. `warned`: what is wrong with it all the same."""

    group: str
    resource: str
    health: Health
    detail: str = ""
    put_right: str = ""
    warned: Warned | None = None


class Readiness(NamedTuple):
    """The finding of an observer, `source`, of this node for a group. `poor`: the group would be better off on a node
    that is ready; `unfit`: it could not be started here. `why`: for people."""

    group: str
    source: str
    level: ReadinessLevel
    why: str = ""


class HaproxySeen(NamedTuple):
    """This node's HAProxy. `problem`: why it is not well, "" when it is. `bound`: the groups of which it binds a VIP.
    `failing`: of the services that groups require, those for which it does not answer, and why."""

    problem: str
    bound: frozenset[str] = frozenset()
    failing: Mapping[str, str] = MappingProxyType({})


class GroupProbed(NamedTuple):
    """How this node sees the address of another node's group, in the ownership of this epoch: its probes have all been
    answered well, or one of them has failed, and `why`."""

    group: str
    epoch: int
    well: bool
    why: str = ""


class FenceActed(NamedTuple):
    """A device action has ended. `ok`: the agent says that it did what it was asked; `power`: what it says of the
    node's power now. An action that ran into its deadline is never `ok`."""

    id: int
    ok: bool
    power: Power
    detail: str = ""


class GuardReplied(NamedTuple):
    """A peer's guard has answered: it holds the deadline of session `session_id`, or (`holds` false) of none such."""

    node: str
    session_id: str
    holds: bool


class Identified(NamedTuple):
    """The marks that tell this machine from any other (election.machine)."""

    machine: str


class OriginalProbed(NamedTuple):
    """This node's address was asked for: `by` is the MAC address of another machine that has it, "" when none answered.
    `problem`: it cannot be found out."""

    by: str
    problem: str = ""


class Watchdog(NamedTuple):
    """Whether a watchdog now resets this node before its lease ends. `required`: without one nothing may be owned."""

    armed: bool
    required: bool = False


class TimeOfDay(NamedTuple):
    """The wall clock: UTC in ms since 1970. For the ends of what operators have planned; no guarantee rests on it."""

    unix_ms: float


class Trouble(NamedTuple):
    """Something of this node, or of the daemon itself, does not work, though what runs goes on. `source` names it;
    `what` is wrong and what to `do`, for the operator; `since`: wall time, for people. `what` "": it is over."""

    source: str
    what: str
    do: str = ""
    since: str = ""


class NodeChecked(NamedTuple):
    """How all health checks of this node stand."""

    checks: Mapping[str, CheckReport]


class Shutdown(NamedTuple):
    """The daemon is asked to end. `release`: stop and release what runs here; else leave it running."""

    release: bool


class Tick(NamedTuple):
    """Time has passed."""


Event = (
    Listed | ListFailed | Watched | WatchEnded | Configured | TxnDone | GuardAnswered | GuardLost | Acted | Observed
    | Readiness | HaproxySeen | GroupProbed | FenceActed | GuardReplied | Identified | OriginalProbed | Watchdog
    | TimeOfDay | Trouble | NodeChecked | Shutdown | Tick
)  # fmt: skip
