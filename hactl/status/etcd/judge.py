"""The problems of etcd, and its state for the status document. Pure.

The protocol does not ask here: it goes by the answers to its own reads and writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from election.etcd.facts import EndpointFacts
from election.etcd.server_metrics import ServerMetrics
from hactl.status.etcd.membership import membership
from hactl.status.etcd.problems import PROBLEMS, EtcdProblem, leads, members_of
from hactl.status.etcd.strain import NO_WRITES, Writes, delays, room, slow

# The timer makes one a day; of two that were missed the operator hears.
SNAPSHOT_OLD_S = 2 * 86400.0


@dataclass(frozen=True, slots=True)
class SnapshotAge:
    """The snapshots of etcd that this node keeps. `newest_wall_s`: when the newest was made, by the wall clock, 0:
    there is none. `age_s`: how long ago; without one, for how long the timer has been there."""

    newest_wall_s: float
    age_s: float


@dataclass(frozen=True, slots=True)
class Beside:
    """What is known beside the endpoints' facts. `etcdctl`: the command with all that it needs to reach them. `nodes`:
    name and address of the configured ones; empty: not known. `measured`: by endpoint, what happened at its member
    lately. `snapshot`: None: this node keeps none. `by_setup`: `hactl setup` made etcd, so `hactl node` changes it."""

    etcdctl: str
    writes: Writes = NO_WRITES
    nodes: Mapping[str, str] = field(default_factory=dict)
    election_ms: float = 1000.0
    measured: Mapping[str, ServerMetrics] = field(default_factory=dict)
    snapshot: SnapshotAge | None = None
    by_setup: bool = False


@dataclass(frozen=True, slots=True)
class EtcdState:
    """etcd as one node sees it. `facts`: empty until it was looked at. `problems`: the worst first."""

    facts: tuple[EndpointFacts, ...] = ()
    problems: tuple[EtcdProblem, ...] = ()
    beside: Beside = Beside("etcdctl")

    def document(self) -> dict[str, Any]:
        """For the status document."""
        members = members_of(self.facts)
        names = {member.id: member.name for member in members}
        return {
            "endpoints": [
                _endpoint(fact, names.get(fact.member_id, ""), self.beside.measured.get(fact.endpoint))
                for fact in self.facts
            ],
            "members": [{**member._asdict(), "hex": format(member.id, "x")} for member in members],
            "snapshot_age_s": round(self.beside.snapshot.age_s) if self.beside.snapshot else None,
            "problems": [
                {"code": problem.code, "level": problem.level, "what": problem.text, "do": problem.todo}
                for problem in self.problems
            ],
        }


def judge(facts: Sequence[EndpointFacts], beside: Beside) -> EtcdState:
    """The problems."""
    problems = [
        *membership(facts, beside.nodes, beside.etcdctl, by_setup=beside.by_setup),
        *room(facts, beside.etcdctl),
    ]
    if not any(problem.level == "error" for problem in problems):
        problems += slow(facts, beside.writes, beside.etcdctl)
    problems += [*delays(facts, beside.measured, beside.election_ms), *_snapshot(beside.snapshot)]
    order = list(PROBLEMS)
    return EtcdState(tuple(facts), tuple(sorted(problems, key=lambda problem: order.index(problem.code))), beside)


def _snapshot(snapshot: SnapshotAge | None) -> Iterator[EtcdProblem]:
    if snapshot is None or snapshot.age_s <= SNAPSHOT_OLD_S:
        return
    days = f"{snapshot.age_s / 86400:.0f} days"
    text = f"this node made its last snapshot of etcd {days} ago"
    if not snapshot.newest_wall_s:
        text = f"this node has made no snapshot of etcd in {days}"
    todo = "`hactl etcd snapshot` makes one; why the timer makes none: `journalctl -u hactl-etcd-snapshot`"
    yield EtcdProblem("snapshot_old", text, todo)


def _endpoint(facts: EndpointFacts, name: str, measured: ServerMetrics | None) -> dict[str, Any]:
    fsync_s = measured.fsync_quantile(0.99) if measured else None
    return {
        "endpoint": facts.endpoint,
        "member": name,
        "id": format(facts.member_id, "x") if facts.member_id else "",
        "problem": facts.problem,
        "leads": leads(facts),
        "learner": facts.learner,
        "reads": facts.read_ms is not None,
        "read_ms": None if facts.read_ms is None else round(facts.read_ms, 1),
        "db_bytes": facts.db_bytes,
        "db_used_bytes": facts.db_used_bytes,
        "quota_bytes": facts.quota_bytes,
        "raft_index": facts.raft_index,
        "fsync_p99_ms": None if fsync_s is None else round(fsync_s * 1000, 1),
        "version": facts.version,
        "alarms": list(facts.alarms),
    }
