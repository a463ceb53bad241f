"""The solver against every assignment of small clusters, and what holds in large ones."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from hactl.decide.placement.costs import Candidate, Wanted
from hactl.decide.placement.plan import place_all
from hactl.decide.placement.rules import rules_of
from hactl.model.cluster import ClusterSpec, GroupSpec, NodeSpec
from hactl.model.placing import Placing, Relation

from .brute_force import broken, cost, possible

Case = tuple[ClusterSpec, dict[str, Wanted]]


@st.composite
def cases(draw: st.DrawFn, most: int = 5, relations: int = 4) -> Case:
    """A cluster without circles of `together_with`, and what may run where."""
    names = [f"g{index}" for index in range(draw(st.integers(1, most)))]
    nodes = [f"n{index + 1}" for index in range(draw(st.integers(1, 3)))]
    full = draw(st.booleans())
    related: dict[str, list[tuple[str, Relation]]] = {name: [] for name in names}
    for _ in range(draw(st.integers(0, relations)) if len(names) > 1 else 0):
        first, second = sorted(draw(st.lists(st.sampled_from(names), min_size=2, max_size=2, unique=True)))
        kind = draw(st.sampled_from(["together_with", "apart_from"]))
        if not any(relation.group in (first, second) for _, relation in (*related[first], *related[second])):
            related[second].append((kind, Relation(first, draw(st.booleans()))))
    groups, wanted = [], {}
    for name in names:
        placing = Placing(
            together_with=tuple(relation for kind, relation in related[name] if kind == "together_with"),
            apart_from=tuple(relation for kind, relation in related[name] if kind == "apart_from"),
            needs=(("memory", float(draw(st.integers(1, 4)))),) if full and draw(st.booleans()) else (),
            spread=draw(st.sampled_from(["", "", "s"])),
            priority=draw(st.integers(0, 1)),
        )
        groups.append(GroupSpec(name, (), placing=placing))
        able = draw(st.lists(st.sampled_from(nodes), unique=True))
        candidates = tuple(Candidate(node, *(draw(st.integers(0, 1)) for _ in range(3))) for node in sorted(able))
        now = draw(st.sampled_from(["", *able]))
        wanted[name] = Wanted(name, candidates, now, placing.priority)
    capacity = (("memory", float(draw(st.integers(2, 6)))),)
    return ClusterSpec("c", tuple(NodeSpec(node, node, capacity=capacity) for node in nodes), tuple(groups)), wanted


def placed(cluster: ClusterSpec, wanted: Mapping[str, Wanted]) -> dict[str, str]:
    return place_all(rules_of(cluster), wanted, {})[0]


@given(cases())
def test_it_is_the_best_of_all_assignments(case: Case) -> None:
    cluster, wanted = case
    at = placed(cluster, wanted)
    assert not broken(cluster, at)
    best = min(cost(cluster, wanted, other) for other in possible(cluster, wanted))
    assert cost(cluster, wanted, at) == best, at


@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_the_groups_does_not_matter(case: Case, rng: random.Random) -> None:
    cluster, wanted = case
    groups, names = list(cluster.groups), list(wanted)
    rng.shuffle(groups)
    rng.shuffle(names)
    shuffled = replace(cluster, groups=tuple(groups))
    assert placed(shuffled, {name: wanted[name] for name in names}) == placed(cluster, wanted)


def settled(wanted: Mapping[str, Wanted], at: Mapping[str, str]) -> dict[str, Wanted]:
    """The same, once everything is where it was placed."""
    return {name: replace(group, now=at.get(name, "")) for name, group in wanted.items()}


@given(cases())
def test_nothing_moves_once_it_is_placed(case: Case) -> None:
    cluster, wanted = case
    at = placed(cluster, wanted)
    assert placed(cluster, settled(wanted, at)) == at


def running(wanted: Mapping[str, Wanted], at: Mapping[str, str]) -> tuple[int, ...]:
    """How many groups run, of each priority from the highest on."""
    return tuple(sum(wanted[name].priority == level for name in at) for level in (1, 0))


@given(cases(most=40, relations=60))
def test_of_many_related_groups_no_must_is_broken_and_nothing_moves_once_placed(case: Case) -> None:
    cluster, wanted = case
    at = placed(cluster, wanted)
    assert not broken(cluster, at)
    again = placed(cluster, settled(wanted, at))
    moved = {name: node for name, node in again.items() if at.get(name, node) != node}
    assert not moved or running(wanted, again) > running(wanted, at)


@given(cases(), st.data())
def test_the_loss_of_a_node_moves_nothing_that_can_stay(case: Case, data: st.DataObject) -> None:
    """Of groups without relations and needs, whatever becomes of the others."""
    cluster, wanted = case
    at = placed(cluster, wanted)
    lost = data.draw(st.sampled_from([node.name for node in cluster.nodes]))
    after = {
        name: replace(
            group,
            candidates=tuple(one for one in group.candidates if one.node != lost),
            now="" if group.now == lost else group.now,
        )
        for name, group in settled(wanted, at).items()
    }
    rules, then = rules_of(cluster), placed(cluster, after)
    alone = [name for name in at if name not in rules.related and name not in rules.needs and at[name] != lost]
    assert {name: then.get(name) for name in alone} == {name: at[name] for name in alone}


@given(cases(), cases())
def test_what_is_known_of_before_changes_nothing(case: Case, other: Case) -> None:
    cluster, wanted = case
    rules = rules_of(cluster)
    _, known = place_all(rules, wanted, {})
    changed = {name: replace(group, now="") for name, group in wanted.items()}
    assert place_all(rules, changed, known)[0] == place_all(rules, changed, {})[0]
