"""A silent node is switched off, whatever it was doing (docs/protocol.md, *Fencing*). Then its groups run elsewhere.

The promises are judged after each test (conftest): no two nodes held an address or ran the service at one time.
"""

from __future__ import annotations

from typing import Any

import pytest

from election.records import FenceRecord
from hactl.lab.cgroup import runs
from hactl.lab.power import CORD
from hactl.lab.spec import BMC, SWITCH
from hactl.lab.switch import Fault
from hactl.lab.system import LabError
from tests.lab.cluster.status_document import group_named
from tests.lab.cluster.whole import Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]

# Suspicion comes as early as in the profile; but a survivor that a busy machine keeps waiting while another node boots
# does not lose its session, and get fenced, too.
TIMING = {"lease": "3s"}
SECOND = f"{SWITCH}-b"
# One after the other may have to run into the timeouts of its agent.
PATIENCE_S = 45.0


def active(cluster: Cluster) -> str:
    """The node that has both groups, which require fencing."""
    owner = cluster.owner("service")
    cluster.bring(owner)
    return owner


def fence(cluster: Cluster, node: str) -> FenceRecord:
    return cluster.store.view().fences[node].record


def boots(cluster: Cluster) -> dict[str, int]:
    return {name: node.boots for name, node in cluster.nodes.items()}


def acted(cluster: Cluster, node: str) -> list[tuple[str, str, bool, str]]:
    """The actions of devices on a node, with their results, in this order."""
    every = [event for name in cluster.others(node) for event in cluster.events(name, "fence_acted")]
    ordered = sorted((entry for entry in every if entry["node"] == node), key=lambda entry: str(entry["timestamp"]))
    return [(entry["device"], entry["action"], entry["ok"], entry["power"]) for entry in ordered]


def await_fenced(cluster: Cluster, node: str, session_id: str) -> FenceRecord:
    """Until that session is over because its node was switched off."""

    def over() -> FenceRecord | None:
        record = fence(cluster, node)
        return record if record.session_id == session_id and record.state == "safe" else None

    record = cluster.until(over, f"{node} is known to be off")
    assert record.evidence == "off"
    assert record.by in cluster.others(node)
    return record


def await_reboot(cluster: Cluster, node: str, before: dict[str, int]) -> None:
    """Until its fencing has switched it on again and it takes part."""
    cluster.until(lambda: cluster.node(node).boots > before[node], f"{node} is switched on again")
    cluster.await_live(node)
    assert boots(cluster) == {**before, node: before[node] + 1}


def await_acting(cluster: Cluster, node: str) -> str:
    """Wait until an action of a device is under way on the node; returns the node that carries it out."""

    def acting() -> str:
        record = fence(cluster, node)
        return record.executor.partition("/")[0] if record.state == "acting" else ""

    return cluster.until(acting, f"an action on {node} is under way")


def session_id_of(cluster: Cluster, node: str) -> str:
    return cluster.store.view().sessions[node].record.session_id


def test_a_power_cut(cluster: Cluster) -> None:
    owner = active(cluster)
    before, session_id = boots(cluster), session_id_of(cluster, owner)
    cluster.lab.kill(owner)
    cluster.await_all_running(cluster.others(owner))
    await_fenced(cluster, owner, session_id)
    cluster.until(lambda: fence(cluster, owner).power == "", "what was switched off is switched on again")
    seen = acted(cluster, owner)
    offs = [n for n, entry in enumerate(seen) if entry == (SWITCH, "status", True, "off")]
    offs += [n for n, entry in enumerate(seen) if entry == (SECOND, "status", True, "off")]
    ons = [n for n, (_, action, *_) in enumerate(seen) if action == "on"]
    assert len(offs) == len(ons) == 2  # both supplies, and none was on before both were off
    assert max(offs) < min(ons)
    assert boots(cluster) == before  # its cord is still out
    assert not cluster.lab.power(owner).is_on(CORD)
    cluster.lab.start(owner)
    cluster.await_live(owner)


def test_a_frozen_node_is_dead_before_anything_runs_elsewhere(cluster: Cluster) -> None:
    owner = active(cluster)
    node, before, session_id = cluster.node(owner), boots(cluster), session_id_of(cluster, owner)
    pids = node.group.pids()
    node.freeze()
    cluster.await_all_running(cluster.others(owner))
    assert not [pid for pid in pids if runs(pid)]
    await_fenced(cluster, owner, session_id)
    await_reboot(cluster, owner, before)


def test_a_node_that_is_parted_from_all_is_switched_off_by_the_others(cluster: Cluster) -> None:
    owner = active(cluster)
    before, session_id = boots(cluster), session_id_of(cluster, owner)
    cluster.lab.partition(owner, "all")  # it reaches the switch: it must not fence anybody
    cluster.await_all_running(cluster.others(owner))
    await_fenced(cluster, owner, session_id)
    cluster.lab.heal()
    await_reboot(cluster, owner, before)


@pytest.mark.parametrize("unit", [SWITCH, SECOND])
@pytest.mark.parametrize("fault", ["fail", "lie", "hang"])
def test_a_device_that_fails(cluster: Cluster, fault: Fault, unit: str) -> None:
    """The next level does."""
    owner = active(cluster)
    cluster.deadline_s = PATIENCE_S
    before, session_id = boots(cluster), session_id_of(cluster, owner)
    cluster.lab.switch_faults.set(unit, fault)
    cluster.node(owner).freeze()
    cluster.await_all_running(cluster.others(owner))
    record = await_fenced(cluster, owner, session_id)
    assert record.level == 1
    assert (unit, "status", True, "off") not in acted(cluster, owner)
    # A device that is still faulty cannot switch on again the part that it has switched off.
    cluster.lab.switch_faults.clear()
    await_reboot(cluster, owner, before)


def test_no_device_works_for_a_while(cluster: Cluster) -> None:
    """Then nothing runs, which is said, and it goes on until one works."""
    owner = active(cluster)
    cluster.deadline_s = PATIENCE_S
    before, session_id, epoch = boots(cluster), session_id_of(cluster, owner), cluster.group("service").epoch
    for unit, fault in ((SWITCH, "lie"), (SECOND, "fail"), (BMC, "fail")):
        cluster.lab.switch_faults.set(unit, fault)  # type: ignore[arg-type]
    cluster.node(owner).freeze()
    failed = [
        cluster.until(lambda: _first(cluster, owner, "fence_failed"), "a round through all levels failed"),
        cluster.until(lambda: fence(cluster, owner).failures >= 2 and fence(cluster, owner), "a second one did"),
    ]
    assert all(failed)
    assert (cluster.group("service").node, cluster.group("service").epoch) == (owner, epoch)
    assert cluster.holders("service") == [owner]  # its kernel's
    shown = group_named(cluster.status(cluster.others(owner)[0]), "service")
    assert shown["state"] == "lost"
    assert f"waiting for {owner}" in shown["waiting"]
    cluster.lab.switch_faults.clear()
    cluster.await_all_running(cluster.others(owner))
    await_fenced(cluster, owner, session_id)
    await_reboot(cluster, owner, before)


@pytest.mark.parametrize("fate", ["daemon", "node"])
def test_the_executor_dies_in_the_middle_of_an_action(cluster: Cluster, fate: str) -> None:
    owner = active(cluster)
    cluster.deadline_s = PATIENCE_S
    session_id = session_id_of(cluster, owner)
    for unit in cluster.lab.spec.units:
        cluster.lab.switch_faults.set(unit, "slow")
    cluster.node(owner).freeze()
    executor = await_acting(cluster, owner)
    if fate == "daemon":
        cluster.node(executor).kill_daemon()
    else:
        cluster.lab.kill(executor)  # one of three is left: nothing is decided until it is back
    cluster.lab.switch_faults.clear()
    if fate == "node":
        cluster.lab.start(executor)
    cluster.await_all_running(cluster.others(owner))
    await_fenced(cluster, owner, session_id)


def test_a_node_comes_back_in_the_middle_of_an_action(cluster: Cluster) -> None:
    """It takes part only when nothing can hit it any more (S5)."""
    owner = active(cluster)
    cluster.deadline_s = PATIENCE_S
    session_id = session_id_of(cluster, owner)
    for unit in cluster.lab.spec.units:
        cluster.lab.switch_faults.set(unit, "slow")
    cluster.lab.kill(owner)
    await_acting(cluster, owner)
    cluster.lab.start(owner)

    def settled() -> bool:
        view = cluster.store.view()
        state = view.fences[owner].record.state
        assert state != "acting" or owner not in view.sessions
        return state == "safe" and owner in view.sessions

    cluster.until(settled, f"{owner} takes part again")
    assert fence(cluster, owner).session_id == session_id
    before = boots(cluster)
    cluster.lab.switch_faults.clear()
    cluster.await_live(owner)
    cluster.await_renewals(count=20)
    assert boots(cluster) == before  # nothing came late


@pytest.mark.parametrize("action", ["off", "reboot"])
def test_an_operator_has_a_node_fenced(cluster: Cluster, action: str) -> None:
    owner = active(cluster)
    via = cluster.others(owner)[0]
    before, session_id = boots(cluster), session_id_of(cluster, owner)
    said = cluster.hactl(via, "fence", owner, f"--{action}", "--yes")
    assert "safe (off, by " in said
    cluster.await_all_running(cluster.others(owner))
    await_fenced(cluster, owner, session_id)
    if action == "off":
        assert not cluster.node(owner).powered
        assert boots(cluster) == before
        cluster.lab.start(owner)
        cluster.await_live(owner)
    else:
        await_reboot(cluster, owner, before)


def test_nobody_is_fenced_for_a_daemon_that_comes_back_nor_for_etcd(cluster: Cluster) -> None:
    owner = active(cluster)
    before = boots(cluster)
    for name in cluster.nodes:
        cluster.node(name).kill_daemon()
        cluster.await_whole()
    cluster.lab.stop_etcd()
    for name in cluster.nodes:
        cluster.await_stopped(name)  # their leases are over
    cluster.lab.start_etcd()
    cluster.await_whole()
    cluster.await_renewals(count=20)
    assert boots(cluster) == before
    assert [event for name in cluster.nodes for event in cluster.events(name, "fence_action")] == []
    assert owner in cluster.nodes


def test_an_operator_sees_who_can_fence_whom(cluster: Cluster) -> None:
    name = next(iter(cluster.nodes))
    assert cluster.hactl(name, "fence", "test")
    cluster.lab.switch_faults.set(BMC, "fail")
    with pytest.raises(LabError, match="the relay is stuck"):
        cluster.hactl(name, "fence", "test")


def _first(cluster: Cluster, node: str, event: str) -> dict[str, Any] | None:
    every = [entry for name in cluster.others(node) for entry in cluster.events(name, event)]
    return every[0] if every else None
