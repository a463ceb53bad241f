"""The knowledge and memory of a node: the state that `hactl.decide.node.step` advances."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from election.clock import Instant, owner_elapsed
from election.keys import Keys
from election.observer import Observer
from election.ownership import Writer
from election.records import CheckReport, ClientViewReport, FenceRecord, Holder, TroubleReport
from election.session import SessionState
from election.store import Txn
from election.view import View
from fencing import job as machine
from fencing.topology import NodeFencing, Topology
from hactl.decide.local_group import LocalGroup
from hactl.decide.placement.plan import Choice, Plan, plan
from hactl.decide.readiness import OwnReadiness, Sighting
from hactl.model.cluster import ClusterSpec, Timing
from hactl.model.effects import Act, Action, Effect, Note, SendTxn, WriteMember
from hactl.model.events import Boot, HaproxySeen
from hactl.model.purposes import Purpose

# listing: no list yet. stopping: everything exclusive is being stopped. closing: the last session is ended and a
# new one begun. live: taking part. ending: told to release and go. refused: this store is not ours.
Phase = Literal["listing", "stopping", "closing", "live", "ending", "refused", "gone"]


# The part of this node in a group, by the newest known ownership.
Role = Literal["owner", "offered", "holder", "absent", "unmanaged", "other"]


_NO_DEVICES = Topology()


@dataclass(slots=True)
class Work:
    """My part in fencing one node. `session_id`: the dead session. `switch`: what a device is to do next or is doing;
    `until`: by when that has to be over, while the write of `acting` before it is under way; `action`: its number
    while the device is at it (0: it is not). `cancelled`: the number of the last one that was to be ended before its
    time."""

    session_id: str
    job: machine.Job
    switch: machine.Switch | None = None
    until: Instant | None = None
    action: int = 0
    given_up: Instant | None = None
    cancelled: int = 0

    def is_for(self, record: FenceRecord, goal: str, fencing: NodeFencing) -> bool:
        """Whether it has this goal, with the dead session of the record, by these devices."""
        return (self.session_id, self.job.goal, self.job.fencing) == (record.session_id, goal, fencing)


@dataclass(slots=True)
class Pending:
    """A transaction under way: what it is for, and what is needed when its answer comes."""

    purpose: Purpose
    txn: Txn
    sent_at: Instant
    name: str = ""
    attempt: int = 0
    epoch: int = 0
    known_revision: int = 0
    generation: int = 0


class GuardQueried(NamedTuple):
    """When a peer's guard was asked `first` since the peer is silent, and `last`."""

    first: Instant
    last: Instant


@dataclass(slots=True)
class Namesake:
    """The knowledge of another machine that has my name (hactl.decide.namesake).

    `session`: revisions of the session in my name that no daemon of this boot held, `moves`: how often it was seen to
    change. `disowned`: sessions that another machine was seen to renew. `probing`: since when my address is asked
    for, `probed`: when that was answered, by another machine with the MAC address `answered_by` ("": by none).
    `problem`: what the operator is told. `leaving`: why the daemon ends. `refusal`: the newest one of a machine of my
    name, and since when I know of it.
    """

    disowned: set[str]
    session: tuple[int, int] | None = None
    moves: int = 0
    probing: Instant | None = None
    probed: Instant | None = None
    answered_by: str = ""
    problem: str = ""
    leaving: str = ""
    refusal: tuple[int, Instant] | None = None


@dataclass(slots=True)
class NodeState:
    """All of it. Changed by `step` alone.

    `config_seen` is the revision of the newest configuration that was looked at, `config_requested` of the one
    requested, `config_rev` of the one in use: the newest that could be read. `release_on_exit`: told to release
    everything and go, in whatever phase.
    `runs`: the groups that run on one node at a time, `clones`: those that run on every node, as they are here.
    `lists_failed`: in a row, `list_problem`: why the last did. `identifying`: since when it is asked what machine this
    is.
    `noted`: what was noted last, by topic, so that it is not noted again. `store_away`: etcd does not
    answer this daemon, or takes no writes.
    `fence_seen`: for each node the mod_revision of its fence record and since when it is known. `guard_queries`,
    `guard_replies`: when a peer's guard was asked, and the session whose deadline it said it holds, and when.
    `watchdog_missing`: it is required here, and is not armed. `unfenced_session_id`: the session of mine that
    has been let in by the devices that ask for that. `failures_since`: since when each failure of this node is known;
    `failures_quiet`: since when its group has run well elsewhere; `failures_unfit`: the groups that failed here by a
    resource that this node was not ready for. `marks_since`: since when each move that a failure caused is known, by
    group and epoch. `readiness`: this node's own, by group; `sightings`: how ready each node
    was seen to be, by group and node. `client_views`: how this node sees the addresses of other nodes'
    groups. `troubles`: what does not work here, by source: `what`, `do`, `since`.
    `checks`: how the health checks of this node stand, by name; None: there was no result yet.
    `haproxy`: what was seen of this node's HAProxy; None: nothing yet.
    `overwritten`: since when what cannot be read stands in my session's key. `time_of_day`: the wall clock (UTC in ms
    since 1970), and when it was read. `stirred`, `ground`: see `hactl.decide.settled`. `errors`, `last_error`: how
    often this program itself went wrong.
    """

    keys: Keys
    boot: Boot
    session: SessionState
    observer: Observer
    view: View
    timing: Timing = field(default_factory=Timing)
    phase: Phase = "listing"
    cluster: ClusterSpec | None = None
    config_rev: int = 0
    config_seen: int = 0
    config_requested: int = 0
    config_problem: str = ""
    identity: tuple[str, int] | None = None
    known_revision: int = 0
    runs: dict[str, LocalGroup] = field(default_factory=dict)
    clones: dict[str, LocalGroup] = field(default_factory=dict)
    pending: dict[int, Pending] = field(default_factory=dict)
    counter: int = 0
    sessions_opened: int = 0
    opening_session_id: str = ""
    own_session_ids: set[str] = field(default_factory=set)
    guard_ready: bool = False
    guard_lost: bool = False
    listing: int = 0
    listing_known: int = 0
    listed_at: Instant | None = None
    lists_failed: int = 0
    list_problem: str = ""
    need_list: bool = True
    unseen_since: Instant | None = None
    went_back_in: int | None = None
    identifying: Instant | None = None
    namesake: Namesake = field(default_factory=lambda: Namesake(set()))
    emergency: bool = False
    release_on_exit: bool = False
    refused: str = ""
    failures_since: dict[str, Instant] = field(default_factory=dict)
    failures_quiet: dict[str, Instant] = field(default_factory=dict)
    failures_unfit: set[str] = field(default_factory=set)
    marks_since: dict[tuple[str, int], Instant] = field(default_factory=dict)
    noted: dict[str, str] = field(default_factory=dict)
    store_away: bool = False
    dirty: bool = True
    close_sent: Instant | None = None
    decided_at: Instant | None = None
    fencing: dict[str, Work] = field(default_factory=dict)
    fence_seen: dict[str, tuple[int, Instant]] = field(default_factory=dict)
    guard_queries: dict[str, GuardQueried] = field(default_factory=dict)
    guard_replies: dict[str, tuple[str, Instant]] = field(default_factory=dict)
    watchdog_missing: bool = False
    unfenced_session_id: str = ""
    readiness: dict[str, OwnReadiness] = field(default_factory=dict)
    sightings: dict[tuple[str, str], Sighting] = field(default_factory=dict)
    client_views: dict[str, ClientViewReport] = field(default_factory=dict)
    troubles: dict[str, TroubleReport] = field(default_factory=dict)
    checks: dict[str, CheckReport] | None = None
    haproxy: HaproxySeen | None = None
    errors: int = 0
    last_error: str = ""
    stirred: int = 0
    ground: Any = None
    overwritten: tuple[int, Instant] | None = None
    time_of_day: tuple[float, Instant] | None = None
    _plan: Plan | None = None

    def plan(self) -> Plan:
        """Where every group should run, by the configuration in use and what is known of the store; kept as long as
        neither changes. There has to be a configuration."""
        assert self.cluster is not None
        kept = self._plan
        if kept is None or not kept.holds_for(self.cluster, self.view):
            kept = self._plan = plan(self.cluster, self.view, kept)
        return kept

    def choice(self, group: str) -> Choice:
        """The nodes that the group may run on, best first."""
        return self.plan().choice(group)

    @property
    def node(self) -> str:
        """My name."""
        return self.boot.node

    def sending(self, *purposes: Purpose, name: str | None = None) -> bool:
        """Whether a transaction of one of these purposes is under way; `name`: for this group or node."""
        return any(sent.purpose in purposes and name in (None, sent.name) for sent in self.pending.values())

    @property
    def config_current(self) -> bool:
        """Whether the configuration in the store is the one last read."""
        return self.view.config is not None and self.view.config.mod_revision == self.config_seen

    def here(self, name: str) -> LocalGroup | None:
        """The group of either kind, as it is on this node."""
        return self.runs.get(name) or self.clones.get(name)

    def all_here(self) -> tuple[LocalGroup, ...]:
        """All groups of both kinds, as they are on this node."""
        return (*self.runs.values(), *self.clones.values())

    def forget_store(self) -> None:
        """Nothing of what was read holds any more."""
        self.view.forget()
        self.observer.forget()
        self.namesake.session, self.namesake.moves = None, 0
        self.fence_seen.clear()
        self.fencing.clear()
        self.config_rev = self.config_seen = self.config_requested = 0

    @property
    def knows_store(self) -> bool:
        """Whether etcd answers, and has been read."""
        return bool(self.view.listed) and not self.store_away

    @property
    def generation(self) -> int:
        """The generation of the store's history that this node belongs to."""
        return self.identity[1] if self.identity else 0

    @property
    def topology(self) -> Topology:
        """The fence devices, as configured."""
        return self.cluster.fencing if self.cluster else _NO_DEVICES

    @property
    def turn_ms(self) -> float:
        """How long what anyone may do is left to the live nodes that come before this one by name, a heartbeat to
        each: so one that is blind does not block it."""
        return sum(name < self.node for name in self.view.sessions) * self.timing.heartbeat_ms

    @property
    def longest_lease_ms(self) -> int:
        """The longest lease that a session may have of which no record is left."""
        return max(int(self.timing.lease_ms), *(session.record.lease_ms for session in self.view.sessions.values()), 0)

    @property
    def me(self) -> Holder:
        """My session as a holder."""
        return Holder(self.node, self.session.session_id, self.session.session_revision)

    @property
    def writer(self) -> Writer:
        """Me as a writer of ownership."""
        return Writer(self.keys, self.me, self.view.same_history)

    @property
    def held(self) -> str:
        """Why nothing but the session may be written: what the store's history is cannot be read. It is the one that my
        session is in, as long as that can be renewed. Empty: it is known."""
        return f"{self.keys.identity} cannot be read" if self.keys.identity in self.view.unreadable else ""

    def frozen(self, name: str) -> str:
        """Why a group stays as it is: it goes on where it runs, and starts nowhere else. Empty: it does not."""
        key = self.keys.group(name)
        return self.held or (f"{key} cannot be read" if key in self.view.unreadable else "")

    def others_that_hold(self, name: str) -> tuple[str, ...]:
        """The other nodes that hold the group."""
        known = self.view.groups.get(name)
        return tuple(holder.node for holder in known.record.holders if holder.node != self.node) if known else ()

    def role(self, name: str) -> Role:
        """My part in the group, by the newest known ownership."""
        ownership = self.view.groups.get(name)
        if ownership is None:
            return "absent"
        own = ownership.record
        if own.state == "unmanaged":
            return "unmanaged"
        if own.holder == self.me and self.session.state == "live":
            return "offered" if own.state == "handoff" else "owner" if own.state == "owned" else "other"
        return "holder" if self.me in own.holders else "other"

    def may_run(self, now: Instant) -> bool:
        """Whether something exclusive may run or be started now: `now < valid_until - M`."""
        return self.session.state == "live" and self.session.time_left(now) > self.timing.stop_budget_ms

    def wall_ms(self, now: Instant) -> float | None:
        """The wall clock, UTC in ms since 1970; None: it has not been read yet."""
        return self.time_of_day[0] + owner_elapsed(self.time_of_day[1], now) if self.time_of_day else None

    def blind(self, now: Instant) -> bool:
        """Whether my own renewals do not come back to me: what I know of the others is old."""
        return self.unseen_since is not None and owner_elapsed(self.unseen_since, now) > self.timing.heartbeat_ms


@dataclass(slots=True)
class Out:
    """Collects the effects of one step."""

    state: NodeState
    now: Instant
    effects: list[Effect] = field(default_factory=list)

    def note(self, event: str, **data: Any) -> None:
        """Something happened."""
        self.effects.append(Note(event, data))

    def note_once(self, topic: str, event: str, **data: Any) -> None:
        """Something is so; noted when it changes only."""
        text = f"{event} {data}"
        if self.state.noted.get(topic) != text:
            self.state.noted[topic] = text
            self.note(event, **data)

    def send(self, purpose: Purpose, txn: Txn, **more: Any) -> int:
        """Send a transaction and remember what it is for. Its deadline is h/2 (docs/protocol.md, *Timing*)."""
        state = self.state
        state.counter += 1
        state.pending[state.counter] = Pending(
            purpose, txn, self.now, known_revision=state.known_revision, generation=state.generation, **more
        )
        self.effects.append(SendTxn(state.counter, purpose, txn, state.timing.heartbeat_ms / 2))
        return state.counter

    def act(self, run: LocalGroup, resource_index: int, action: Action) -> None:
        """Have an action carried out; it replaces whatever is under way on that resource."""
        state, resource = self.state, run.spec.resources[resource_index]
        state.counter += 1
        timeout = {
            "start": resource.start_timeout_ms,
            "stop": resource.stop_timeout_ms,
            "kill": state.timing.stop_budget_ms,
            "probe": resource.monitor_timeout_ms,
        }[action]
        run.acting[resource.name] = (state.counter, action)
        beside = state.others_that_hold(run.spec.name) if action == "start" else ()
        self.effects.append(Act(state.counter, run.spec.name, resource, action, run.epoch, timeout, beside))

    def write_member(self) -> None:
        """Have the others know where this node is, and which configuration it uses."""
        state, cluster = self.state, self.state.cluster
        groups, address = (cluster.groups, cluster.address(state.node)) if cluster else ((), "")
        macs = any(resource.kind == "vip" for group in groups for resource in group.resources)
        self.effects.append(WriteMember(state.session.session_revision, address, state.config_rev, macs))
