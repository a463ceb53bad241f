"""The failover ledger: for every group that came to this node, how long each part of it took.

Made of the notes of the decide side and of looks at its state. Times are milliseconds of this node's own clock.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

from election.clock import Instant
from election.records import Ownership
from hactl.decide.reading import ReadState

KEPT = 50

Reason = Literal["planned", "resource_failed", "node_lost"]
REASONS: tuple[Reason, ...] = ("planned", "resource_failed", "node_lost")

# The parts of a takeover, by the milestone that ends each; `total` is from the first milestone to `running`.
PHASES = {"over": "detect", "deposed": "depose", "handed_over": "stop", "acquired": "acquire", "running": "start"}
PHASE_NAMES = (*PHASES.values(), "total")

# A sign of death that is older than this has nothing to do with a takeover now.
_STALE_MS = 600_000.0


@dataclass(slots=True)
class Timeline:
    """One takeover. `marks`: its milestones in order, each with its instant; the first is the zero.

    `node_lost`: silent (the last sign of life), over, deposed, acquired, started:<resource>, running.
    Else: wished (where an operator asked), handed_over, acquired, started:<resource>, running.
    """

    group: str
    reason: Reason
    from_node: str
    to_node: str
    epoch: int
    detail: str = ""
    marks: list[tuple[str, Instant]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: `marks` in ms since the first, `phases` in ms each."""
        return {
            "group": self.group,
            "reason": self.reason,
            "from": self.from_node,
            "to": self.to_node,
            "epoch": self.epoch,
            "detail": self.detail,
            "marks": {name: self._ms(at) for name, at in self.marks},
            "phases": self.phases(),
        }

    def phases(self) -> dict[str, float]:
        """How long each part took, in ms."""
        durations: dict[str, float] = {}
        known = [(name, at) for name, at in self.marks if not name.startswith("started:")]
        for (_, before), (name, at) in itertools.pairwise(known):
            if name in PHASES:
                durations[PHASES[name]] = round(at.raw - before.raw, 1)
        if known:
            durations["total"] = self._ms(known[-1][1])
        return durations

    def _ms(self, at: Instant) -> float:
        return round(at.raw - self.marks[0][1].raw, 1)


@dataclass(slots=True)
class _Owner:
    """The last owner of a group, and whether it has released it."""

    node: str
    released: bool


class Ledger:
    """Keeps the timelines. `look` is cheap and may be called after every step."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.timelines: deque[Timeline] = deque(maxlen=KEPT)
        self._open: dict[str, Timeline] = {}
        self._owners: dict[str, _Owner] = {}
        self._details: dict[str, str] = {}
        self._seen: dict[str, int] = {}
        self._looked = False
        self._silent: dict[str, Instant] = {}
        self._over: dict[str, Instant] = {}
        self._deposed: dict[str, Instant] = {}
        self._wished: dict[str, Instant] = {}
        self._offered: dict[str, Instant] = {}

    def look(self, state: ReadState, now: Instant) -> None:
        """See the news in the store since the last look."""
        if not state.view.listed:
            return
        first, self._looked = not self._looked, True
        for node, fence in state.view.fences.items():
            if self._new(f"fence/{node}", fence.mod_revision) and not first and fence.record.state == "pending":
                self._deposed[node] = now
                if (dead := state.observer.dead.get(node)) is not None:
                    self._silent[node] = dead.since
        for group, move in state.view.moves.items():
            if self._new(f"move/{group}", move.mod_revision):
                self._wished[group] = now
        for group, ownership in state.view.groups.items():
            if self._new(f"group/{group}", ownership.mod_revision):
                self._look_at(group, ownership.record, now)
        for group in [group for group in self._wished if group not in state.view.moves]:
            owner = state.view.groups.get(group)
            if owner is None or owner.record.node != self.node:
                del self._wished[group]  # granted to another node, or taken back

    def _look_at(self, group: str, own: Ownership, now: Instant) -> None:
        self._details[group] = own.reason
        if own.state == "handoff" and own.node == self.node:
            self._offered[group] = now
        elif own.node != self.node or own.state == "released":
            self._owners[group] = _Owner(own.node, own.state == "released")

    def note(self, event: str, data: dict[str, Any], state: ReadState | None, now: Instant) -> Timeline | None:
        """Take a note; the timeline that it completes."""
        group = str(data.get("group", ""))
        match event:
            case "peer_over":
                silent = float(data.get("silent_ms", 0.0))
                self._over[data["node"]], self._silent[data["node"]] = now, now.plus(-silent)
            case "group_accept":
                self._begin_planned(group, int(data["epoch"]), state, now)
            case "group_acquire":
                self._begin_lost(group, int(data["epoch"]), now)
            case "resource_started" if group in self._open:
                self._open[group].marks.append((f"started:{data['resource']}", now))
            case "group_leaving":
                self._open.pop(group, None)
            case "group_running" if group in self._open:
                done = self._open.pop(group)
                done.marks.append(("running", now))
                self._owners[group] = _Owner(self.node, False)
                self._wished.pop(group, None)
                self.timelines.append(done)
                return done
        return None

    def _new(self, key: str, mod: int) -> bool:
        if self._seen.get(key) == mod:
            return False
        self._seen[key] = mod
        return True

    def _begin_planned(self, group: str, epoch: int, state: ReadState | None, now: Instant) -> None:
        owner = self._owners.get(group)
        failed = state is not None and owner is not None and f"{group}/{owner.node}" in state.view.failures
        timeline = Timeline(
            group,
            "resource_failed" if failed else "planned",
            owner.node if owner else "",
            self.node,
            epoch,
            self._details.get(group, ""),
        )
        offered = self._offered.pop(group, None)
        self._mark(timeline, "wished", self._wished.pop(group, None), now)
        self._mark(timeline, "handed_over", offered, now)
        timeline.marks.append(("acquired", now))
        self._open[group] = timeline

    def _begin_lost(self, group: str, epoch: int, now: Instant) -> None:
        owner = self._owners.get(group)
        self._open.pop(group, None)
        if owner is None or owner.released or owner.node == self.node:
            return  # a start, not a takeover
        timeline = Timeline(group, "node_lost", owner.node, self.node, epoch, self._details.get(group, ""))
        for name, marks in (("silent", self._silent), ("over", self._over), ("deposed", self._deposed)):
            self._mark(timeline, name, marks.get(owner.node), now)
        timeline.marks.append(("acquired", now))
        self._open[group] = timeline

    @staticmethod
    def _mark(timeline: Timeline, name: str, at: Instant | None, now: Instant) -> None:
        before = timeline.marks[-1][1].raw if timeline.marks else 0.0
        if at is not None and now.raw - _STALE_MS < at.raw <= now.raw and at.raw >= before:
            timeline.marks.append((name, at))
