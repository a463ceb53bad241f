"""`hactl cluster rolling-reboot`: what comes next, by the state of the cluster."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from hactl.admin import rolling
from hactl.admin.rolling import Plan, Times

SOON, LATE = Times(1.0, 0.0), Times(1000.0, 0.0)
WELL = Times(10.0, rolling.WELL_FOR_S)


def node(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "configured": True, "state": "online", "boot": f"boot-{name}", "runs": [], **more}


def group(name: str = "vip", **more: Any) -> dict[str, Any]:
    return {"name": name, "enabled": True, "configured": True, "state": "running", "holders": [], "waiting": "", **more}


def servers(**states: str) -> list[dict[str, Any]]:
    return [{"name": "api", "servers": [{"name": name, "state": state} for name, state in states.items()]}]


def document(**more: Any) -> dict[str, Any]:
    """All is well; n1 has the group."""
    return {
        "stale_ms": None,
        "nodes": [node("n1", runs=["vip"]), node("n2"), node("n3")],
        "groups": [group()],
        "moves": [],
        "fences": [],
        "balancers": [{"node": "n1", "live": True, "wanted": True, "running": True}],
        "services": servers(n1="up", n2="up", n3="up"),
        "warnings": [{"level": "warning", "what": "the certificate ends soon"}],
        "etcd": {"problems": []},
        **more,
    }


def with_node(name: str, **changed: Any) -> dict[str, Any]:
    nodes = [dict(node, **changed) if node["name"] == name else node for node in deepcopy(document()["nodes"])]
    return document(nodes=nodes)


def plan(**more: Any) -> Plan:
    made = rolling.begin(document(), "n2", "", reboot=True, only=(), timeout_s=900, drain="30s")
    return made.entering(more.pop("phase", "standby"), **more)


def test_this_machine_is_the_last_one() -> None:
    assert plan().nodes == ("n1", "n3", "n2")


def test_only_some_nodes_in_the_order_of_the_configuration() -> None:
    def nodes(*only: str) -> tuple[str, ...]:
        return rolling.begin(document(), "n2", "", reboot=True, only=only, timeout_s=1, drain="0s").nodes

    assert nodes("n3", "n1") == ("n1", "n3")
    with pytest.raises(ValueError, match="no node n9 in the configuration; it has n1, n2, n3"):
        nodes("n9")


UNWELL = {
    "n3 is dead": with_node("n3", state="dead"),
    "n2 is standby": with_node("n2", state="standby"),
    "group vip is lost: its lease is not over": document(groups=[group(state="lost", waiting="its lease is not over")]),
    "group vip is running": document(groups=[group(holders=["n3"])]),
    "group vip is about to be moved": document(moves=[{"group": "vip"}]),
    "the last session of n3 is not known to be stopped": document(fences=[{"node": "n3", "matters": True}]),
    "HAProxy does not run on n1": document(balancers=[{"node": "n1", "live": True, "wanted": True, "running": False}]),
    "etcd does not answer": document(stale_ms=900),
    "no majority": document(warnings=[{"level": "error", "what": "no majority"}]),
    "the member of n3 does not answer": document(
        etcd={"problems": [{"code": "endpoint_dead", "level": "warning", "what": "the member of n3 does not answer"}]}
    ),
}


@pytest.mark.parametrize("reason", UNWELL)
def test_it_is_refused_and_does_not_go_on_unless_all_is_well(reason: str) -> None:
    assert rolling.refusal(document()) == rolling.unwell(plan(), document()) == ""
    assert rolling.refusal(UNWELL[reason]) == rolling.unwell(plan(), UNWELL[reason]) == reason
    assert rolling.decide(plan(), UNWELL[reason], SOON) == ("stop", reason) or reason.startswith("n2 is standby")
    assert rolling.decide(plan(phase="well"), UNWELL[reason], WELL) == ("wait", reason)


def test_a_disabled_group_need_not_run() -> None:
    assert rolling.refusal(document(groups=[group(state="disabled", enabled=False)])) == ""


def test_a_server_that_was_up_must_be_up_again() -> None:
    before = document(services=servers(n1="up", n2="down"))
    begun = rolling.begin(before, "n2", "", reboot=True, only=(), timeout_s=900, drain="0s").entering("well")
    assert rolling.decide(begun, before, WELL).kind == "finish"
    after = document(services=servers(n1="down", n2="down"))
    assert rolling.decide(begun, after, WELL) == ("wait", "not up again: api/n1")


def test_a_slow_etcd_is_no_reason_to_stop_while_no_member_is_missing() -> None:
    slow = {"problems": [{"code": "slow_disk", "level": "warning", "what": "the disk of n1 is slow: 31 ms"}]}
    assert rolling.refusal(document(etcd=slow)) == rolling.unwell(plan(), document(etcd=slow)) == ""


def test_one_node_from_the_beginning_to_the_end() -> None:
    now = plan()
    assert rolling.decide(now, document(), SOON).kind == "standby"
    now = rolling.follow(now, document(), rolling.decide(now, document(), SOON))
    leaving = with_node("n1", state="standby")
    assert rolling.decide(now, leaving, SOON) == ("wait", "n1 still has vip")
    empty = with_node("n1", state="standby", runs=[])
    arriving = {**empty, "groups": [group(state="starting")]}
    assert rolling.decide(now, arriving, SOON) == ("wait", "group vip is starting")
    now = rolling.follow(now, empty, rolling.decide(now, empty, SOON))
    assert (now.phase, now.boot) == ("command", "boot-n1")
    now = rolling.commanded(now, "")
    assert rolling.decide(now, empty, SOON) == ("wait", "n1 has not rebooted")
    gone = with_node("n1", state="dead", runs=[], boot="")
    assert rolling.decide(now, gone, SOON) == ("wait", "n1 is not back")
    back = with_node("n1", state="standby", runs=[], boot="boot-2")
    now = rolling.follow(now, back, rolling.decide(now, back, SOON))
    assert now.phase == "well"
    assert rolling.decide(now, back, WELL) == ("wait", "n1 is standby")
    assert rolling.decide(now, document(), Times(1.0, 1.0)) == ("wait", "all is well")
    assert rolling.decide(now, document(), WELL).kind == "finish"
    now = rolling.over(now)
    assert (now.node, now.phase, now.done, now.boot) == ("n3", "standby", ("n1",), "")


def test_after_the_last_one_it_is_over() -> None:
    assert rolling.decide(plan(nodes=()), document(), SOON).kind == "finish"


@pytest.mark.parametrize("phase", ["empty", "back", "well"])
def test_no_wait_is_without_end(phase: str) -> None:
    waits = with_node("n1", state="standby", runs=["vip"])
    act = rolling.decide(plan(phase=phase, boot="boot-n1"), waits, LATE)
    assert act.kind == "stop" and act.text.startswith("not in time: ")


def test_a_node_that_somebody_puts_back_is_not_rebooted() -> None:
    act = rolling.decide(plan(phase="empty"), with_node("n1", runs=[]), SOON)
    assert act == ("stop", "n1 is online, not in standby: somebody changed it")


def test_a_command_that_failed_may_have_rebooted_the_node() -> None:
    """As ssh does, whose connection is cut."""
    empty, failed = with_node("n1", state="standby", runs=[]), plan(phase="back", boot="boot-n1", failed="it failed")
    assert rolling.decide(failed, empty, SOON).kind == "wait"
    assert rolling.decide(failed, empty, Times(31.0, 0.0)) == ("stop", "it failed, and n1 does not reboot")
    assert rolling.decide(failed, with_node("n1", state="dead", boot=""), Times(31.0, 0.0)).kind == "wait"
    assert rolling.decide(failed, with_node("n1", state="standby", boot="boot-2"), Times(31.0, 0.0)).kind == "online"


def test_without_a_reboot_the_command_must_succeed_and_the_boot_may_be_the_same() -> None:
    empty = with_node("n1", state="standby", runs=[])
    now = plan(phase="back", boot="boot-n1", reboot=False)
    assert rolling.decide(now, empty, SOON).kind == "online"
    failed = now.entering("back", failed="it failed")
    assert rolling.decide(failed, empty, SOON) == ("stop", "it failed")
    assert rolling.decide(rolling.resumed(failed), empty, SOON).kind == "command"
    assert rolling.resumed(now) == now


def test_an_interrupted_one_goes_on_where_it_was() -> None:
    standby = with_node("n1", state="standby", runs=[])
    assert rolling.decide(plan(), standby, SOON).kind == "standby"  # which may be repeated
    command = plan(phase="command", boot="boot-n1")
    assert rolling.decide(command, standby, SOON).kind == "command"
    assert rolling.decide(command, with_node("n1", state="dead", boot=""), SOON).kind == "wait"
    assert rolling.decide(command, with_node("n1", state="standby", boot="boot-2"), SOON).kind == "online"
