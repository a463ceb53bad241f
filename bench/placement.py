"""How long placement takes: `python -m bench.placement --groups 1000 --nodes 5`.

Clusters of the same size: groups that have nothing to do with each other; groups in fives, of which each has an entry,
three that run with it and one that is apart; groups that need capacity, of which there is one node more than enough
(needy), just enough (full), and just enough for needs that differ (uneven), these two with priorities. Each from
nothing, as a daemon that begins has it, and after one change: a group fails on its node, a node goes into standby, a
group is owned by another node.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from election.keys import Keys
from election.records import Failure, Ownership, Record, Session
from election.store import KeyValue, Snapshot
from election.view import View
from hactl.decide.placement.plan import Plan, plan
from hactl.model.cluster import ClusterSpec, GroupSpec, NodeSpec
from hactl.model.placing import Placing, Relation

KEYS = Keys.of("bench")


def apart(groups: int, nodes: int) -> ClusterSpec:
    """Groups without relations."""
    return _cluster([GroupSpec(f"g{index:04}", ()) for index in range(groups)], nodes)


def fives(groups: int, nodes: int) -> ClusterSpec:
    """Groups in fives."""
    made = []
    for index in range(groups):
        entry = f"g{index - index % 5:04}"
        placing = Placing() if index % 5 == 0 else Placing(together_with=(Relation(entry),))
        made.append(
            GroupSpec(f"g{index:04}", (), placing=Placing(apart_from=(Relation(entry),)) if index % 5 == 4 else placing)
        )
    return _cluster(made, nodes)


def needy(groups: int, nodes: int) -> ClusterSpec:
    """Every group needs a part of its node, of which there is little more than enough."""
    needs = [GroupSpec(f"g{index:04}", (), placing=Placing(needs=(("memory", 1.0),))) for index in range(groups)]
    return _cluster(needs, nodes, capacity=(("memory", groups / (nodes - 1)),))


def full(groups: int, nodes: int) -> ClusterSpec:
    """Every node is full, and without one of them not all groups have a place; three priorities."""
    return _tight([1.0] * groups, nodes)


def uneven(groups: int, nodes: int) -> ClusterSpec:
    """The same with needs that differ."""
    return _tight([1.0 + (index * 7 % 31) / 10 for index in range(groups)], nodes)


def _tight(needs: Sequence[float], nodes: int) -> ClusterSpec:
    made = [
        GroupSpec(f"g{index:04}", (), placing=Placing(needs=(("memory", need),), priority=index % 3))
        for index, need in enumerate(needs)
    ]
    room = sum(needs) / nodes
    return _cluster(made, nodes, capacity=(("memory", room if len(set(needs)) == 1 else room * 1.005),))


def _cluster(groups: Sequence[GroupSpec], nodes: int, capacity: tuple[tuple[str, float], ...] = ()) -> ClusterSpec:
    named = [NodeSpec(f"n{index + 1}", "", capacity=capacity) for index in range(nodes)]
    return ClusterSpec("bench", tuple(named), tuple(groups))


def fresh(cluster: ClusterSpec) -> View:
    """All nodes live, no group has an owner."""
    view = View(KEYS)
    sessions = [_kv(KEYS.node(node.name), Session(node.name, "m", "b", 3750, 1)) for node in cluster.nodes]
    view.load(Snapshot(1, tuple(sessions)))
    return view


def _kv(key: str, record: Record | str, revision: int = 1) -> KeyValue:
    return KeyValue(key, record if isinstance(record, str) else record.to_json(), revision, revision)


def own(view: View, group: str, node: str, revision: int) -> None:
    """The node owns the group."""
    view.learn(KEYS.group(group), _kv(KEYS.group(group), Ownership(node, node, 1, 1, "owned"), revision), revision)


def changes(view: View, planned: Plan, revision: int) -> dict[str, Callable[[], None]]:
    """One change each, which another planning has to take in."""
    group, node = next(iter(planned.targets.items()))
    other = next(name for name in planned.rules.nodes if name != node)
    failure, standby = KEYS.failure(group, node), KEYS.standby(planned.rules.nodes[-1])
    return {
        "a failure": lambda: _learn(view, _kv(failure, Failure(3, "r", "ended"), revision)),
        "a standby": lambda: _learn(view, _kv(standby, "bench", revision + 1)),
        "another owner": lambda: own(view, group, other, revision + 2),
    }


def _learn(view: View, kv: KeyValue) -> None:
    view.learn(kv.key, kv, kv.mod_revision)


def measure(cluster: ClusterSpec, runs: int) -> dict[str, float]:
    """Medians in ms."""
    figures: dict[str, list[float]] = {}
    for _ in range(runs):
        view = fresh(cluster)
        began = time.perf_counter()
        planned = plan(cluster, view)
        figures.setdefault("from nothing", []).append(time.perf_counter() - began)
        assert len(planned.targets) == len(cluster.groups)
        for index, (group, node) in enumerate(planned.targets.items()):
            own(view, group, node, 2 + index)
        planned = plan(cluster, view, planned)
        for name, change in changes(view, planned, 10_000).items():
            change()
            began = time.perf_counter()
            planned = plan(cluster, view, planned)
            figures.setdefault(f"after {name}", []).append(time.perf_counter() - began)
    return {name: round(statistics.median(times) * 1000, 2) for name, times in figures.items()}


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--groups", type=int, default=1000)
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    figures: dict[str, Any] = {}
    for name, make in (("apart", apart), ("fives", fives), ("needy", needy), ("full", full), ("uneven", uneven)):
        figures[name] = measure(make(given.groups, given.nodes), given.runs)
        print(f"{given.groups} groups, {given.nodes} nodes, {name}: {figures[name]} ms", flush=True)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
