"""How ready a node is for a group: what is told of it, where groups go, and that they do not go to and fro."""

from __future__ import annotations

import itertools

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from election.records import Report
from hactl.decide.placement.plan import plan
from hactl.decide.readiness import LONGEST_SETTLE_MS, NOTED_CHANGES, OwnReadiness, Sighting
from hactl.model.events import READINESS, ReadinessLevel
from hactl.status.document import status
from tests.support.scene import KEYS, Scene, at

SETTLE = 3750.0
LEVELS = st.sampled_from(READINESS)


def scene(**levels: ReadinessLevel) -> Scene:
    """Three nodes, of which some say that they are not ready for the group `vip`."""
    cluster = Scene()
    cluster.join("n1", "n2", "n3")
    for node, level in levels.items():
        tell(cluster, node, level)
    return cluster


def tell(cluster: Scene, node: str, level: ReadinessLevel, session_id: str = "", phase: str = "stopped") -> None:
    readiness = {} if level == "ready" else {"vip": {"level": level, "why": f"{level} here"}}
    groups = {"vip": {"phase": phase, "epoch": 1, "resources": {}}}
    cluster.put(KEYS.report(node), Report(session_id or f"s-{node}", 1, groups, {}, readiness))


def candidates(cluster: Scene) -> tuple[str, ...]:
    return plan(cluster.spec, cluster.view).choice("vip").candidates


@given(st.tuples(LEVELS, LEVELS, LEVELS))
@settings(max_examples=27)
def test_ready_nodes_come_before_poor_ones_and_unfit_ones_are_out(levels: tuple[ReadinessLevel, ...]) -> None:
    names = ("n1", "n2", "n3")
    cluster = scene(**dict(zip(names, levels, strict=True)))
    of = dict(zip(names, levels, strict=True))
    ready, poor = [[name for name in names if of[name] == level] for level in ("ready", "poor")]
    assert candidates(cluster) == (*ready, *poor)


def test_the_owner_comes_first_among_those_that_are_as_good() -> None:
    cluster = scene()
    cluster.own("vip", "n3")
    tell(cluster, "n1", "poor")
    tell(cluster, "n3", "poor")
    assert candidates(cluster) == ("n3", "n2", "n1")  # it stays until it is handed over
    tell(cluster, "n2", "poor")
    assert candidates(cluster) == ("n3", "n1", "n2")


def test_an_unfit_owner_that_runs_the_group_keeps_it_and_one_that_does_not_is_out() -> None:
    cluster = scene()
    cluster.own("vip", "n1")
    tell(cluster, "n1", "unfit", phase="running")
    assert candidates(cluster)[0] == "n1"
    tell(cluster, "n1", "unfit", phase="failed")
    assert "n1" not in candidates(cluster)


def test_what_an_earlier_session_said_of_itself_does_not_count() -> None:
    cluster = scene()
    tell(cluster, "n1", "unfit", session_id="s-of-before")
    assert candidates(cluster) == ("n1", "n2", "n3")


def test_status_says_which_nodes_are_not_ready_and_what_becomes_of_the_group() -> None:
    cluster = scene(n2="unfit")
    cluster.own("vip", "n1")
    tell(cluster, "n1", "poor", phase="running")
    document = status(cluster.view, cluster.spec)
    vip = document["groups"][0]
    assert vip["readiness"] == {
        "n1": {"level": "poor", "why": "poor here"},
        "n2": {"level": "unfit", "why": "unfit here"},
    }
    said = {warning["what"]: warning["do"] for warning in document["warnings"]}
    assert said["group vip must leave n1: poor here"] == "wait: it goes to n3"
    assert "group vip could not be started on n2: unfit here" in said
    tell(cluster, "n3", "poor")
    said = {warning["what"]: warning["do"] for warning in status(cluster.view, cluster.spec)["warnings"]}
    assert "no other node is better" in said["group vip is not well on n1: poor here"]


# --- what is told ---------------------------------------------------------------------------------------------


def test_worse_is_told_at_once_and_better_after_a_while() -> None:
    own = OwnReadiness()
    own.post("haproxy", "poor", "it hangs")
    own.settle(SETTLE, at(0))
    assert own.reported.level == "poor"
    own.post("haproxy", "ready", "")
    for ms in (1.0, SETTLE):
        own.settle(SETTLE, at(ms))
        assert own.reported.level == "poor"
    own.settle(SETTLE, at(SETTLE + 1))
    assert own.reported.level == "ready"


def test_the_worst_source_counts() -> None:
    own = OwnReadiness()
    own.post("resource/address", "unfit", "no network")
    own.post("haproxy", "poor", "it hangs")
    own.settle(SETTLE, at(0))
    assert own.reported == ("unfit", "no network")
    assert own.owner_level == "poor", "what speaks against going on is not hidden by what speaks against a start"


@given(st.lists(st.tuples(st.floats(1, 10_000), LEVELS), min_size=1, max_size=300))
def test_a_source_that_changes_all_the_time_is_no_stream_of_writes(changes: list[tuple[float, ReadinessLevel]]) -> None:
    own, now, told, noted = OwnReadiness(), 0.0, [], 0
    for wait, level in changes:
        now += wait
        own.post("source", level, "why")
        before = own.reported
        own.settle(SETTLE, at(now))
        if own.reported != before:
            told.append((now, before.badness, own.reported.badness))
        noted += bool(own.changes_to_note(at(now)))
    better = [ms for ms, before, after in told if after < before]
    assert all(later - earlier >= SETTLE for earlier, later in itertools.pairwise(better))
    assert len(told) <= 3 * (now / SETTLE + 1)
    assert noted <= NOTED_CHANGES * (now / 60_000 + 1) + 1


# --- to and fro -----------------------------------------------------------------------------------------------


@given(st.floats(1_000, 120_000), st.floats(1_000, 120_000))
@settings(max_examples=10, phases=(Phase.explicit, Phase.generate))
def test_two_nodes_that_are_poor_in_turn_do_not_pass_a_group_to_and_fro(here: float, there: float) -> None:
    """Whichever has it becomes poor, and is well again after it has let go: two hours of it."""
    hour, step = 3_600_000.0, 1_000.0
    owner, changed, moves = 0, 0.0, 0
    seen = [Sighting("ready", at(0)), Sighting("ready", at(0))]
    now, end = 0.0, 2 * hour
    while now < end:
        now += step
        mine, other = seen[owner], seen[1 - owner]
        mine.see("poor" if now - changed >= (here, there)[owner] else "ready", at(now))
        other.see("ready", at(now))
        if mine.lasted("poor", SETTLE, at(now)) and other.lasted("ready", SETTLE, at(now)):
            owner, changed, moves = 1 - owner, now, moves + 1
    longest = end / LONGEST_SETTLE_MS
    assert moves <= 2 * (longest + 10)


def test_a_node_that_went_away_is_ready_for_as_long_as_it_is_back() -> None:
    seen = Sighting("ready", at(0))
    seen.see("gone", at(100_000))
    seen.see("ready", at(101_000))
    assert not seen.lasted("ready", SETTLE, at(101_000 + SETTLE - 1))
    assert seen.lasted("ready", SETTLE, at(101_000 + SETTLE))
    assert seen.episodes == 0
