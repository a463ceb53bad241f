"""HAProxy as a resource of the VIP's group: it runs where that does, is driven there, and nowhere else."""

from __future__ import annotations

import copy
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from hactl.lab import netns
from hactl.lab.spec import CLIENT, VIP, VIP6, VIP_PORTS
from hactl.lab.system import LabError

from .status_document import group_named
from .whole import ASKED, Cluster

# The monitor would see it only after ten seconds: sooner is by an event.
PROMPTLY_S = 6.0
# A daemon that is killed is back within its lease, on a busy machine, too: as in test_restarts.
TIMING = {"lease": "6s"}
HOT, IN_GROUP = "%40haproxy", "%40haproxy-in-group"

pytestmark = [pytest.mark.root, pytest.mark.lab]


def in_group(cluster: Cluster, **options: Any) -> dict[str, Any]:
    """The lab's configuration with HAProxy in the group of the VIP."""
    document = copy.deepcopy(cluster.base)
    group = group_named(document, "vip")
    group["overlap"] = False
    group["resources"].append({"name": "balancer", "haproxy": options})
    return document


def processes(cluster: Cluster, node: str) -> dict[str, list[int]]:
    """The processes of HAProxy on a node: hot ones, and a group's."""
    resources = cluster.node(node).group.child("resources").path
    pids = {}
    for name in (HOT, IN_GROUP):
        file = Path(resources, name, "cgroup.procs")
        pids[name] = [int(word) for word in file.read_text().split()] if file.exists() else []
    return pids


def master(cluster: Cluster, node: str) -> int:
    """The master of the group's HAProxy."""
    return min(processes(cluster, node)[IN_GROUP])


def only_on(cluster: Cluster, owner: str) -> bool:
    """Whether HAProxy runs there with its group, and nowhere else at all."""
    seen = {name: processes(cluster, name) for name in cluster.nodes}
    there = seen.pop(owner)
    return bool(there[IN_GROUP]) and not there[HOT] and not any(any(pids.values()) for pids in seen.values())


def use(cluster: Cluster, **options: Any) -> str:
    """Have HAProxy in the group; where it runs."""
    cluster.configure(in_group(cluster, **options))
    owner = cluster.await_running("vip")
    cluster.until(lambda: only_on(cluster, owner), f"HAProxy runs on {owner} alone")
    cluster.begin()
    return owner


def config_file(cluster: Cluster, node: str) -> str:
    """The file that HAProxy has read there."""
    return (cluster.node(node).home / "run" / "haproxy" / "haproxy.cfg.good").read_text()


def nonlocal_bind(cluster: Cluster, node: str) -> list[str]:
    """The sysctls, set back to 0 before they are asked the next time."""
    names = [f"/proc/sys/net/{version}/ip_nonlocal_bind" for version in ("ipv4", "ipv6")]
    return [cluster.node(node).call("sh", "-c", f"cat {name}; echo 0 > {name}").strip() for name in names]


def test_a_move_takes_it_along_and_no_foreign_address_is_bound(cluster: Cluster) -> None:
    owner = use(cluster)
    for name in cluster.nodes:
        nonlocal_bind(cluster, name)
    target = cluster.others(owner)[0]
    with cluster.lab.probe(ASKED["vip"]) as probe:
        assert cluster.move("vip", target)[0] == 200
        cluster.await_running("vip", [target])
        cluster.until(lambda: only_on(cluster, target), "HAProxy is on the new owner alone")
    assert probe.result is not None
    print(f"planned move: {probe.result.summary()}")
    assert probe.result.good > 0
    for name in cluster.nodes:
        assert nonlocal_bind(cluster, name) == ["0", "0"]
    assert not cluster.store.view().failures


def test_a_request_under_way_is_answered_before_it_is_stopped(cluster: Cluster) -> None:
    owner = use(cluster, drain="4s")
    target = cluster.others(owner)[0]
    client = cluster.lab.spec.namespace(CLIENT)
    there = (VIP, VIP_PORTS["api-one"])

    def connect() -> socket.socket:
        return netns.inside(client, lambda: socket.create_connection(there, timeout=cluster.deadline_s))

    def refused() -> bool:
        try:
            connect().close()
        except ConnectionRefusedError:
            return True
        return False

    with connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: lab\r\n")
        assert cluster.move("vip", target)[0] == 200
        cluster.until(refused, "it takes no new connections")
        assert cluster.holders("vip") == [owner]
        connection.sendall(b"Connection: close\r\n\r\n")
        assert connection.makefile("rb").read().startswith(b"HTTP/1.1 200")
    cluster.await_running("vip", [target])


def test_a_power_cut_of_its_node(cluster: Cluster) -> None:
    owner = use(cluster)
    cluster.lab.kill(owner)
    taken = cluster.await_running("vip", cluster.others(owner))
    assert all(not processes(cluster, name)[HOT] for name in cluster.others(owner))
    cluster.lab.start(owner)
    cluster.await_live(owner)
    cluster.await_renewals()
    assert only_on(cluster, taken)  # no failback, and nothing hot after the boot


def test_it_outlives_the_daemon_and_is_driven_by_the_next(cluster: Cluster) -> None:
    owner = use(cluster)
    before, epoch = processes(cluster, owner)[IN_GROUP], cluster.group("vip").epoch
    pid = cluster.node(owner).daemon_pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    cluster.until(lambda: cluster.node(owner).daemon_pid() not in (None, pid), "the daemon is back")
    cluster.await_live(owner)
    cluster.await_running("vip", [owner])
    assert (processes(cluster, owner)[IN_GROUP], cluster.group("vip").epoch) == (before, epoch)
    document = in_group(cluster)
    document["haproxy"]["maxconn"] = 777
    cluster.configure(document)
    cluster.until(lambda: "maxconn 777" in config_file(cluster, owner), "the change is applied")
    assert (master(cluster, owner), cluster.group("vip").epoch) == (min(before), epoch)
    assert only_on(cluster, owner)
    assert not cluster.events(owner, "resource_failed")


def test_killed_it_is_a_failed_resource_and_started_again_in_place(cluster: Cluster) -> None:
    owner = use(cluster)
    epoch, dead = cluster.group("vip").epoch, processes(cluster, owner)[IN_GROUP]
    cluster.deadline_s = PROMPTLY_S
    os.kill(min(dead), signal.SIGKILL)
    cluster.await_event(owner, "resource_failed", group="vip", resource="balancer", failures=1)
    cluster.until(lambda: set(processes(cluster, owner)[IN_GROUP]) - set(dead), "it runs again")
    cluster.await_running("vip", [owner])
    assert cluster.group("vip").epoch == epoch
    assert not set(processes(cluster, owner)[IN_GROUP]) & set(dead)
    assert cluster.changes(VIP) == cluster.changes(VIP6) == []  # the addresses stay


def test_a_daemon_that_hangs_keeps_nothing_of_it(cluster: Cluster) -> None:
    """The guard kills it before another node has it."""
    owner = use(cluster)
    pid = cluster.node(owner).daemon_pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)  # for good: the guard ends the daemon, too
    taken = cluster.await_running("vip", cluster.others(owner))
    assert only_on(cluster, taken)


def test_to_every_node_and_back_while_it_runs(cluster: Cluster) -> None:
    owner = use(cluster)
    cluster.configure(cluster.base)
    cluster.await_running("vip")

    def hot_everywhere() -> bool:
        seen = [processes(cluster, name) for name in cluster.nodes]
        return all(running[HOT] and not running[IN_GROUP] for running in seen)

    cluster.until(hot_everywhere, "HAProxy runs hot on every node")
    assert all(cluster.status(name)["local"]["haproxy"]["running"] for name in cluster.nodes)
    owner = use(cluster)
    status = {name: cluster.status(name)["local"]["haproxy"] for name in cluster.nodes}
    assert [name for name, haproxy in status.items() if haproxy["running"]] == [owner]
    assert not any(haproxy["error"] for haproxy in status.values())


def test_to_another_group_only_when_it_is_released(cluster: Cluster) -> None:
    use(cluster)
    document = in_group(cluster)
    resources = [group["resources"] for group in document["groups"]]
    moved = resources[0].pop()
    resources[1].append(moved)
    for service in document["services"]:
        service["binds"] = ["10.77.0.31:8085"] if service is document["services"][0] else ["10.77.0.31:8086"]
    with pytest.raises(LabError, match="not released"):
        cluster.apply(document)
