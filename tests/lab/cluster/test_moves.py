"""Planned moves: by the command line and by standby."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from hactl.lab import netns
from hactl.lab.spec import CLIENT, SERVICE_VIP, VIP, VIP_PORTS
from hactl.lab.system import LabError, run

from .whole import ASKED, Cluster, LateError

pytestmark = [pytest.mark.root, pytest.mark.lab]


def test_both_groups_are_moved_once(cluster: Cluster) -> None:
    """To a named node, and to the best other; nothing stays behind that keeps them there."""
    owner = cluster.owner("service")
    cluster.bring(owner)
    first, second = cluster.others(owner)
    cluster.overlap_planned = True
    said = cluster.hactl(owner, "failover", "service", "--to", second)
    assert f"service: from {owner} to {second}" in said
    assert cluster.await_running("service") == second
    assert "moved by" in cluster.group("service").reason
    with cluster.lab.probe(ASKED["vip"]) as probe:
        cluster.hactl(first, "failover", "vip", "--to", second)
        assert cluster.await_running("vip") == second
        cluster.until(lambda: cluster.judge.watcher.holders(VIP) == [second], "the old owner lets go of the address")
    assert probe.result is not None
    assert probe.result.failed == 0  # both had the address for a moment
    cluster.hactl(second, "failover", "service")
    assert cluster.await_running("service") in (owner, first)
    assert not cluster.store.view().moves
    assert not cluster.store.view().failures


def test_a_request_under_way_is_answered_by_the_node_that_took_it(cluster: Cluster) -> None:
    """Its connection is the old owner's; its segments go to the new one."""
    owner = cluster.owner("vip")
    target = cluster.others(owner)[0]
    client, holders = cluster.lab.spec.namespace(CLIENT), cluster.judge.watcher.holders
    cluster.overlap_planned = True
    there = (VIP, VIP_PORTS["api-one"])
    with netns.inside(client, lambda: socket.create_connection(there, timeout=cluster.deadline_s)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: lab\r\n")
        assert cluster.api(owner, "/v1/failover", {"group": "vip", "to": target})[0] == 200
        mac = cluster.node(target).station.mac
        cluster.until(lambda: mac in run(["ip", "-n", client, "neigh", "show", VIP]), "the client has heard of it")
        assert set(holders(VIP)) == {owner, target}
        connection.sendall(b"Connection: close\r\n\r\n")
        assert connection.makefile("rb").read().startswith(b"HTTP/1.1 200")
    cluster.until(lambda: holders(VIP) == [target], "the old owner lets go of the address")


def test_a_move_to_where_it_cannot_be_is_refused(cluster: Cluster) -> None:
    owner = cluster.owner("service")
    cluster.bring(owner)
    dead, other = cluster.others(owner)
    cluster.lab.kill(dead)
    cluster.until(lambda: dead not in cluster.store.view().sessions, f"{dead} is deposed")
    cluster.begin()
    before = cluster.store.view().groups
    cluster.until(lambda: dead not in _live(cluster, other), f"{other} knows it")
    for words, status, said in (
        (("service", "--to", dead), 1, "no live session"),
        (("service", "--to", owner), 1, f"on {owner} already"),
        (("service", "--to", "n9"), 2, "no node `n9`"),
        (("servize",), 2, "no group `servize`"),
    ):
        with pytest.raises(LabError, match=rf"exit {status}: .*{said}"):
            cluster.hactl(other, "failover", *words)
    assert cluster.store.view().groups == before
    assert not cluster.store.view().moves


def _live(cluster: Cluster, via: str) -> list[str]:
    return [node["name"] for node in cluster.status(via)["nodes"] if node["state"] == "online"]


def test_a_target_that_takes_its_time_keeps_what_it_was_handed(cluster: Cluster) -> None:
    """Nobody takes it back while the target lives; the one it leaves has it by a takeover, some time ago."""
    cluster.bring("n1")
    cluster.lab.kill("n1")
    owner = cluster.await_running("service", cluster.others("n1"))
    cluster.lab.start("n1")
    cluster.await_live()
    target = next(name for name in cluster.others("n1") if name != owner)
    pid = cluster.node(target).daemon_pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    assert cluster.api(owner, "/v1/failover", {"group": "service", "to": target})[0] == 200
    cluster.until(lambda: cluster.owner("service") == target, "it is handed over")
    cluster.await_renewals(names=[owner])
    handed = cluster.group("service")
    os.kill(pid, signal.SIGCONT)
    assert (handed.node, handed.state) == (target, "handoff")
    cluster.await_running("service", [target])


def test_the_target_of_a_move_dies_on_the_way(cluster: Cluster) -> None:
    """However far the move had come, the group runs again."""
    owner = cluster.owner("service")
    cluster.bring(owner)
    target = cluster.others(owner)[0]
    cluster.node(target).freeze()  # it lives, as far as anyone knows, but does not accept
    assert cluster.api(owner, "/v1/failover", {"group": "service", "to": target})[0] == 200
    cluster.until(lambda: cluster.owner("service") == target, "it is handed over")
    cluster.lab.kill(target)
    cluster.await_running("service", cluster.others(target))


def test_the_old_owner_dies_while_both_have_the_address(cluster: Cluster) -> None:
    owner = cluster.owner("service")
    cluster.bring(owner)
    target, other = cluster.others(owner)
    cluster.lab.move_etcd_leader(other)
    pid = cluster.node(target).daemon_pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        cluster.overlap_planned = True
        assert cluster.api(owner, "/v1/failover", {"group": "vip", "to": target})[0] == 200
        cluster.until(lambda: cluster.owner("vip") == target, "it is handed over")
        cluster.lab.kill(owner)
    finally:
        os.kill(pid, signal.SIGCONT)
    cluster.await_running("service", cluster.others(owner))
    cluster.deadline_s = 4
    try:
        cluster.await_running("vip", cluster.others(owner))
    except LateError:
        cluster.store.delete(cluster.store.keys.group("vip"))  # or nothing would ever move it again
        raise


def test_standby_and_online(cluster: Cluster) -> None:
    owner = cluster.owner("service")
    cluster.bring(owner)
    cluster.overlap_planned = True
    cluster.hactl(owner, "node", "standby", owner)
    taken = cluster.await_all_running(cluster.others(owner))
    assert cluster.status(owner)["nodes"][list(cluster.nodes).index(owner)]["state"] == "standby"
    holders = cluster.judge.watcher.holders
    assert owner not in holders(SERVICE_VIP) + holders(VIP)
    cluster.hactl(owner, "node", "online", owner)
    cluster.until(lambda: not cluster.store.view().standby, "standby has ended")
    cluster.await_renewals()
    assert cluster.await_all_running() == taken
