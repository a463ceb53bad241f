"""The instruments: the probe measures a known gap, the watcher sees an overlap that was made on purpose."""

from __future__ import annotations

import pytest

from hactl.config.node import load_node
from hactl.lab.cluster import Lab
from hactl.lab.spec import VIP
from hactl.lab.system import LabError, boottime_ms, wait_until
from hactl.lab.watcher import AddressWatcher

from .conftest import await_daemons

pytestmark = [pytest.mark.root, pytest.mark.lab]

API = "10.77.0.11:8001"
SLACK_MS = 100.0


def give(lab: Lab, node: str, address: str = f"{VIP}/24") -> None:
    lab.node(node).call("ip", "addr", "add", address, "dev", "eth0")


def take(lab: Lab, node: str, address: str = f"{VIP}/24") -> None:
    lab.node(node).call("ip", "addr", "del", address, "dev", "eth0")


def seen(watcher: AddressWatcher, *nodes: str) -> None:
    wait_until(lambda: watcher.holders(VIP) == list(nodes), deadline_s=5, goal=f"{nodes} hold the VIP")


def test_without_a_fault_nothing_fails(lab: Lab) -> None:
    result = lab.probe(API, interval_ms=5, seconds=1).start().wait(15)
    assert result.failed == 0
    assert result.answers_by_node == {"n1": result.good}
    assert 50 <= result.good <= 201
    assert result.end_ms - result.begin_ms == pytest.approx(1000, abs=200)


def test_the_probe_measures_a_known_gap(lab: Lab) -> None:
    backend = lab.node("n1").group.child("backend/api-one")
    with lab.probe(API, interval_ms=5) as probe:
        wait_until(lambda: lab.ask(API), deadline_s=5, goal="an answer")
        backend.freeze(True)
        frozen = boottime_ms()
        wait_until(lambda: boottime_ms() > frozen + 500, deadline_s=5, goal="half a second")
        thawed = boottime_ms()
        backend.freeze(False)
        wait_until(lambda: lab.ask(API), deadline_s=5, goal="an answer")
        wait_until(lambda: boottime_ms() > thawed + 300, deadline_s=5, goal="more answers")
    result = probe.result
    assert result is not None
    begin, end = result.gap
    assert begin <= frozen + SLACK_MS
    assert end >= thawed
    assert result.outage_ms >= thawed - frozen - SLACK_MS
    assert result.outage_ms <= thawed - frozen + 2000
    assert sum(answer.at_ms <= begin for answer in result.answers) > 0
    assert sum(answer.at_ms >= end for answer in result.answers) > 10
    assert result.good > 50  # those that hung did not stop the clock


def test_a_request_that_hangs_is_a_failure_and_stops_no_other(lab: Lab) -> None:
    result = lab.probe("10.77.0.99:80", timeout_ms=200, seconds=0.6).start().wait(15)
    assert result.good == 0
    assert result.outage_ms == pytest.approx(result.end_ms - result.begin_ms)
    assert result.failed >= 20
    assert result.failures_by_reason["connect timeout"] >= 20
    refused = lab.probe("10.77.0.11:1", timeout_ms=200, seconds=0.2).start().wait(15)
    assert set(refused.failures_by_reason) == {"ECONNREFUSED"}


def test_an_overlap_made_on_purpose_is_seen(lab: Lab) -> None:
    with lab.watch() as watcher:
        give(lab, "n1")
        give(lab, "n2")
        began = boottime_ms()
        seen(watcher, "n1", "n2")
        wait_until(lambda: boottime_ms() > began + 100, deadline_s=5, goal="a while")
        take(lab, "n1")
        seen(watcher, "n2")
        take(lab, "n2")
        seen(watcher)
    (overlap,) = watcher.overlaps(VIP)
    assert (overlap.first, overlap.second) == ("n1", "n2")
    assert overlap.ms >= 100
    assert [(held.node, held.end_ms is None) for held in watcher.holdings(VIP)] == [("n1", False), ("n2", False)]
    assert watcher.overlaps("10.77.0.31") == []


def test_a_move_without_overlap_is_seen_as_such(lab: Lab) -> None:
    with lab.watch() as watcher:
        for _ in range(5):
            for node in lab.nodes:
                give(lab, node)
                take(lab, node)
        seen(watcher)
        assert len(watcher.holdings(VIP)) == 15
        assert watcher.overlaps(VIP) == []


def test_an_address_held_from_before_and_until_now_counts(lab: Lab) -> None:
    give(lab, "n1")
    try:
        with lab.watch() as watcher:
            give(lab, "n3")
            seen(watcher, "n1", "n3")
            (overlap,) = watcher.overlaps(VIP)
            assert (overlap.first, overlap.second) == ("n1", "n3")
    finally:
        take(lab, "n1")
        take(lab, "n3")


def test_a_power_cut_takes_a_nodes_addresses_and_a_freeze_does_not(lab: Lab) -> None:
    with lab.watch() as watcher:
        give(lab, "n2")
        seen(watcher, "n2")
        lab.node("n2").freeze()
        seen(watcher, "n2")
        before = boottime_ms()
        moment = lab.kill("n2")
        give(lab, "n3")
        seen(watcher, "n3")
        assert watcher.overlaps(VIP) == []
        holding = watcher.holdings(VIP)[0]
        assert holding.node == "n2"
        assert holding.end_ms is not None
        assert before <= holding.end_ms <= boottime_ms()
        assert moment > before
        lab.start("n2")  # a new life in a new namespace: seen as well
        give(lab, "n2")
        seen(watcher, "n2", "n3")
        assert [(overlap.first, overlap.second) for overlap in watcher.overlaps(VIP)] == [("n3", "n2")]
        take(lab, "n2")
        take(lab, "n3")
        seen(watcher)
    lab.await_etcd()
    lab.await_backends()
    await_daemons(lab)


def test_a_node_that_fences_itself_is_gone_until_it_is_powered_on(lab: Lab) -> None:
    node = lab.node("n1")
    with lab.watch() as watcher:
        give(lab, "n1")
        seen(watcher, "n1")
        assert not node.self_fenced
        with pytest.raises(LabError):  # it does not survive its own action
            node.call(*load_node(node.home / "node.toml").self_fence[1:])
        seen(watcher)
    assert node.self_fenced
    assert not node.powered
    wait_until(lambda: not node.group.pids(), deadline_s=5, goal="all of its processes are gone")
    assert lab.ask(API, timeout_s=0.3) == ""
    lab.start("n1")
    assert node.powered
    assert node.addresses() == [node.address, node.station.address6]
    lab.await_etcd()
    lab.await_backends()
    await_daemons(lab)


def test_a_cut_made_by_another_process_is_seen_by_itself(lab: Lab) -> None:
    with AddressWatcher(lab.spec) as watcher:
        give(lab, "n3", "fd77::30/64")
        wait_until(lambda: watcher.holders("fd77::30") == ["n3"], deadline_s=5, goal="n3 holds it")
        Lab.open(lab.spec.name).kill("n3")
        wait_until(lambda: watcher.holders("fd77::30") == [], deadline_s=5, goal="nobody holds it")
    lab.start("n3")
    lab.await_etcd()
    lab.await_backends()
    await_daemons(lab)
