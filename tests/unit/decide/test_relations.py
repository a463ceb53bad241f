"""What relations between groups ask of a node: when it takes one, when it starts one, when one stops."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from election.clock import Instant
from election.records import Session
from election.view import Versioned
from hactl.config.errors import ConfigErrors
from hactl.config.load import check_text
from hactl.decide import beside, failback, ordering
from hactl.decide.placement.plan import plan
from hactl.decide.readiness import Sighting
from hactl.decide.state import NodeState, Out
from hactl.model.cluster import GroupSpec
from tests.support.scene import CLUSTER, KEYS, Scene, at

from .test_overlap import Node

RELATED = CLUSTER.replace("  - name: database\n", "  - name: database\n    {}\n")


def scene(relation: str) -> Scene:
    """n1 owns the group `vip`, the group `database` is related to it and has no owner."""
    cluster = Scene(cluster=re.sub(r"\{\}", relation, RELATED, count=1) if relation else CLUSTER)
    cluster.join("n1", "n2", "n3")
    cluster.own("vip", "n1")
    return cluster


def state_of(cluster: Scene, name: str) -> NodeState:
    """The node, with both groups; `vip` runs where it is owned."""
    node = Node(cluster, name)
    state = node.state
    state.view = cluster.view
    owner = state.role("vip") == "owner"
    node.run.health["address"] = "running" if owner else "stopped"
    node.run.epoch = 7 if owner else 0
    database = cluster.spec.group("database")
    assert database is not None
    for node_name, session in state.view.sessions.items():
        heard(state, node_name, session, at(0))
    state.runs["database"] = type(node.run)(database, health=dict.fromkeys(["db-address", "mariadb"], "stopped"))
    return state


def heard(state: NodeState, name: str, session: Versioned[Session], now: Instant) -> None:
    """The node was seen to renew its session, after I renewed mine."""
    state.observer.on_own_renewal(now, now, 0)
    for renewal in (session, session._replace(mod_revision=session.mod_revision + 1)):
        state.observer.on_session(name, renewal, now)


@pytest.fixture
def together() -> Iterator[NodeState]:
    yield state_of(scene("together_with: [vip]"), "n1")


def test_it_is_taken_where_the_other_one_is_owned(together: NodeState) -> None:
    assert beside.not_yet(together, together.runs["database"]) == ""
    compares = beside.compares(together, "database")
    assert [(compare.key, compare.revision) for compare in compares] == [
        (KEYS.group("vip"), together.view.groups["vip"].mod_revision)
    ]


def test_not_while_the_other_one_is_about_to_leave(together: NodeState) -> None:
    together.runs["vip"].txn = 5
    assert beside.not_yet(together, together.runs["database"]) == "it runs where vip does, which is not here yet"


def test_nor_anywhere_else() -> None:
    state = state_of(scene("together_with: [vip]"), "n2")
    assert "not here yet" in beside.not_yet(state, state.runs["database"])
    assert state.choice("database").candidates == ("n1",)
    assert state.choice("database").excluded["n2"] == "vip, with which it runs, is on n1"
    assert "n2" in state.choice("database").stops


@pytest.mark.parametrize("what", ["runs", "is stopping", "is being taken"])
def test_one_that_must_be_apart_waits_until_all_of_the_other_one_has_stopped_here(what: str) -> None:
    cluster = scene("apart_from: [vip]")
    cluster.own("vip", "n2")
    state = state_of(cluster, "n1")
    assert beside.not_yet(state, state.runs["database"]) == ""
    other = state.runs["vip"]
    if what == "is being taken":
        other.txn = 5
    else:
        other.health["address"] = "running"
        other.acting = {} if what == "runs" else {"address": (3, "stop")}
    assert beside.not_yet(state, state.runs["database"]) == "vip, from which it must be apart, is there"


def test_without_relations_nothing_is_waited_for() -> None:
    state = state_of(scene(""), "n1")
    assert beside.not_yet(state, state.runs["database"]) == ""
    assert ordering.waits_for(state, state.runs["database"], at(0)) == ordering.must_stop(
        state, state.runs["database"], at(0)
    )


MUST, SHOULD = "after: [vip]", "after: [{group: vip, must: false}]"


def waits(state: NodeState, after_ms: float = 0.0) -> bool:
    return bool(ordering.waits_for(state, state.runs["database"], at(after_ms)))


def stops(state: NodeState) -> bool:
    return bool(ordering.must_stop(state, state.runs["database"], at(0)))


@pytest.mark.parametrize("node", ["n1", "n2"])
@pytest.mark.parametrize(
    ("phase", "must_wait", "must_end", "should_wait"),
    [
        ("running", False, False, False),
        ("starting", True, True, True),
        ("failed", True, True, True),
        ("blocked", True, True, False),
        ("unknown", True, False, False),
    ],
)
def test_what_the_other_one_does_counts_wherever_it_is(
    node: str, phase: str, must_wait: bool, must_end: bool, should_wait: bool
) -> None:
    """n1 sees its own group, n2 the report of n1."""
    for relation in (MUST, SHOULD):
        cluster = scene(relation)
        cluster.own("vip", "n1", phase=phase)
        state = state_of(cluster, node)
        run = state.runs["vip"]
        if node == "n1":
            run.health["address"] = {"running": "running", "failed": "failed"}.get(phase, "stopped")  # type: ignore[assignment]
            run.acting = {"address": (3, "start")} if phase == "starting" else {}
            run.health |= {"address": "unknown"} if phase == "unknown" else {}
            run.stop_failed, run.leftover = ("hangs", True) if phase == "blocked" else ("", False)
        expected = (must_wait, must_end) if relation == MUST else (should_wait, False)
        assert (waits(state), stops(state)) == expected


def test_what_an_earlier_session_or_another_epoch_said_does_not_count() -> None:
    cluster = scene(MUST)
    cluster.own("vip", "n1", epoch=9)
    cluster.report("n1", {"vip": {"phase": "running", "epoch": 8}})
    assert waits(state_of(cluster, "n2"))


def test_a_silent_owner_is_no_reason_to_stop_but_one_not_to_start() -> None:
    cluster = scene(MUST)
    cluster.kill("n1")
    state = state_of(cluster, "n2")
    assert (waits(state), stops(state)) == (True, False)


def test_what_a_node_says_that_is_not_heard_any_more_is_not_known() -> None:
    """It may be dead, although its session is still there."""
    cluster = scene(MUST)
    state = state_of(cluster, "n2")
    assert not waits(state)
    late = at(state.timing.suspect_after_ms + 1)
    assert ordering.waits_for(state, state.runs["database"], late)
    assert not ordering.must_stop(state, state.runs["database"], late)


def test_a_preference_is_not_waited_for_without_end() -> None:
    cluster = scene(SHOULD)
    cluster.own("vip", "n1", phase="starting")
    state = state_of(cluster, "n2")
    assert waits(state)
    for ms, expected in ((ordering.LONGEST_WAIT_MS - 1, True), (ordering.LONGEST_WAIT_MS, False)):
        heard(state, "n1", cluster.view.sessions["n1"], at(ms))
        assert waits(state, ms) == expected


def test_those_that_run_after_it_stop_first_and_not_for_ever() -> None:
    cluster = scene(MUST)
    cluster.own("database", "n2")
    state = state_of(cluster, "n1")
    run = state.runs["vip"]
    assert ordering.goes_first(state, run, at(0)) == "database" and run.leaving
    spec: GroupSpec | None = cluster.spec.group("database")
    assert spec is not None
    longest = sum(resource.stop_timeout_ms for resource in spec.resources) + 2 * state.timing.lease_ms
    assert ordering.goes_first(state, run, at(longest - 1)) == "database"
    assert ordering.goes_first(state, run, at(longest)) == ""
    cluster.report("n2", {"database": {"phase": "stopped", "epoch": 7}})
    state.view = cluster.view
    assert ordering.goes_first(state, run, at(1)) == ""


def test_one_that_is_leaving_does_not_count_as_running() -> None:
    cluster = scene(MUST)
    cluster.report("n1", {"vip": {"phase": "running", "epoch": 7, "leaving": True}})
    assert stops(state_of(cluster, "n2"))


CHECKED = CLUSTER.replace(
    "groups:\n", "health:\n  - {name: storage, command: [/bin/true], then: attribute}\ngroups:\n", 1
)


def told(cluster: Scene, **checks: bool) -> tuple[tuple[str, ...], dict[str, str]]:
    """Where `vip` may run when the check stands so on these nodes; nothing is known of the others."""
    for node, ok in checks.items():
        report = cluster.view.reports[node].record
        cluster.put(KEYS.report(node), replace(report, checks={"storage": {"ok": ok, "text": "", "since": ""}}))
    choice = plan(cluster.spec, cluster.view).choice("vip")
    return choice.candidates, dict(choice.excluded)


def test_expressions_ask_for_health_checks() -> None:
    cluster = Scene(cluster=CHECKED.replace("  - name: vip\n", "  - name: vip\n    where: storage\n"))
    cluster.join("n1", "n2", "n3")
    cluster.own("vip", "n2")
    assert told(cluster) == (("n2", "n1", "n3"), {})
    assert told(cluster, n2=False, n3=True) == (("n1", "n3"), {"n2": "it needs a node where storage"})
    assert "n2" in plan(cluster.spec, cluster.view).choice("vip").stops
    assert told(cluster, n1=False, n3=False)[0] == ()


def test_a_check_that_is_preferred_moves_nothing() -> None:
    cluster = Scene(cluster=CHECKED.replace("  - name: vip\n", "  - name: vip\n    prefers: storage\n"))
    cluster.join("n1", "n2", "n3")
    assert told(cluster, n1=False)[0] == ("n2", "n3", "n1")
    cluster.own("vip", "n1")
    assert told(cluster, n1=False)[0] == ("n1", "n2", "n3")


BACK = CLUSTER.replace("  - name: vip\n", "  - name: vip\n    nodes: [n1, n2]\n    failback: 02:00-03:00\n")


@pytest.mark.parametrize(("hour", "goes"), [(2.5, True), (3.0, False), (1.9, False), (None, False)])
def test_it_goes_back_within_its_time_only(hour: float | None, goes: bool) -> None:
    cluster = Scene(cluster=BACK)
    cluster.join("n1", "n2", "n3")
    cluster.own("vip", "n2")
    node = Node(cluster, "n2")
    node.state.view = cluster.view
    node.run.health["address"], node.run.epoch = "running", 7
    node.state.sightings["vip", "n1"] = Sighting("ready", node.now.plus(-1e6))
    heard(node.state, "n1", cluster.view.sessions["n1"], node.now)
    node.state.time_of_day = (hour * 3_600_000, node.now) if hour is not None else None
    out, choice = Out(node.state, node.now), node.state.choice("vip")
    assert failback.better_node(node.state, node.run, choice, out) == ("n1" if goes else "")
    node.run.leaving_since = node.now  # begun: it is brought to its end
    assert failback.better_node(node.state, node.run, choice, out) == "n1"


def test_times_of_failback_are_checked() -> None:
    with pytest.raises(ConfigErrors, match="`2:00-3:00` is no failback; write `never`, `immediately` or a time by UTC"):
        check_text(BACK.replace("02:00-03:00", "2:00-3:00"), "cluster.yaml")
