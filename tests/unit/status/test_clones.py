"""Groups that run on every node: what is shown of them, what an operator is told to do, and what is waited for."""

from __future__ import annotations

from typing import Any

import pytest

from election.records import Ban, Maintenance, Restart, Stop
from hactl.cli.explain import explained, simulated
from hactl.cli.maintenance import Scope, _left
from hactl.cli.output import Style
from hactl.cli.status_view import render
from hactl.decide.placement.plan import plan
from hactl.status import check
from hactl.status import document as status
from hactl.status.conditions import leaving, missing, parse, unknown_name, unplaced
from hactl.status.explain import explain
from hactl.status.explain_clone import explain_clone
from hactl.status.simulate import Supposed, simulate, with_names_checked
from tests.support.scene import CLUSTER, KEYS, Scene, spec

BROKER = """groups:
  - name: broker
    run: all
    resources:
      - name: rabbitmq
        systemd: {unit: rabbitmq-server.service}
"""
WITH_CLONE = CLUSTER.replace("groups:\n", BROKER)
ENTRY = WITH_CLONE.replace("  - name: vip\n", "  - name: vip\n    together_with: [broker]\n")

Reported = dict[str, Any]


def instance(phase: str, reason: str = "", **more: Any) -> Reported:
    known: Reported = {"phase": phase, "epoch": 0, "resources": {"rabbitmq": phase}, **more}
    return {**known, "reason": reason} if reason else known


RUNNING = instance("running")
GIVEN_UP = instance("failed", "rabbitmq: died", failed=True, given_up=True)


def scene(text: str = WITH_CLONE, **reports: Reported) -> Scene:
    """n1 owns `vip`, n2 `database`; the instances as they are reported, else running."""
    known = Scene(cluster=text)
    known.join("n1", "n2", "n3")
    for group, node in (("vip", "n1"), ("database", "n2")):
        known.own(group, node)
    said(known, **reports)
    return known


def said(known: Scene, **reports: Reported) -> None:
    """What each node says of its instance, beside what it owns."""
    own = {"n1": "vip", "n2": "database"}
    for node in ("n1", "n2", "n3"):
        groups = {"broker": reports.get(node, RUNNING)}
        if node in own:
            spec_ = known.spec.group(own[node])
            assert spec_ is not None
            health = {resource.name: "running" for resource in spec_.resources}
            groups[own[node]] = {"phase": "running", "epoch": 7, "resources": health}
        known.report(node, {name: group for name, group in groups.items() if group})


def document(known: Scene, **more: Any) -> dict[str, Any]:
    return status.status(known.view, known.spec, "n1", health=known.health, **more)


def clone(known: Scene) -> dict[str, Any]:
    (only,) = document(known)["clones"]
    return only  # type: ignore[no-any-return]


def told(known: Scene) -> list[tuple[str, str, str]]:
    warnings = document(known)["warnings"]
    return [(warning["level"], warning["what"], warning["do"]) for warning in warnings if "broker" in warning["what"]]


def held(known: Scene, text: str) -> str:
    return missing(parse(text), document(known))


def shown(known: Scene, width: int = 80) -> list[str]:
    return render(document(known), Style(width=width)).splitlines()


def test_one_that_is_well() -> None:
    known = scene()
    shown_ = document(known)
    assert [group["name"] for group in shown_["groups"]] == ["vip", "database"]
    assert shown_["warnings"] == []
    assert (clone(known)["state"], clone(known)["running"], clone(known)["wanted"]) == ("running", 3, 3)
    assert [node["instances"] for node in shown_["nodes"]] == [["broker"]] * 3
    assert "broker         running  3 of 3   n1, n2, n3" in shown(known)
    for text in ("broker=running", "broker@n3", "settled"):
        assert held(known, text) == ""
    assert unknown_name(parse("broker=running"), shown_) == ""
    assert "instances_running=3;;;0;3" in check.check(shown_)[1]


@pytest.mark.parametrize(
    ("report", "state", "level", "what", "do"),
    [
        (GIVEN_UP, "partial", "error", "group broker fails on n3, and nothing relies on it there: rabbitmq: died",
         "hactl group cleanup broker --node n3"),
        (instance("failed", "died", failed=True), "partial", "warning", "group broker has failed on n3: died",
         "restarted by itself"),
        (instance("blocked", "hangs"), "blocked", "error", "group broker cannot be stopped on n3: hangs",
         "by hand on n3"),
        (instance("barred", "no unit"), "partial", "error", "group broker is not started on n3: whether it runs there "
         "cannot be told (no unit)", "repair that on n3"),
        (instance("starting", "it starts when db runs"), "starting", "notice",
         "group broker is starting on n3: it starts when db runs", "wait"),
        ({}, "starting", "notice", "group broker is unknown on n3", "wait"),
    ],
)  # fmt: skip
def test_an_instance_that_does_not_run(report: Reported, state: str, level: str, what: str, do: str) -> None:
    known = scene(n3=report)
    assert (clone(known)["state"], clone(known)["running"]) == (state, 2)
    ((told_level, told_what, told_do),) = told(known)
    assert (told_level, told_what) == (level, what)
    assert do in told_do
    for text in ("broker=running", "broker@n3", "settled"):
        assert "n3: " in held(known, text)
    assert held(known, "broker@n1") == ""


def test_the_table_fits_a_narrow_screen() -> None:
    lines = shown(scene(n3=instance("failed", "rabbitmq: " + "it died " * 12, failed=True, given_up=True)))
    assert [line for line in lines if len(line) > 80] == []
    assert any(line.startswith("broker         partial  2 of 3   n3: failed, rabbitmq: it died it") for line in lines)


def test_where_none_runs_it_is_an_error_of_its_own() -> None:
    known = scene(n1=GIVEN_UP, n2=GIVEN_UP, n3=GIVEN_UP)
    assert clone(known)["state"] == "failed"
    assert ("error", "group broker runs on no node", "see what is said of each of them") in told(known)


def test_a_node_that_is_lost_has_no_instance_and_is_told_of_once() -> None:
    known = scene()
    known.kill("n3", state="safe")
    assert (clone(known)["state"], clone(known)["running"], clone(known)["wanted"]) == ("running", 2, 3)
    assert told(known) == []
    assert held(known, "broker=running") == held(known, "settled") == ""
    assert "broker         running  2 of 3   n3: away; n1, n2" in shown(known)


def test_what_an_operator_has_stopped_or_banned() -> None:
    known = scene()
    known.put(KEYS.stopped("broker"), Stop("anna"))
    assert clone(known)["state"] == "stopping"
    assert "n1: running, stopped by anna" in held(known, "broker=stopped")
    down = instance("stopped", "stopped by anna")
    said(known, n1=down, n2=down, n3=down)
    assert clone(known)["state"] == "stopped"
    assert held(known, "broker=stopped") == held(known, "settled") == ""
    assert [what for _, what, _ in told(known)] == ["group broker is stopped (by anna)"]

    known.delete(KEYS.stopped("broker"))
    known.put(KEYS.ban("broker", "n3"), Ban("anna"))
    said(known, n3=instance("running", leaving=True))
    assert (clone(known)["state"], clone(known)["wanted"]) == ("running", 2)
    assert "broker is running, on 2 of 2 (n3: stopping, banned by anna)" in held(known, "settled")
    said(known, n3=down)
    assert held(known, "settled") == held(known, "broker=running") == ""
    assert "not on n3 (banned by anna)" in "".join(shown(known))


def test_a_ban_is_waited_for_where_it_can_come_to_its_end() -> None:
    known = scene(n1=GIVEN_UP)
    known.put(KEYS.ban("broker", "n3"), Ban("anna"))
    assert "n3: running, banned by anna" in unplaced(document(known), "broker")
    said(known, n1=GIVEN_UP, n3=instance("stopped"))
    assert unplaced(document(known), "broker") == ""
    known.delete(KEYS.ban("broker", "n3"))
    assert "n3: stopped" in unplaced(document(known), "broker")


def test_a_node_in_standby_is_empty_once_its_instances_have_stopped() -> None:
    known = scene()
    known.put(KEYS.standby("n3"), "anna")
    assert leaving(document(known), "n3") == ["broker on n3: running, in standby"]
    assert "broker on n3" in held(known, "n3=standby")
    said(known, n3=instance("stopped", "in standby"))
    assert held(known, "n3=standby") == ""


def test_a_maintenance_holds_once_every_node_says_so() -> None:
    known = scene()
    known.put(KEYS.maintenance("broker"), Maintenance("anna"))
    assert clone(known)["state"] == "unmanaged" and held(known, "broker=unmanaged") == ""
    assert list(_left(document(known), Scope(group="broker"), set(), alone=True)) == [
        "broker is not left alone yet on n1, n2, n3"
    ]  # fmt: skip
    alone = instance("failed", alone=True)
    said(known, n1=alone, n2=alone, n3=alone)
    assert list(_left(document(known), Scope(), set(), alone=True)) == []
    assert all("IN MAINTENANCE" in what for _, what, _ in told(known))
    known.delete(KEYS.maintenance("broker"))
    assert list(_left(document(known), Scope(), set(), alone=False)) == ["broker is still left alone on n1, n2, n3"]


def test_a_restart_from_node_to_node() -> None:
    known = scene()
    revision = known.put(KEYS.restart("broker"), Restart("r1", 0, "anna"))
    said(known, n1=instance("running", restarted=revision), n2=instance("stopping", "it is restarted"))
    left = "group broker is being restarted, node after node; left: n2, n3"
    assert told(known) == [("notice", left, "wait; `hactl status --watch`")]
    assert "to be restarted" in held(known, "broker=running") and "to be restarted" in held(known, "settled")
    said(known, n1=instance("running", restarted=revision), n3=GIVEN_UP)
    assert ("warning", f"{left}; it waits, since it does not run on n3: rabbitmq: died",
            "repair it there; to go on without it: `hactl group ban broker n3`") in told(known)  # fmt: skip


def test_another_definition_that_is_not_taken_up_everywhere_yet() -> None:
    known = scene(n3=instance("running", outdated=True))
    assert (clone(known)["state"], clone(known)["running"]) == ("running", 3)
    assert "broker is running, on 3 of 3 (n3: running, by its configuration before)" in held(known, "settled")
    assert [level for level, what, _ in told(known) if "runs on n3 by its configuration before" in what] == ["notice"]


def test_one_that_is_no_longer_configured_and_still_there() -> None:
    known = scene()
    shown_ = status.status(known.view, spec(), "n1", health=known.health)
    (left,) = shown_["clones"]
    assert (left["name"], left["configured"], left["wanted"], left["state"]) == ("broker", False, 0, "stopping")
    assert "broker is stopping, on 0 of 0 (n1: running, not in the configuration" in missing(parse("settled"), shown_)
    down = instance("stopped")
    said(known, n1=down, n2=down, n3=down)
    assert status.status(known.view, spec(), "n1", health=known.health)["clones"] == []


def test_what_was_known_while_etcd_is_away() -> None:
    shown_ = document(scene(), stale_ms=4000)
    assert shown_["clones"][0]["state"] == "unknown"
    assert shown_["clones"][0]["nodes"][0]["reason"] == "4 s ago: running"


def explanation(known: Scene) -> dict[str, tuple[str, str, str]]:
    group = known.spec.group("broker")
    assert group is not None
    answer = explain_clone(plan(known.spec, known.view), group)
    assert explained(answer, Style(width=80))
    return {node["node"]: (node["verdict"], node["reason"], node["hint"]) for node in answer["nodes"]}


def test_it_is_explained() -> None:
    known = scene(n2=GIVEN_UP)
    known.put(KEYS.ban("broker", "n3"), Ban("anna"))
    assert explanation(known) == {
        "n1": ("owner", "its instance runs", ""),
        "n2": ("down", "its instance is failed: rabbitmq: died", "hactl group cleanup broker --node n2"),
        "n3": ("no", "banned by anna; it is leaving", "hactl group clear broker n3"),
    }


def test_a_group_that_lacks_an_instance_is_explained() -> None:
    known = scene(ENTRY, n2=GIVEN_UP)
    vip = known.spec.group("vip")
    assert vip is not None
    answer = explain(plan(known.spec, known.view), vip, "")
    there = answer["nodes"][1]
    assert (there["verdict"], there["hint"]) == ("no", "hactl explain broker")
    assert there["reason"] == "broker, with which it runs, fails there: rabbitmq: died"
    assert {"kind": "together_with", "group": "broker", "must": True, "of": "vip"} in answer["relations"]


def effects(known: Scene, supposed: Supposed) -> list[tuple[str, str, str, str]]:
    outcome = simulate(known.spec, known.view, supposed)
    assert simulated(outcome.plain(), Style(width=80))
    return [(effect.group, effect.what, effect.origin, effect.to) for effect in outcome.effects]


def test_it_is_simulated() -> None:
    known = scene(ENTRY)
    assert effects(known, Supposed(standby=("n1",))) == [
        ("broker", "instance stops", "n1", ""), ("vip", "move", "n1", "n2"),
    ]  # fmt: skip
    assert effects(known, Supposed(kill=("n3",))) == [("broker", "instance stops", "n3", "")]
    gone = simulate(known.spec, known.view, Supposed(cluster=spec()))
    assert [effect[:5] for effect in gone.effects] == [
        ("broker", "stop", "n1, n2, n3", "", "taken out of the configuration")
    ]
    assert "one that fails there moves nothing" in with_names_checked(known.spec, Supposed(fail=("broker",)))[0]


def test_another_definition_restarts_all_of_it() -> None:
    known = scene()
    other = spec(WITH_CLONE.replace("rabbitmq-server.service", "rabbitmq.service"))
    (effect,) = simulate(known.spec, known.view, Supposed(cluster=other)).effects
    assert (effect.what, effect.origin) == ("change", "n1, n2, n3")
