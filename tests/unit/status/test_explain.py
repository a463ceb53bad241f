"""Why a group is where it is, and what would happen: the same as the daemons decide."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from election.records import Failure, Report
from hactl.cli.explain import explained, simulated
from hactl.cli.output import Style
from hactl.decide.placement.plan import plan
from hactl.status.explain import explain
from hactl.status.simulate import Effect, Supposed, simulate, with_names_checked
from tests.support.scene import CLUSTER, KEYS, Scene, spec

RELATED = CLUSTER.replace("  - name: database\n    nodes: [n1, n2]\n", "  - name: database\n    after: [vip]\n")


def scene(text: str = CLUSTER) -> Scene:
    """n1 owns both groups."""
    cluster = Scene(cluster=text)
    cluster.join("n1", "n2", "n3")
    cluster.own("vip", "n1", reason="first owner")
    cluster.own("database", "n1")
    return cluster


def verdicts(cluster: Scene, group: str = "vip") -> dict[str, tuple[str, str, str]]:
    known = cluster.spec.group(group)
    assert known is not None
    answer = explain(plan(cluster.spec, cluster.view), known, "")
    return {node["node"]: (node["verdict"], node["reason"], node["hint"]) for node in answer["nodes"]}


def test_the_owner_and_those_that_may() -> None:
    cluster = scene()
    assert verdicts(cluster) == {
        "n1": ("owner", "it has the group", ""),
        "n2": ("may", "choice 2: n1 has it", "hactl failover vip --to n2"),
        "n3": ("may", "choice 3: n1 has it", "hactl failover vip --to n3"),
    }
    assert verdicts(cluster, "database")["n2"][1] == "choice 2: n1 stands before it in `nodes`"


@pytest.mark.parametrize(
    ("what", "reason", "hint"),
    [
        ("dead", "no live session", "start hactl there"),
        ("standby", "in standby", "hactl node online n2"),
        ("failed", "address failed 3 times: it ended", "hactl group cleanup vip --node n2"),
        ("unfit", "no link", "repair that on the node"),
        ("poor", "choice 3: it is poor for it: no link", "hactl failover vip --to n2"),
    ],
)
def test_each_reason_has_what_helps(what: str, reason: str, hint: str) -> None:
    cluster = scene()
    if what == "dead":
        cluster.kill("n2")
    elif what == "standby":
        cluster.put(KEYS.standby("n2"), "anna")
    elif what == "failed":
        cluster.put(KEYS.failure("vip", "n2"), Failure(3, "address", "it ended"))
    else:
        level = {"vip": {"level": what, "why": "no link"}}
        cluster.put(KEYS.report("n2"), Report("s-n2", 1, {}, {}, level))  # type: ignore[arg-type]
    _, said, helps = verdicts(cluster)["n2"]
    assert said == reason and hint in helps


def test_nodes_that_the_configuration_excludes_and_relations() -> None:
    assert verdicts(scene(), "database")["n3"][:2] == ("no", "not in the group's nodes")
    cluster = scene(re.sub("nodes: .n1, n2.", "together_with: [vip]", CLUSTER))
    assert verdicts(cluster, "database")["n2"][1] == "vip, with which it runs, is on n1"
    group = cluster.spec.group("vip")
    assert group is not None
    relations = explain(plan(cluster.spec, cluster.view), group, "")["relations"]
    assert relations == [{"kind": "together_with", "group": "vip", "must": True, "of": "database"}]


def test_it_fits_on_a_terminal_and_names_are_not_changed() -> None:
    cluster = scene()
    group = cluster.spec.group("database")
    assert group is not None
    lines = explained(explain(plan(cluster.spec, cluster.view), group, ""), Style(width=60))
    assert all(len(line) <= 60 for line in lines)
    assert lines[0] == "database: running on n1" and "n3: may not" in lines


def effects(cluster: Scene, supposed: Supposed) -> list[tuple[str, str, str]]:
    """Group, what, and where to."""
    outcome = simulate(cluster.spec, cluster.view, supposed)
    return [(effect.group, effect.what, effect.to) for effect in outcome.effects]


def test_a_death_takes_the_groups_away_in_the_order_in_which_they_start() -> None:
    cluster = scene(RELATED)
    assert effects(cluster, Supposed(kill=("n1",))) == [("vip", "take over", "n2"), ("database", "take over", "n2")]
    cluster.kill("n1")
    assert plan(cluster.spec, cluster.view).targets == {"vip": "n2", "database": "n2"}  # and so it is decided


def test_a_group_that_runs_after_one_that_moves_is_restarted() -> None:
    cluster = scene(RELATED)
    cluster.own("database", "n3")
    assert effects(cluster, Supposed(standby=("n1",))) == [("vip", "move", "n2"), ("database", "restart", "n3")]
    assert effects(cluster, Supposed(standby=("n3",))) == [("database", "move", "n1")]


def test_what_could_run_nowhere_stops_and_is_said_first() -> None:
    cluster = scene()
    outcome = simulate(cluster.spec, cluster.view, Supposed(kill=("n1", "n2")))
    assert [(effect.group, effect.what) for effect in outcome.effects] == [("database", "stop"), ("vip", "take over")]
    assert outcome.effects[0].reason == "n1 is dead; n3: not in the group's nodes; n2: no live session"


def test_what_is_about_to_start_anyhow_is_no_effect() -> None:
    cluster = Scene()
    cluster.join("n1", "n2", "n3")
    cluster.own("vip", "n1")
    assert effects(cluster, Supposed(fail=("vip",))) == [("vip", "move", "n2")]


def test_another_configuration() -> None:
    cluster = scene()
    without = replace(cluster.spec, groups=cluster.spec.groups[:1])
    assert effects(cluster, Supposed(cluster=without)) == [("database", "stop", "")]
    moved = spec(CLUSTER.replace("  - name: vip\n", "  - name: vip\n    nodes: [n3]\n"))
    assert effects(cluster, Supposed(cluster=moved)) == [("vip", "move", "n3")]
    changed = spec(CLUSTER.replace("10.0.0.31/24", "10.0.0.41/24"))
    assert effects(cluster, Supposed(cluster=changed)) == [("database", "change", "n1")]


def test_outages_are_those_of_the_timing_and_of_earlier_takeovers() -> None:
    cluster = scene()
    times = [{"group": "vip", "reason": "node_lost", "phases": {"total": total}} for total in (1000.0, 1500.0, 9000.0)]
    outcome = simulate(cluster.spec, cluster.view, Supposed(kill=("n1",)), times)
    vip, database = outcome.effects
    assert vip.usual_ms == 1500.0 and vip.worst_ms is not None and vip.worst_ms > cluster.spec.timing.lease_ms
    assert database.worst_ms is None  # `required`, and nothing can fence its node
    assert "usually 1.5 s, at most" in "\n".join(simulated(outcome.plain(), Style()))
    assert "no bound" in "\n".join(simulated(outcome.plain(), Style()))
    planned = simulate(cluster.spec, cluster.view, Supposed(standby=("n1",)))
    assert {effect.group: effect.worst_ms for effect in planned.effects} == {"vip": 0.0, "database": 70_000.0}


def test_names_are_checked() -> None:
    supposed = Supposed(("n9",), ("n8",), ("nope",))
    assert with_names_checked(spec(), supposed) == ["no node `n9`", "no node `n8`", "no group `nope`"]


def test_nothing_happens() -> None:
    cluster = scene()
    outcome = simulate(cluster.spec, cluster.view, Supposed(kill=("n3",)))
    assert outcome.effects == [] and outcome.stays == ["vip", "database"]
    assert simulated(outcome.plain(), Style()) == ["Nothing would stop, move or start."]
    assert Effect("a", "stop", "n1", "", "").usual_ms is None
