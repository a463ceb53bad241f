"""The deadline holds when the daemon does not: frozen, killed for good, without its guard, without etcd."""

from __future__ import annotations

import os
import signal

import pytest

from hactl.lab.spec import SERVICE_VIP
from hactl.lab.system import wait_until

from .test_resources import leaving, pids
from .whole import EXCLUSIVE, Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]


def haproxies(cluster: Cluster) -> dict[str, int | None]:
    """HAProxy's master process on each node, if a process of this id runs there."""
    masters = {}
    for name, node in cluster.nodes.items():
        pid = cluster.status(name)["local"]["haproxy"]["pid"]
        masters[name] = pid if pid in node.pids_named("haproxy") else None
    return masters


def test_a_frozen_daemon_is_replaced_by_another_node(cluster: Cluster) -> None:
    """The guard kills it and stops everything before the lease ends; its successor begins anew."""
    owner = cluster.owner("service")
    cluster.bring(owner)
    before = cluster.store.view()
    pid = cluster.node(owner).daemon_pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    cluster.await_stopped(owner)
    cluster.await_running("service", epoch_above=before.groups["service"].record.epoch)
    taken = cluster.await_all_running()
    assert cluster.node(owner).daemon_pid() != pid
    for group in taken:
        assert cluster.group(group).epoch > before.groups[group].record.epoch
    record = cluster.await_event(owner, "guard_stopped_everything")
    assert record["outcome"] == "stopped"
    cluster.await_live(owner)
    session = cluster.store.view().sessions[owner]
    assert session.record.session_id != before.sessions[owner].record.session_id


def test_processes_that_an_agent_started_are_stopped_by_the_guard(cluster: Cluster) -> None:
    """It is in a cgroup of its own: killed with the daemon it is not, but by the agent's `kill`."""
    cluster.apply(cluster.with_groups(leaving(cluster)))
    owner = cluster.await_running("agent")
    epoch, running = cluster.group("agent").epoch, pids(cluster, owner, "agent")
    assert len(running) == 1
    pid = cluster.node(owner).daemon_pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    cluster.until(lambda: not set(running) & set(pids(cluster, owner, "agent")), "it is stopped")
    cluster.await_running("agent", epoch_above=epoch)
    record = cluster.await_event(owner, "guard_stopped_everything")
    assert (record["outcome"], "agent" in str(record["names"])) == ("stopped", True)


def test_a_daemon_without_groups_that_was_frozen_finds_itself_replaced(cluster: Cluster) -> None:
    """Nothing is exclusive there, so the guard lets it live: it is deposed, and goes on with a new session."""
    owner = cluster.owner("service")
    cluster.bring(owner)
    idle = cluster.others(owner)[0]
    before = cluster.store.view()
    pid = cluster.node(idle).daemon_pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    cluster.until(lambda: idle not in cluster.store.view().sessions, f"{idle} is deposed")
    os.kill(pid, signal.SIGCONT)
    cluster.await_event(idle, "deposed", sid=before.sessions[idle].record.session_id)
    cluster.await_event(idle, "session_opened")
    cluster.await_live(idle)
    assert cluster.node(idle).daemon_pid() == pid
    assert cluster.store.view().groups == before.groups


def test_a_daemon_without_its_guard_stops_everything_before_it_ends(cluster: Cluster) -> None:
    """Its successor may be late, and then two nodes would run the same."""
    owner = cluster.owner("service")
    cluster.bring(owner)
    supervisor = cluster.node(owner).group.child("supervisor")
    supervisor.freeze(True)
    cluster.node(owner).kill_guard()
    cluster.await_event(owner, "daemon_ends", code=1)
    cluster.deadline_s = 4
    cluster.await_stopped(owner)


def test_a_daemon_that_never_comes_back_is_stopped_by_the_guard(cluster: Cluster) -> None:
    owner = cluster.owner("service")
    cluster.bring(owner)
    node = cluster.node(owner)
    node.group.child("supervisor").freeze(True)
    node.kill_daemon()
    taken = cluster.await_all_running(cluster.others(owner))
    assert not cluster.service_pids(owner)
    assert not any(owner in cluster.holders(group) for group in EXCLUSIVE)
    assert node.group.child("guard").pids()
    node.group.child("supervisor").freeze(False)
    cluster.await_live(owner)
    cluster.await_renewals()
    assert cluster.await_all_running() == taken


@pytest.mark.parametrize("fault", ["stopped", "frozen"])
def test_all_of_etcd_is_away_for_long(cluster: Cluster, fault: str) -> None:
    """Everything exclusive stops, HAProxy goes on; after the return all runs again and no node is deposed (S4)."""
    masters = haproxies(cluster)
    assert all(masters.values())
    cluster.lab.stop_etcd() if fault == "stopped" else cluster.lab.freeze_etcd()
    for name in cluster.nodes:
        cluster.await_stopped(name)
    owner = cluster.judge.watcher.changes()[-1].node
    cluster.await_event(owner, "guard_stopped_everything")
    cluster.until(lambda: cluster.status(owner), f"{owner}'s next daemon answers")
    assert haproxies(cluster) == masters
    cluster.lab.start_etcd() if fault == "stopped" else cluster.lab.freeze_etcd(False)
    cluster.await_live()
    cluster.await_all_running()
    assert not any(cluster.events(name, "peer_deposed") for name in cluster.nodes)
    assert haproxies(cluster) == masters


def test_etcds_leader_is_killed(cluster: Cluster) -> None:
    """A new leader is there well within the lease: nothing stops."""
    owner = cluster.owner("service")
    cluster.bring(owner)
    other = cluster.others(owner)[0]
    cluster.lab.move_etcd_leader(other)
    cluster.begin()
    before = cluster.store.view().groups
    cluster.node(other).stop_etcd()
    wait_until(lambda: cluster.lab.etcd_leader() not in (None, other), deadline_s=10, goal="another leader")
    cluster.await_renewals(5)
    assert cluster.store.view().groups == before
    assert cluster.changes(SERVICE_VIP) == []
