"""How ready each node is for each group: what is reported of it, and when a group leaves a node for a better one. Pure.

Observers on a node post what they find (`events.Readiness`), each under a name of its own, its *source*. The worst of
it is in the node's report: *unfit* excludes the node from the group, *poor* puts it behind every ready one. A report
becomes worse at once; it becomes better only after it was better for `settle_ms`. So a source that changes all the time
makes a node poor, and not a stream of writes.

An owner that is poor hands the group over to a ready node, after both were so for `settle_ms`. A node that was seen to
become poor again and again must have been ready for longer each time: two nodes that are poor in turn do not pass a
group to and fro.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from election.clock import Instant, owner_elapsed
from election.reading import ReadView
from election.records import Report
from hactl.decide.node_reports import current_report
from hactl.model.cluster import Timing
from hactl.model.events import READINESS, ReadinessLevel

# For how long at least a node is poor before its groups leave it, and another ready before they go there; in ms.
SETTLE_MS = 3_000.0
# The longest that a node which becomes poor again and again must have been ready, and when that is forgotten; in ms.
LONGEST_SETTLE_MS = 600_000.0
FORGET_MS = 3_600_000.0
# So many changes are noted one by one; those that follow within this time are counted; in ms.
NOTED_CHANGES = 4
NOTE_AGAIN_MS = 60_000.0
_LONGEST_REASON = 300


class Standing(NamedTuple):
    """A level and, where it is not `ready`, its reason."""

    level: ReadinessLevel = "ready"
    why: str = ""

    @property
    def badness(self) -> int:
        """0: ready."""
        return READINESS.index(self.level)


READY = Standing()


def reported(view: ReadView, group: str, node: str) -> Standing:
    """The node's standing for the group, by its report of its present session."""
    report = current_report(view, node)
    return standing_in(report, group) if report is not None else READY


def standing_in(report: Report, group: str) -> Standing:
    """The standing of a report's node for the group. A level of a later version counts as ready."""
    entry = report.readiness.get(group)
    level: ReadinessLevel = next((known for known in READINESS if entry and entry.get("level") == known), "ready")
    return Standing(level, str(entry.get("why", ""))) if entry and level != "ready" else READY


def settle_ms(timing: Timing) -> float:
    """How long something must be so before it counts."""
    return max(SETTLE_MS, timing.lease_ms)


@dataclass(slots=True)
class OwnReadiness:
    """How ready this node is for one group. `reported`: in its report. `differs`: the level that its sources have
    said instead, and since when."""

    sources: dict[str, Standing] = field(default_factory=dict)
    reported: Standing = READY
    differs: tuple[ReadinessLevel, Instant] | None = None
    changes: int = 0
    noted: int = 0
    noted_at: Instant | None = None

    def post(self, source: str, level: ReadinessLevel, why: str) -> None:
        """A source says something."""
        if level == "ready":
            self.sources.pop(source, None)
        else:
            self.sources[source] = Standing(level, why[:_LONGEST_REASON] or level)

    @property
    def worst(self) -> Standing:
        """The worst that a source says now; of several as bad the first by name."""
        return max((self.sources[name] for name in sorted(self.sources)), key=lambda said: said.badness, default=READY)

    def settle(self, settle: float, now: Instant) -> None:
        """Bring the reported level closer to the sources: a worse one at once, any other once it has lasted."""
        worst = self.worst
        if worst.badness > self.reported.badness:
            self._tell(worst)
        elif worst == self.reported:
            self.differs = None
        elif self.differs is None or self.differs[0] != worst.level:
            self.differs = (worst.level, now)
        elif owner_elapsed(self.differs[1], now) >= settle:
            self._tell(worst)

    def _tell(self, standing: Standing) -> None:
        self.changes += standing.level != self.reported.level
        self.reported, self.differs = standing, None

    def changes_to_note(self, now: Instant) -> int:
        """How many changes of the level are to be noted now, as one; 0: none, or they wait for others."""
        quiet = self.noted_at is None or owner_elapsed(self.noted_at, now) >= NOTE_AGAIN_MS
        if not self.changes or not (quiet or self.noted < NOTED_CHANGES):
            return 0
        count, self.changes = self.changes, 0
        self.noted, self.noted_at = 1 if quiet else self.noted + 1, now
        return count

    @property
    def poor_because(self) -> str:
        """Why this node is poor now; "" where no source says so."""
        return next((self.sources[name].why for name in sorted(self.sources) if self.sources[name].level == "poor"), "")

    @property
    def owner_level(self) -> ReadinessLevel:
        """By which an owner stays or goes. That the group could not be started here (unfit) does not hide that it would
        be better off elsewhere."""
        return "poor" if self.poor_because else self.reported.level


@dataclass(slots=True)
class Sighting:
    """How one node was seen for one group: at this level since then. `episodes`: how often it became poor or unfit."""

    level: ReadinessLevel | Literal["gone"]
    since: Instant
    episodes: int = 0

    def see(self, level: ReadinessLevel | Literal["gone"], now: Instant) -> None:
        """It is seen at this level."""
        if level != self.level:
            self.episodes += self.level == "ready" and level != "gone"
            self.level, self.since = level, now
        elif level == "ready" and owner_elapsed(self.since, now) >= FORGET_MS:
            self.episodes = 0

    def lasted(self, level: ReadinessLevel, settle: float, now: Instant) -> bool:
        """Whether it has been so for long enough: of being ready, the longer the more often it was not."""
        needed = min(settle * 2.0**self.episodes, max(settle, LONGEST_SETTLE_MS)) if level == "ready" else settle
        return self.level == level and owner_elapsed(self.since, now) >= needed
