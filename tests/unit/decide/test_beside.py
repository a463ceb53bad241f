"""What a node looks at before it takes a group, and what one with which it is related does: the finer points."""

from __future__ import annotations

from dataclasses import replace

import pytest

from election.records import Failure, Stop
from hactl.decide import beside, ordering
from hactl.decide.state import NodeState
from tests.support.scene import KEYS, at

from .test_relations import MUST, SHOULD, heard, scene, state_of, stops, waits


def with_room(state: NodeState, room: float, **needs: float) -> None:
    """Every node has this much memory, and the groups need so much of it."""
    cluster = state.cluster
    assert cluster is not None
    groups = tuple(
        replace(group, placing=replace(group.placing, needs=(("memory", needs[group.name]),)))
        for group in cluster.groups
    )
    nodes = tuple(replace(node, capacity=(("memory", room),)) for node in cluster.nodes)
    state.cluster = replace(cluster, nodes=nodes, groups=groups)


def test_a_group_waits_until_what_is_here_leaves_it_room() -> None:
    state = state_of(scene(""), "n1")
    with_room(state, 4, vip=3, database=2)
    assert beside.not_yet(state, state.runs["database"]) == "it needs 2 of memory, and 1 of 4 are free"
    with_room(state, 5, vip=3, database=2)
    assert beside.not_yet(state, state.runs["database"]) == ""


def test_a_group_is_not_in_its_own_way() -> None:
    cluster = scene("")
    cluster.own("vip", "n2")
    state = state_of(cluster, "n1")
    with_room(state, 4, vip=1, database=3)
    state.runs["database"].txn = 5
    assert beside.not_yet(state, state.runs["database"]) == ""


def test_a_preference_to_run_together_is_not_waited_for() -> None:
    state = state_of(scene("together_with: [{group: vip, must: false}]"), "n2")
    assert beside.not_yet(state, state.runs["database"]) == ""
    assert beside.compares(state, "database") == ()


def test_a_group_is_given_back_only_where_the_others_do_not_let_it_be() -> None:
    cluster = scene("together_with: [vip]")
    state = state_of(cluster, "n2")
    assert beside.never_here(state, state.runs["database"]) == "vip, with which it runs, is on n1"
    cluster.put(KEYS.failure("database", "n1"), Failure(3, "mariadb", "ended"))
    state = state_of(cluster, "n1")
    assert "n1" in state.choice("database").excluded
    assert beside.never_here(state, state.runs["database"]) == "", "it failed here, which is for other reasons"


@pytest.mark.parametrize(
    ("what", "there"),
    [("holds it", True), ("found, never started", False), ("found, looked at", True), ("barred", False)],
)
def test_what_counts_as_here(what: str, there: bool) -> None:
    cluster = scene("apart_from: [vip]")
    holders = (cluster.holder("n1"),) if what == "holds it" else ()
    cluster.own("vip", "n2", holders=holders, overlap=bool(holders))
    state = state_of(cluster, "n1")
    other = state.runs["vip"]
    if what.startswith("found"):
        other.untouched, other.health["address"] = True, "running"
        other.acting = {"address": (3, "probe")} if what == "found, looked at" else {}
    elif what == "barred":
        other.health["address"], other.stop_failed = "unknown", "the monitor hangs"
        assert other.barred
    assert bool(beside.not_yet(state, state.runs["database"])) is there


def test_the_wait_for_a_preference_begins_anew_each_time() -> None:
    cluster = scene(SHOULD)
    state = state_of(cluster, "n2")
    for phase, ms, expected in (
        ("starting", 0, True),
        ("running", 1000, False),
        ("starting", ordering.LONGEST_WAIT_MS + 1, True),
    ):
        cluster.own("vip", "n1", phase=phase)
        state.view = cluster.view
        heard(state, "n1", cluster.view.sessions["n1"], at(ms))
        assert waits(state, ms) is expected


def test_a_group_that_is_stopped_by_an_operator_is_down() -> None:
    cluster = scene(MUST)
    cluster.put(KEYS.stopped("vip"), Stop("anna"))
    state = state_of(cluster, "n2")
    assert ordering.standing_of(state, "vip", at(0)) == "down"
    assert stops(state)


def test_what_cannot_be_read_is_not_known() -> None:
    cluster = scene(MUST)
    cluster.put(KEYS.group("vip"), "{")
    state = state_of(cluster, "n2")
    assert ordering.standing_of(state, "vip", at(0)) == "unknown"


@pytest.mark.parametrize("record", ["released", "handoff"])
def test_a_group_without_an_owner_is_coming_unless_it_can_run_nowhere(record: str) -> None:
    cluster = scene(MUST)
    cluster.own("vip", "n1", state=record)
    assert ordering.standing_of(state_of(cluster, "n2"), "vip", at(0)) == "coming"
    for node in ("n1", "n2", "n3"):
        cluster.put(KEYS.standby(node), "anna")
    assert ordering.standing_of(state_of(cluster, "n2"), "vip", at(0)) == "down"


def test_what_a_dead_owner_said_last_is_not_known() -> None:
    cluster = scene(MUST)
    state = state_of(cluster, "n2")
    assert ordering.standing_of(state, "vip", at(0)) == "running"
    cluster.kill("n1")
    state.view = cluster.view
    assert ordering.standing_of(state, "vip", at(0)) == "unknown"


def test_what_an_owner_said_in_an_earlier_session_is_not_known() -> None:
    cluster = scene(MUST)
    report = cluster.view.reports["n1"].record
    cluster.put(KEYS.report("n1"), replace(report, session_id="earlier"))
    assert ordering.standing_of(state_of(cluster, "n2"), "vip", at(0)) == "unknown"


def test_how_a_group_stands_that_is_left_alone_is_not_known() -> None:
    cluster = scene(MUST)
    cluster.own("vip", "n1", state="unmanaged")
    assert ordering.standing_of(state_of(cluster, "n2"), "vip", at(0)) == "unknown"


def test_a_group_that_failed_is_down_not_on_its_way() -> None:
    for said, standing in (({"failed": True}, "down"), ({}, "coming")):
        cluster = scene(MUST)
        cluster.report("n1", {"vip": {"phase": "failed", "epoch": 7, **said}})
        assert ordering.standing_of(state_of(cluster, "n2"), "vip", at(0)) == standing
    cluster = scene(MUST)
    cluster.report("n1", {"vip": {"phase": "barred", "epoch": 7}})
    assert ordering.standing_of(state_of(cluster, "n2"), "vip", at(0)) == "down"


def first(state: NodeState) -> str:
    """Which group has to stop before `vip`, which is to stop."""
    return ordering.goes_first(state, state.runs["vip"], at(0))


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("runs", "database"),
        ("was released", ""),
        ("its node is dead", ""),
        ("stopped, said an earlier session", "database"),
        ("is barred", ""),
    ],
)
def test_which_group_elsewhere_stops_before_it(what: str, expected: str) -> None:
    cluster = scene(MUST)
    cluster.own("database", "n2", state="released" if what == "was released" else "owned")
    if what == "its node is dead":
        cluster.kill("n2")
    elif what == "is barred":
        cluster.report("n2", {"database": {"phase": "barred", "epoch": 7}})
    elif what.startswith("stopped"):
        cluster.report("n2", {"database": {"phase": "stopped", "epoch": 7}})
        cluster.put(KEYS.report("n2"), replace(cluster.view.reports["n2"].record, session_id="earlier"))
    assert first(state_of(cluster, "n1")) == expected


def test_a_group_here_stops_before_it_unless_it_is_stopped_or_was_never_started_here() -> None:
    cluster = scene(MUST)
    cluster.own("database", "n1")
    state = state_of(cluster, "n1")
    run = state.runs["database"]
    assert run.stopped and first(state) == ""
    run.health["mariadb"] = "running"
    assert first(state) == "database"
    run.health["mariadb"], run.stop_failed = "unknown", "the monitor hangs"
    assert run.barred and first(state) == ""
