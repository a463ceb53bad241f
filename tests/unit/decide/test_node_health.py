"""Health checks of nodes: when one fails, where groups go, and that health alone leaves no group without a node."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from election.records import CheckReport
from hactl.decide.node_health import Streak, next_turn
from hactl.decide.placement.plan import plan
from hactl.decide.readiness import reported
from hactl.model.events import NodeChecked
from hactl.model.health import CheckSpec, Link, Part
from hactl.status.document import status
from tests.support.daemon import Daemon
from tests.support.scene import KEYS, Scene

NODES = ("n1", "n2", "n3")
SETTLED_MS = 10_000.0
STEP_MS = 200


def check(name: str, then: str = "unfit", *groups: str) -> CheckSpec:
    return CheckSpec(name, link=Link("eth0"), then=then, groups=groups)  # type: ignore[arg-type]


class Nodes:
    """Three daemons beside one store. `ill`: the checks that each node fails."""

    def __init__(self, *checks: CheckSpec, scene: Scene | None = None) -> None:
        self.scene = scene or Scene()
        self.scene.spec = replace(self.scene.spec, health=checks)
        self.names = [spec.name for spec in checks]
        self.daemons = {name: Daemon(self.scene, name) for name in NODES}
        self.dead: set[str] = set()
        for daemon in self.daemons.values():
            daemon.begin()
        self.pass_ms(SETTLED_MS)

    def pass_ms(self, ms: float) -> None:
        """Time passes; everybody who lives looks each fifth of a second, and sees all that was written."""
        for _ in range(int(ms / STEP_MS)):
            for name, daemon in self.daemons.items():
                if name not in self.dead:
                    daemon.wait(STEP_MS)
                    daemon.watch()

    def stand(self, **failing: str) -> None:
        """Each node's checks stand so: the named one fails, the others pass."""
        for name, which in failing.items():
            checks: dict[str, CheckReport] = {
                each: {"ok": each not in which.split("+"), "text": "value and limit"} for each in self.names
            }
            self.daemons[name].run(NodeChecked(checks))

    def owner(self, group: str = "vip") -> str:
        own = self.scene.view.groups.get(group)
        return own.record.node if own and own.record.state == "owned" else ""

    def candidates(self, group: str = "vip") -> tuple[str, ...]:
        return plan(self.scene.spec, self.scene.view).choice(group).candidates

    @property
    def starts(self) -> list[str]:
        return [done for daemon in self.daemons.values() for done in daemon.done if done.startswith(("start", "stop"))]


def test_an_owner_that_becomes_unfit_loses_its_groups_and_they_do_not_come_back() -> None:
    nodes = Nodes(check("disk"))
    assert nodes.owner() == "n1" == nodes.owner("database")
    nodes.stand(n1="disk")
    nodes.pass_ms(SETTLED_MS)
    assert nodes.owner() in ("n2", "n3") and nodes.owner("database") == "n2"
    assert "n1" not in nodes.candidates()
    assert nodes.daemons["n1"].notes["node_check_failed"] == {"check": "disk", "detail": "value and limit"}
    nodes.stand(n1="")
    nodes.pass_ms(SETTLED_MS)
    assert nodes.daemons["n1"].notes["node_check_passed"]["check"] == "disk"
    assert nodes.owner() in ("n2", "n3") and "n1" in nodes.candidates()


def test_last_comes_last_and_an_attribute_is_nothing() -> None:
    nodes = Nodes(check("load", "last"), check("rack", "attribute"))
    nodes.stand(n2="rack", n3="load")
    nodes.pass_ms(SETTLED_MS)
    assert nodes.candidates() == ("n1", "n2", "n3") and nodes.owner() == "n1"
    nodes.stand(n1="rack+load")
    nodes.pass_ms(SETTLED_MS)
    assert nodes.owner() == "n2"


def test_only_the_groups_that_it_concerns() -> None:
    nodes = Nodes(check("disk", "unfit", "database"))
    nodes.stand(n1="disk")
    nodes.pass_ms(SETTLED_MS)
    assert (nodes.owner(), nodes.owner("database")) == ("n1", "n2")


def test_a_node_that_fails_is_not_chosen() -> None:
    nodes = Nodes(check("disk"))
    nodes.stand(n2="disk")
    nodes.pass_ms(SETTLED_MS)
    assert nodes.candidates() == ("n1", "n3")
    nodes.stand(n1="disk")
    nodes.pass_ms(SETTLED_MS)
    assert nodes.owner() == "n3"


@pytest.mark.parametrize("apart_ms", [0, 200, 1000])
@pytest.mark.parametrize("reasons", [("net", "net", "net"), ("net", "disk", "net+disk")])
def test_where_all_nodes_fail_nothing_is_stopped(apart_ms: int, reasons: tuple[str, ...]) -> None:
    nodes = Nodes(check("net"), check("disk"))
    before = list(nodes.starts)
    for name, reason in zip(NODES, reasons, strict=True):
        nodes.stand(**{name: reason})
        nodes.pass_ms(apart_ms)
    nodes.pass_ms(4 * SETTLED_MS)
    assert nodes.starts == before
    assert nodes.owner() == "n1" and set(nodes.candidates()) == set(NODES)


def test_where_all_nodes_fail_a_group_whose_owner_dies_is_taken_over() -> None:
    nodes = Nodes(check("net"))
    nodes.stand(n1="net", n2="net", n3="net")
    nodes.pass_ms(SETTLED_MS)
    nodes.dead.add("n1")
    nodes.pass_ms(SETTLED_MS)
    assert nodes.owner() in ("n2", "n3")


def test_the_last_well_node_gets_the_groups_and_keeps_them_when_it_fails_too() -> None:
    nodes = Nodes(check("net"))
    nodes.stand(n1="net", n2="net")
    nodes.pass_ms(SETTLED_MS)
    assert nodes.owner() == "n3"
    assert nodes.owner("database") == "n1"  # n3 may not run it
    nodes.stand(n3="net")
    nodes.pass_ms(4 * SETTLED_MS)
    assert (nodes.owner(), nodes.owner("database")) == ("n3", "n1")


def test_a_well_node_in_standby_is_no_node_to_go_to() -> None:
    nodes = Nodes(check("net"))
    for name in ("n2", "n3"):
        nodes.scene.put(KEYS.standby(name), "anna")
    nodes.pass_ms(1000)
    nodes.stand(n1="net")
    nodes.pass_ms(SETTLED_MS)
    assert nodes.owner() == "n1" and nodes.candidates() == ("n1",)
    assert reported(nodes.scene.view, "vip", "n1").level == "poor"  # not unfit: a restart there is possible


def test_a_daemon_that_comes_back_goes_on_with_what_the_last_one_reported() -> None:
    nodes = Nodes(check("net"), check("disk"))
    nodes.stand(n1="net")
    nodes.pass_ms(SETTLED_MS)
    report = nodes.scene.view.reports["n1"].record
    assert report.checks["net"]["ok"] is False and report.checks["disk"]["ok"] is True
    nodes.daemons["n1"].state.checks = None  # as the next daemon has it
    nodes.pass_ms(SETTLED_MS)
    assert nodes.scene.view.reports["n1"].record.checks["net"]["ok"] is False
    assert "n1" not in nodes.candidates()


def test_a_check_that_is_in_the_configuration_no_more_counts_no_more() -> None:
    nodes = Nodes(check("net"), check("disk"))
    nodes.stand(n2="net")
    nodes.pass_ms(SETTLED_MS)
    assert "n2" not in nodes.candidates()
    nodes.names = ["disk"]
    nodes.stand(n2="")
    nodes.pass_ms(SETTLED_MS)
    assert "n2" in nodes.candidates()


def test_status_shows_value_and_limit_and_warns_once_for_all_groups() -> None:
    nodes = Nodes(check("net"), check("rack", "attribute"))
    nodes.stand(n2="net+rack")
    nodes.pass_ms(SETTLED_MS)
    document: dict[str, Any] = status(nodes.scene.view, nodes.scene.spec)
    rows = {node["name"]: node["checks"] for node in document["nodes"]}
    assert [(row["name"], row["ok"], row["then"], row["text"]) for row in rows["n2"]] == [
        ("net", False, "unfit", "value and limit"), ("rack", False, "attribute", "value and limit")
    ]  # fmt: skip
    said = [(warning["level"], warning["what"]) for warning in document["warnings"] if "n2" in warning["what"]]
    assert [warning for warning in said if "HAProxy" not in warning[1]] == [
        ("warning", "node n2 fails the health check net: value and limit"),
        ("notice", "node n2 fails the health check rack: value and limit"),
    ]


# --- one check -------------------------------------------------------------------------------------------------


def test_rise_and_fall() -> None:
    streak = Streak(2, 3)
    results = [True, False, False, True, False, False, False, True, False, True, True, False]
    stands = [True, True, True, True, True, True, False, False, False, False, True, True]
    assert [streak.take(result) for result in results] == stands


@given(st.booleans())
def test_the_first_result_counts(well: bool) -> None:
    assert Streak(5, 5).take(well) is well


@given(st.floats(0, 2e9), st.floats(0.5, 3600), st.text(max_size=5))
def test_turns_come_at_the_same_moments_wherever_one_looks_from(now: float, interval: float, name: str) -> None:
    turn = next_turn(now, interval, name)
    assert now <= turn <= now + interval * 1.001
    between = now + (turn - now) / 2
    assume(between < turn)  # two numbers beside each other have none between them
    assert abs(next_turn(between, interval, name) - turn) < 0.01


def test_turns_of_checks_differ() -> None:
    turns = [next_turn(1000.0, 10.0, f"check-{number}") for number in range(5)]
    assert all(abs(one - other) > 0.001 for one, other in itertools.combinations(turns, 2))


@pytest.mark.parametrize(
    ("text", "left", "whole", "enough"),
    [
        ("5%", 5, 100, True),
        ("5%", 4.9, 100, False),
        ("0%", 0, 100, True),
        ("2GiB", 2 << 30, 1 << 40, True),
        ("2GiB", (2 << 30) - 1, 1 << 40, False),
        ("1000", 999, 5000, False),
        ("1.5 MiB", 3 << 19, 1 << 30, True),
    ],
)
def test_parts_of_a_whole(text: str, left: float, whole: float, enough: bool) -> None:
    assert Part.of(text).enough(left, whole) == enough


@pytest.mark.parametrize("text", ["", "%", "5 percent", "-1%", "2GB", "x"])
def test_no_parts(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        Part.of(text)
