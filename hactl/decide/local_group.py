"""A group as it is on this node: what runs of it, what is under way, and what it may do."""

from __future__ import annotations

from dataclasses import dataclass, field

from election.clock import Instant
from election.records import GroupReport
from hactl.model.cluster import GroupSpec
from hactl.model.effects import Action
from hactl.model.events import Health


@dataclass(slots=True)
class Interference:
    """Interference with a resource here from outside of hactl (`hactl.decide.outside`): `count` times so far, at `last`
    the last time. `lasts`: it goes on until it is said to be over. `mac`: of the station that has to do with it."""

    text: str
    last: Instant
    count: int = 1
    lasts: bool = False
    mac: str = ""


@dataclass(slots=True)
class Takeover:
    """A group taken from `node`, which did not release it: announced again for `for_ms` from `since`, lately at `last`.
    `sign`: what was known of that node then."""

    node: str
    since: Instant
    for_ms: float
    last: Instant | None = None
    sign: tuple[int, int] | None = None


@dataclass(slots=True)
class Score:
    """How good this node's instance is for the group that promotes one. `value`: the higher, the better; None: it must
    not be promoted, or is not known. `of`: the revision of the ownership in which it was asked, after everyone who may
    have been promoted was safe; -1: in none. `asking`: the action that asks, and for which revision. `at`: when it was
    asked last."""

    value: int | None = None
    of: int = -1
    asking: tuple[int, int] | None = None
    at: Instant | None = None
    counts_for: int = 0


@dataclass(slots=True)
class LocalGroup:
    """One group on this node: what runs, what is under way, and what it may do.

    `granted` is the epoch of my own last successful write to `groups/G` since my last promise (release, handoff);
    0: nothing may be started, whatever a read says. `untouched`: it was found here and has never been
    hactl's: it is left alone until somebody owns it. `outdated`: it runs by a definition that is no longer the
    configured one. `leftover`: an earlier daemon may have started it since this machine booted, and no guard knows
    better. `failure`, `failing`: why something failed last, and which resource. `begin_failed`: of those that are
    starting together one has failed. `unregistered`: its last start could not even be registered. `retries`: how often
    it was looked at again in vain. `words`: what each resource that is not well said last. `overlap_seen`: the epoch of
    the last ownership with an overlap, and when it was first seen here.
    `unseen`: it is stopped to be started again as a whole, since no client reaches it.
    `cleaned`: the last cleanup of the operator's that was carried out; `restarted`: the last request to restart it for
    which everything was stopped, `restarting`: the one for which an instance is stopped now (-1: it
    is for its new definition). `alone`: nothing is done
    here by itself to what runs, which was looked at `looked_at`. `interferences`: by resource and topic. `waits_since`:
    since when it waits for others to start, `leaving_since`: since when it is to stop in order. `score`: of a group
    that promotes an instance. `settled`: on what it rests that there is nothing to do for it (`hactl.decide.settled`);
    `entry`: of this node's report, then.
    """

    spec: GroupSpec
    health: dict[str, Health] = field(default_factory=dict)
    acting: dict[str, tuple[int, Action]] = field(default_factory=dict)
    registered: set[str] = field(default_factory=set)
    registering: set[str] = field(default_factory=set)
    granted: int = 0
    epoch: int = 0
    txn: int = 0
    restarts: int = 0
    failure: str = ""
    failing: str = ""
    begin_failed: bool = False
    stop_failed: str = ""
    retry_at: Instant | None = None
    takeable_since: Instant | None = None
    untouched: bool = False
    outdated: bool = False
    leftover: bool = False
    retries: int = 0
    unregistered: bool = False
    words: dict[str, str] = field(default_factory=dict)
    probed: int = 0
    answered_probe: int = 0
    since_running: Instant | None = None
    overlap_seen: tuple[int, Instant] | None = None
    cleaned: str = ""
    restarted: int = 0
    restarting: int = 0
    alone: bool = False
    looked_at: Instant | None = None
    waiting: str = ""
    waits_since: Instant | None = None
    leaving_since: Instant | None = None
    unseen: bool = False
    interferences: dict[tuple[str, str], Interference] = field(default_factory=dict)
    takeover: Takeover | None = None
    score: Score = field(default_factory=Score)
    settled: object = None
    entry: GroupReport | None = None

    @property
    def stopped(self) -> bool:
        """Everything of it is known to be stopped, and nothing is under way."""
        return not self.acting and all(self.health.get(resource.name) == "stopped" for resource in self.spec.resources)

    @property
    def running(self) -> bool:
        """Everything of it runs, and nothing is under way."""
        return not self.acting and all(self.health.get(resource.name) == "running" for resource in self.spec.resources)

    @property
    def leaving(self) -> bool:
        """Whether it is to stop in order, and those that run after it are to stop before."""
        return self.leaving_since is not None

    @property
    def starting(self) -> bool:
        """Something of it is being started."""
        return any(action == "start" for _, action in self.acting.values())

    @property
    def started(self) -> bool:
        """Whether something of it may have been started here since this machine booted, and may still run."""
        return bool(self.registered or self.registering) or self.leftover

    @property
    def barred(self) -> bool:
        """Whether its state here cannot be told (its monitor is missing, hangs, says something unknown), and hactl has
        not started it since the boot: it counts as stopped here, and may not come here."""
        return bool(self.stop_failed) and not self.started and "running" not in self.health.values()

    @property
    def phase(self) -> str:
        """One word for the operator."""
        if self.stop_failed:
            return "blocked" if self.started else "barred"
        values = {self.health.get(resource.name, "unknown") for resource in self.spec.resources}
        if "unknown" in values:
            return "unknown"
        if doing := {action for _, action in self.acting.values()} - {"probe"}:
            return "stopping" if doing & {"stop", "kill"} else "starting"
        if values == {"running"}:
            return "running"
        return "stopped" if values == {"stopped"} else "failed" if "failed" in values else "starting"
