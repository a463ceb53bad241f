"""Maintenance as an operator types it, while daemons, etcd and nodes are restarted or die."""

from __future__ import annotations

import pytest

from hactl.lab.spec import SERVICE_VIP
from hactl.lab.system import LabError

from .whole import EXCLUSIVE, Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]

STOPPED = ("resource_stopped", "resource_started", "failover", "group_not_mine")


def acted(cluster: Cluster) -> list[str]:
    """What daemons did to resources since the beginning."""
    notes = [(name, entry) for name in cluster.nodes for entry in cluster.events(name)]
    return [f"{name}: {entry['event']} {entry.get('group')}" for name, entry in notes if entry["event"] in STOPPED]


def in_maintenance(cluster: Cluster, *words: str) -> str:
    """Both groups run on one node, and are left alone; the node."""
    owner = cluster.owner("service")
    cluster.bring(owner)
    assert "left alone" in cluster.hactl(owner, "maintenance", "on", *words)
    view = cluster.store.view()
    assert {view.groups[name].record.state for name in EXCLUSIVE} == {"unmanaged"}
    cluster.begin()
    return owner


def test_etcd_and_daemons_come_and_go_and_nothing_stops(cluster: Cluster) -> None:
    owner = in_maintenance(cluster, "--reason", "new etcd")
    before = {name: cluster.group(name) for name in EXCLUSIVE}
    assert cluster.node(owner).restart_daemon() is None
    cluster.await_live()
    cluster.lab.stop_etcd()
    cluster.until(
        lambda: all(cluster.events(name, "lease_lapsing") for name in cluster.nodes), "every lease has come to its end"
    )
    assert cluster.judge.watcher.holders(SERVICE_VIP) == [owner]
    cluster.lab.start_etcd()
    cluster.await_live()
    cluster.hactl(owner, "wait", "service=unmanaged", "vip=unmanaged", "--for", "30s")
    assert "EVERYTHING IS IN MAINTENANCE" in cluster.hactl(owner, "status")
    assert acted(cluster) == [] and cluster.judge.watcher.holders(SERVICE_VIP) == [owner]
    assert "hactl looks after it again" in cluster.hactl(owner, "maintenance", "off")
    assert acted(cluster) == []
    for name, own in before.items():
        now = cluster.group(name)
        assert (now.node, now.state) == (owner, "owned") and now.epoch > own.epoch
    cluster.await_all_running([owner])


def test_a_node_is_left_alone_and_the_others_go_on(cluster: Cluster) -> None:
    """n1 has the service, and another node the address: that one dies, then n1."""
    cluster.bring("n1")
    assert cluster.move("vip", "n2")[0] == 200
    cluster.await_running("vip", ["n2"])
    said = cluster.hactl("n3", "maintenance", "on", "--node", "n1")
    assert "left alone with it: service; no group comes to it, and it is not fenced" in said and "left alone\n" in said
    assert {name: cluster.group(name).state for name in EXCLUSIVE} == {"vip": "owned", "service": "unmanaged"}
    cluster.begin()
    assert "NODE n1 IS IN MAINTENANCE" in cluster.hactl("n3", "status")
    with pytest.raises(LabError, match="may not run on n1: in maintenance"):
        cluster.hactl("n3", "failover", "vip", "--to", "n1")
    cluster.lab.kill("n2")
    assert cluster.await_running("vip", ["n1", "n3"]) == "n3"
    cluster.lab.kill("n1")
    cluster.lab.start("n2")
    cluster.await_live("n2", "n3")
    cluster.until(lambda: "n1" not in cluster.store.view().sessions, "n1 is deposed")
    cluster.await_renewals(names=["n2", "n3"], count=20)  # longer than its lease
    assert cluster.group("service").state == "unmanaged" and cluster.holders("service") == []
    cluster.lab.start("n1")
    cluster.await_live()
    assert cluster.holders("service") == []  # it died with its node, and stays so
    assert "hactl looks after it again" in cluster.hactl("n3", "maintenance", "off", "--node", "n1")
    cluster.await_running("service", ["n1"])


def test_it_ends_by_itself_and_what_died_is_started(cluster: Cluster) -> None:
    owner = in_maintenance(cluster, "--for", "6s")
    cluster.node(owner).kill_daemon()
    cluster.lab.node(owner).call("ip", "address", "del", f"{SERVICE_VIP}/24", "dev", "eth0")
    cluster.until(lambda: cluster.judge.watcher.holders(SERVICE_VIP) == [], "the address is gone")
    cluster.until(lambda: not cluster.store.view().maintenance, "the maintenance has ended")
    assert cluster.await_running("service", epoch_above=0) == owner
    cluster.hactl(owner, "wait", "settled", "--for", "30s")


def test_the_owner_dies_meanwhile(cluster: Cluster) -> None:
    owner = in_maintenance(cluster)
    other = cluster.others(owner)[0]
    cluster.lab.kill(owner)
    cluster.until(lambda: owner not in cluster.store.view().sessions, f"{owner} is deposed")
    cluster.await_renewals(names=cluster.others(owner), count=20)  # longer than its lease
    assert {cluster.group(name).state for name in EXCLUSIVE} == {"unmanaged"}
    with pytest.raises(LabError, match=rf"exit 3: .*waiting for {owner}: it may run there still"):
        cluster.hactl(other, "maintenance", "off", "--timeout", "3s")
    assert all(cluster.judge.watcher.holders(address) == [] for address in EXCLUSIVE.values())
    cluster.hactl(other, "fence", "confirm", owner, "--yes")
    for name in EXCLUSIVE:
        assert cluster.await_running(name, cluster.others(owner)) != owner


def test_one_group_alone_and_its_owner_comes_back(cluster: Cluster) -> None:
    owner = cluster.owner("service")
    cluster.bring(owner)
    other = cluster.others(owner)[0]
    cluster.hactl(other, "group", "unmanage", "service")
    cluster.begin()
    cluster.lab.kill(owner)
    assert cluster.await_running("vip", cluster.others(owner)) != owner  # which is looked after
    cluster.lab.start(owner)
    cluster.await_live()
    assert cluster.group("service").state == "unmanaged"
    assert cluster.judge.watcher.holders(SERVICE_VIP) == []
    cluster.hactl(other, "group", "manage", "service")
    assert cluster.await_running("service") == owner
