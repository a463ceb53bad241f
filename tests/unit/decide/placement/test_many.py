"""Many groups, placed one after the other: what stays, what is moved for a group without a place, what makes way."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hactl.decide.placement import many
from hactl.decide.placement.board import Board
from hactl.decide.placement.costs import Candidate, Wanted
from hactl.decide.placement.many import place_many
from hactl.decide.placement.rules import rules_of
from hactl.decide.placement.turns import in_turn, urgency
from hactl.model.cluster import ClusterSpec, GroupSpec, NodeSpec
from hactl.model.placing import Placing, Relation

from .brute_force import broken, cost, possible
from .test_solve import Case, cases, running

NODES = ("n1", "n2", "n3")


def placed(cluster: ClusterSpec, wanted: Mapping[str, Wanted]) -> Mapping[str, str]:
    """However few they are."""
    rules = rules_of(cluster)
    urgent = urgency(rules, wanted.values())
    here = {name: group.now for name, group in wanted.items() if group.now}
    settled = not broken(cluster, here)
    return place_many(rules, in_turn(rules, wanted.values(), urgent), urgent, settled)


class Groups:
    """A cluster in the making: three nodes with room for 4 each, unless it says otherwise."""

    def __init__(self, room: float = 4.0, nodes: tuple[str, ...] = NODES) -> None:
        self.nodes = tuple(NodeSpec(node, node, capacity=(("memory", room),)) for node in nodes)
        self.specs: list[GroupSpec] = []
        self.wanted: dict[str, Wanted] = {}

    def add(self, name: str, now: str, need: float = 0, nodes: str = "n1 n2 n3", **placing: Any) -> Groups:
        """A group that is on `now` ("": nowhere) and may be on `nodes`."""
        needs = (("memory", need),) if need else ()
        self.specs.append(GroupSpec(name, (), placing=Placing(needs=needs, **placing)))
        candidates = tuple(Candidate(node) for node in nodes.split())
        self.wanted[name] = Wanted(name, candidates, now, placing.get("priority", 0))
        return self

    def urgent(self, name: str, priority: int) -> None:
        """The group gets this priority."""
        self.specs = [
            replace(spec, placing=replace(spec.placing, priority=priority)) if spec.name == name else spec
            for spec in self.specs
        ]
        self.wanted[name] = replace(self.wanted[name], priority=priority)

    def moved(self, anew: int = 0) -> dict[str, str]:
        """Those that are elsewhere then, "": nowhere. `anew`: up to so many groups are placed anew as well."""
        cluster = ClusterSpec("c", self.nodes, tuple(self.specs))
        with mock.patch.object(many, "_ANEW_GROUPS", anew):
            at = placed(cluster, self.wanted)
        assert not broken(cluster, at)
        return {name: at.get(name, "") for name, group in self.wanted.items() if at.get(name, "") != group.now}


@pytest.fixture
def full() -> Groups:
    """Two nodes, both full."""
    groups = Groups(nodes=("n1", "n2"))
    for name, node, need in (("a", "n1", 3), ("b", "n1", 1), ("c", "n2", 2), ("d", "n2", 2)):
        groups.add(name, node, need, "n1 n2")
    return groups


def alone(priorities: int) -> Any:
    """Unrelated groups, all of which need the same and may be on every node, of which some are where they are."""

    @st.composite
    def draw_case(draw: st.DrawFn) -> Case:
        nodes = [f"n{index}" for index in range(draw(st.integers(1, 3)))]
        rooms = {node: float(draw(st.integers(0, 3))) for node in nodes}
        groups, wanted = [], {}
        for index in range(draw(st.integers(1, 6))):
            name, priority = f"g{index}", draw(st.integers(0, priorities - 1))
            groups.append(GroupSpec(name, (), placing=Placing(needs=(("memory", 1.0),), priority=priority)))
            now = draw(st.sampled_from(["", *nodes]))
            wanted[name] = Wanted(name, tuple(Candidate(node) for node in nodes), now, priority)
        specs = tuple(NodeSpec(node, node, capacity=(("memory", rooms[node]),)) for node in nodes)
        return ClusterSpec("c", specs, tuple(groups)), wanted

    return draw_case()


@given(st.one_of(alone(1), alone(3)))
def test_of_alike_groups_it_is_the_best_of_all_assignments(case: Case) -> None:
    cluster, wanted = case
    best = min(cost(cluster, wanted, other) for other in possible(cluster, wanted))
    assert cost(cluster, wanted, placed(cluster, wanted)) == best


@given(cases(most=12, relations=8))
def test_it_is_never_worse_than_leaving_all_as_it_is(case: Case) -> None:
    """And no must is broken."""
    cluster, wanted = case
    at = placed(cluster, wanted)
    assert not broken(cluster, at)
    here = {name: group.now for name, group in wanted.items() if group.now}
    if not broken(cluster, here):
        assert running(wanted, at) >= running(wanted, here)
        if running(wanted, at) == running(wanted, here):
            assert at == here


@given(cases(most=40, relations=20), st.randoms(use_true_random=False))
def test_the_order_of_the_groups_does_not_matter(case: Case, rng: random.Random) -> None:
    cluster, wanted = case
    groups, names = list(cluster.groups), list(wanted)
    rng.shuffle(groups)
    rng.shuffle(names)
    shuffled = replace(cluster, groups=tuple(groups))
    assert placed(shuffled, {name: wanted[name] for name in names}) == placed(cluster, wanted)


@given(cases(most=20, relations=10))
def test_what_is_left_untried_would_not_have_helped(case: Case) -> None:
    """Neither what the sums rule out, nor groups that are like one that was tried."""
    cluster, wanted = case

    def everybody(self: Any, group: Wanted, node: str) -> list[Wanted]:
        there = [self.groups[turn] for turn in reversed(self.board.on[node])]
        return sorted((one for one in there if one.name not in self.rules.followers), key=lambda one: one.now == node)

    with (
        mock.patch.object(many._Many, "_in_the_way", everybody),
        mock.patch.object(many._Many, "_kind", lambda *_: None),
    ):
        every = placed(cluster, wanted)
    assert placed(cluster, wanted) == every


def test_what_has_a_place_stays_and_the_others_go_beside_it(full: Groups) -> None:
    assert full.add("e", "", nodes="n1 n2").add("f", "", nodes="n2").moved() == {"e": "n1", "f": "n2"}


def test_one_other_group_moves_where_that_makes_room() -> None:
    groups = Groups(nodes=("n1", "n2")).add("a", "n1", 3, "n1 n2").add("b", "n1", 1, "n1 n2").add("c", "n2", 3, "n1 n2")
    assert groups.add("new", "", 1, "n1").moved() == {"b": "n2", "new": "n1"}


def test_the_least_urgent_moves_and_first_one_that_is_not_there_yet() -> None:
    groups = Groups(nodes=("n1", "n2")).add("a", "n1", 1, "n1 n2", priority=1).add("b", "n1", 1, "n1 n2")
    groups.add("c", "n1", 2, "n1 n2", priority=1)
    assert groups.add("new", "", 1, "n1").moved() == {"b": "n2", "new": "n1"}
    other = Groups(nodes=("n1", "n2")).add("a", "n1", 1, "n1 n2").add("b", "n1", 2, "n1 n2")
    other.add("fresh", "", 1, "n1 n2", priority=1)
    assert other.add("new", "", 1, "n1").moved() == {"fresh": "n2", "new": "n1"}


def test_of_alike_groups_one_that_is_not_there_yet_moves() -> None:
    groups = Groups(nodes=("n1", "n2")).add("a", "", 2, "n1 n2").add("b", "n1", 2, "n1 n2")
    assert groups.add("new", "", 2, "n1").moved() == {"a": "n2", "new": "n1"}


def test_a_group_that_has_no_place_says_nothing_of_others_that_may_be_elsewhere_or_are_not_related() -> None:
    groups = Groups(nodes=("n1", "n2")).add("x", "n1", 4, "n1").add("a", "", 2, "n1")
    assert groups.add("b", "", 2, "n2").moved() == {"b": "n2"}
    groups = Groups(nodes=("n1", "n2")).add("leader", "n2", 4, "n2", priority=1)
    groups.add("a", "", 2, "n1 n2", together_with=(Relation("leader"),))
    assert groups.add("b", "", 2, "n1 n2").moved() == {"b": "n1"}


def test_one_with_which_others_run_does_not_move_for_another() -> None:
    groups = Groups(nodes=("n1", "n2")).add("a", "n1", 4, "n1 n2").add("b", "n1", together_with=(Relation("a"),))
    assert groups.add("new", "", 4, "n1").moved() == {}


def test_one_from_which_it_must_be_apart_moves_for_it_but_not_two() -> None:
    groups = Groups().add("a", "n1").add("b", "n1", apart_from=(Relation("new"),))
    assert groups.add("new", "", nodes="n1").moved() == {"b": "n2", "new": "n1"}
    groups = Groups().add("a", "n1", apart_from=(Relation("new"),)).add("b", "n1", apart_from=(Relation("new"),))
    assert groups.add("new", "", nodes="n1").moved() == {}


def test_nothing_that_runs_stops_for_a_group_that_is_no_more_urgent(full: Groups) -> None:
    assert full.add("new", "", 1, "n1 n2").moved() == {}


def test_less_urgent_groups_make_way_the_least_that_is_enough(full: Groups) -> None:
    assert full.add("new", "", 1, "n1 n2", priority=1).moved() == {"b": "", "new": "n1"}
    full.urgent("b", 2)
    full.urgent("a", 1)
    assert full.moved() == {"d": "", "new": "n2"}


def test_groups_that_can_stay_beside_it_do_not_make_way() -> None:
    """`d` is the last in turn, and goes first; when `a` has gone as well, there is room for `d` again."""
    groups = Groups(room=6, nodes=("n1",)).add("a", "n1", 5, "n1").add("d", "n1", 1, "n1")
    assert groups.add("new", "", 5, "n1", priority=1).moved() == {"a": "", "new": "n1"}


def test_what_makes_way_goes_elsewhere_where_it_can() -> None:
    groups = Groups(nodes=("n1", "n2")).add("a", "n1", 2, "n1 n2").add("b", "n1", 2, "n1 n2").add("c", "n2", 2, "n2")
    assert groups.add("new", "", 4, "n1", priority=1).moved() == {"a": "n2", "b": "", "new": "n1"}


def test_what_runs_with_a_group_that_makes_way_goes_with_it() -> None:
    groups = Groups(nodes=("n1", "n2")).add("a", "n1", 4, "n1 n2").add("b", "n1", together_with=(Relation("a"),))
    groups.add("c", "n1", nodes="n1", together_with=(Relation("b"),))
    assert groups.add("new", "", 1, "n1", priority=1).moved() == {"a": "n2", "b": "n2", "c": "", "new": "n1"}


def test_a_group_is_as_urgent_as_those_that_run_with_it() -> None:
    groups = (
        Groups(nodes=("n1",)).add("a", "n1", 4, "n1").add("entry", "n1", nodes="n1", together_with=(Relation("a"),))
    )
    assert groups.add("new", "", 4, "n1", priority=1).moved() == {"a": "", "entry": "", "new": "n1"}
    groups.urgent("entry", 1)
    assert groups.moved() == {}


def test_one_from_which_it_must_be_apart_makes_way_only_if_it_is_less_urgent() -> None:
    groups = Groups().add("a", "n1", nodes="n1", apart_from=(Relation("new"),)).add("low", "n1")
    groups.add("new", "", nodes="n1", priority=1)
    assert groups.moved() == {"a": "", "new": "n1"}
    groups.urgent("a", 1)
    assert groups.moved() == {}


def test_nothing_makes_way_for_a_group_that_runs_with_one_elsewhere() -> None:
    groups = Groups(nodes=("n1", "n2")).add("leader", "n2", priority=1, nodes="n2").add("low", "n1", 4, "n1")
    groups.add("new", "", 4, "n1", priority=1, together_with=(Relation("leader"),))
    assert groups.moved() == {}


def test_it_goes_where_the_least_urgent_make_way() -> None:
    groups = Groups(nodes=("n1", "n2")).add("middle", "n1", 4, "n1", priority=1).add("low", "n2", 4, "n2")
    assert groups.add("new", "", 4, "n1 n2", priority=2).moved() == {"low": "", "new": "n2"}


def test_nothing_makes_way_where_that_helps_nobody_more_urgent() -> None:
    """`leader` is as urgent as `follower`, which has no place all the same."""
    groups = Groups(nodes=("n1", "n2")).add("middle", "n1", 4, "n1", priority=1).add("leader", "", 4, "n1")
    assert groups.add("follower", "", nodes="n2", priority=2, together_with=(Relation("leader"),)).moved() == {}


def test_a_group_is_tried_again_when_a_move_has_made_room_since() -> None:
    """`a` has no place; when `b` got one, `c`, which is like `a`, has one."""
    groups = Groups(room=6).add("x", "n1", 3).add("y", "n1", 3).add("at2", "n2", 3, "n2").add("at3", "n3", 3, "n3")
    groups.add("a", "", 4, "n1").add("b", "", 1, "n1").add("c", "", 4, "n1")
    assert groups.moved() == {"y": "n2", "x": "n3", "b": "n1", "c": "n1"}


def test_a_group_is_tried_again_when_another_one_has_made_way_since() -> None:
    groups = Groups(room=5, nodes=("n1", "n2")).add("at1", "n1", 2, "n1", priority=1).add("x", "n2", 5, "n2")
    groups.add("y", "n1", 3, "n1 n2", priority=1).add("a", "", 3, "n1", priority=1)
    groups.add("b", "", 1, "n2", priority=1).add("c", "", 3, "n1", priority=1)
    assert groups.moved() == {"x": "", "b": "n2", "y": "n2", "c": "n1"}


def test_what_may_stay_stays_though_others_may_not_and_whoever_comes_before_it_in_turn() -> None:
    groups = Groups().add("a", "n3", 4, "n3").add("b", "n3", 4, "n3").add("c", "n1", 4, "n1 n2")
    assert groups.add("new", "", 4, "n1 n2", priority=1).moved() == {"b": "", "new": "n2"}


def test_where_two_cannot_both_stay_the_more_urgent_does() -> None:
    groups = Groups().add("a", "n1", 3).add("b", "n1", 3, priority=1)
    assert groups.moved() == {"a": "n2"}


def test_where_some_have_no_place_all_are_placed_anew_if_that_is_better_but_not_if_they_are_too_many() -> None:
    groups = Groups(nodes=("n1",)).add("z", "n1", 4, "n1").add("a", "", 2, "n1").add("b", "", 2, "n1")
    assert groups.moved(anew=3) == {"z": "", "a": "n1", "b": "n1"}
    assert groups.moved(anew=2) == {}


def test_groups_are_not_tried_to_be_moved_without_end() -> None:
    groups = Groups(nodes=("n1", "n2")).add("a", "n1", 3, "n1 n2").add("b", "n1", 1, "n1 n2").add("c", "n2", 3, "n1 n2")
    groups.add("new", "", 1, "n1")
    with mock.patch.object(many, "_MOST_EXCHANGES", 0):
        assert groups.moved() == {}


def test_the_places_know_what_is_on_a_node() -> None:
    groups = Groups().add("a", "n1").add("b", "n1").add("c", "n1")
    cluster = ClusterSpec("c", groups.nodes, tuple(groups.specs))
    places = many._Places(rules_of(cluster), {"c": 0, "b": 1, "a": 2}, {"a": "n1", "b": "n1", "c": "n1"})
    assert places.on["n1"] == [0, 1, 2]
    assert places.remove("b") == "n1"
    assert places.remove("b") == ""
    assert places.on["n1"] == [0, 2]
    assert isinstance(places, Board)
