"""The daemon is not the service (S4, L2): restarts and short troubles of etcd stop nothing, and no node is deposed.

The lease is long here: a daemon, or an etcd, takes a second to start, and must be back before the lease lapses.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from hactl.lab.spec import SERVICE_VIP, VIP, VIP6
from hactl.lab.system import wait_until

from .test_resources import agent, leaving, pids
from .whole import EXCLUSIVE, Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]

TIMING = {"lease": "6s"}


class Unmoved:
    """Sessions, ownerships, processes and addresses, which must not change meanwhile."""

    def __init__(self, cluster: Cluster) -> None:
        cluster.begin()
        self.cluster = cluster
        self.owner = cluster.owner("service")
        view = cluster.store.view()
        self.sessions = {name: session.create_revision for name, session in view.sessions.items()}
        self.epochs = {name: (group.record.node, group.record.epoch) for name, group in view.groups.items()}
        self.pids = cluster.service_pids(self.owner)

    def check(self) -> None:
        """Every session and ownership is as it was; the service is the same process; no address was touched."""
        view = self.cluster.store.view()
        assert {name: session.create_revision for name, session in view.sessions.items()} == self.sessions
        assert {name: (group.record.node, group.record.epoch) for name, group in view.groups.items()} == self.epochs
        assert len(self.pids) == 1
        assert self.cluster.service_pids(self.owner) == self.pids
        assert [self.cluster.changes(address) for address in (VIP, VIP6, SERVICE_VIP)] == [[], [], []]
        for name in self.cluster.nodes:
            assert not self.cluster.events(name, "peer_deposed")
            assert not self.cluster.events(name, "resource_started")
        assert self.cluster.await_all_running() == {name: self.epochs[name][0] for name in EXCLUSIVE}


def _kill(cluster: Cluster, node: str) -> None:
    dead = cluster.node(node).kill_daemon()
    cluster.until(lambda: cluster.node(node).daemon_pid() not in (None, dead), "the supervisor starts it again")


def _upgrade(cluster: Cluster, node: str) -> None:
    cluster.node(node).stop_daemon()
    cluster.node(node).start_daemon()


@pytest.mark.parametrize(
    "restart",
    [_kill, lambda cluster, node: cluster.node(node).restart_daemon(), _upgrade],
    ids=["kill", "restart", "upgrade"],
)
def test_a_daemon_that_comes_back_in_time_is_not_noticed(
    cluster: Cluster, restart: Callable[[Cluster, str], None]
) -> None:
    cluster.bring(cluster.owner("service"))
    unmoved = Unmoved(cluster)
    restart(cluster, unmoved.owner)
    cluster.await_event(unmoved.owner, "session_adopted")
    cluster.await_live(unmoved.owner)
    cluster.await_renewals()
    unmoved.check()


@pytest.mark.parametrize("restart", [_kill, _upgrade], ids=["kill", "upgrade"])
def test_processes_that_an_agent_started_outlive_the_daemon(
    cluster: Cluster, restart: Callable[[Cluster, str], None]
) -> None:
    cluster.apply(cluster.with_groups(leaving(cluster)))
    owner = cluster.await_running("agent")
    epoch, running = cluster.group("agent").epoch, pids(cluster, owner, "agent")
    assert len(running) == 1
    cluster.begin()
    restart(cluster, owner)
    cluster.await_event(owner, "session_adopted")
    cluster.await_running("agent", [owner])
    cluster.await_renewals()
    assert pids(cluster, owner, "agent") == running
    assert cluster.group("agent").epoch == epoch
    assert not cluster.events(owner, "resource_started")


def test_all_daemons_are_upgraded_at_once(cluster: Cluster) -> None:
    unmoved = Unmoved(cluster)
    for node in cluster.nodes.values():
        node.stop_daemon()
    for node in cluster.nodes.values():
        node.start_daemon()
    for name in cluster.nodes:
        cluster.await_event(name, "session_adopted")
    cluster.await_live()
    cluster.await_renewals()
    unmoved.check()


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_all_of_etcd_is_away_for_less_than_the_lease_allows(cluster: Cluster, fault: str) -> None:
    unmoved = Unmoved(cluster)
    cluster.lab.stop_etcd() if fault == "killed" else cluster.lab.freeze_etcd()
    for name in cluster.nodes:
        cluster.await_event(name, "store_unreachable")
    cluster.lab.start_etcd() if fault == "killed" else cluster.lab.freeze_etcd(False)
    for name in cluster.nodes:
        cluster.await_event(name, "store_reachable")
    cluster.await_renewals()
    unmoved.check()


@pytest.mark.parametrize("fault", ["killed", "frozen"])
@pytest.mark.parametrize("leads", [False, True], ids=["follower", "leader"])
def test_the_owners_own_etcd_is_lost(cluster: Cluster, fault: str, leads: bool) -> None:
    """Its daemon goes on with the others' members."""
    unmoved = Unmoved(cluster)
    node = cluster.node(unmoved.owner)
    cluster.lab.move_etcd_leader(node.name if leads else cluster.others(node.name)[0])
    node.stop_etcd() if fault == "killed" else node.freeze_etcd()
    wait_until(lambda: cluster.lab.etcd_leader() not in (None, node.name), deadline_s=10, goal="another leader")
    cluster.await_renewals(5)
    unmoved.check()
    node.start_etcd() if fault == "killed" else node.freeze_etcd(False)
    cluster.lab.await_etcd()
    cluster.await_renewals()
    unmoved.check()


def test_a_daemon_without_its_guard_ends_and_everything_runs_again(cluster: Cluster) -> None:
    """Its successor stops all resources that ran without a guard, and begins anew."""
    owner = cluster.owner("service")
    cluster.bring(owner)
    pid, service = cluster.node(owner).daemon_pid(), cluster.service_pids(owner)
    epoch = cluster.group("service").epoch
    cluster.node(owner).kill_guard()
    cluster.await_event(owner, "daemon_ends", code=1)
    cluster.await_running("service", epoch_above=epoch)
    cluster.await_all_running()
    cluster.await_live(owner)
    assert cluster.node(owner).daemon_pid() != pid
    assert not set(service) & {process for name in cluster.nodes for process in cluster.service_pids(name)}


@pytest.fixture
def releasing(cluster: Cluster) -> Iterator[str]:
    """A node that runs everything, and whose daemon releases all when it gets SIGTERM."""
    owner = cluster.owner("service")
    cluster.bring(owner)
    node, settings = cluster.node(owner), cluster.node(owner).home / "node.toml"
    before = settings.read_text()
    settings.write_text(f'{before}on_sigterm = "release"\n')
    try:
        node.restart_daemon()
        cluster.await_live(owner)
        cluster.overlap_planned = True  # the address's group is handed over as in a planned move
        yield owner
    finally:
        settings.write_text(before)
        node.group.child("supervisor").kill()
        node.group.child("daemon").kill()


def terminate(cluster: Cluster, node: str) -> None:
    """As `systemctl stop` does, without waiting."""
    for pid in cluster.node(node).group.child("supervisor").pids():
        os.kill(pid, signal.SIGTERM)


def test_sigterm_with_release_hands_everything_over(cluster: Cluster, releasing: str) -> None:
    """Handed over, not taken over: the lease has six seconds, and no node is deposed."""
    terminate(cluster, releasing)
    taken = cluster.await_all_running(cluster.others(releasing))
    for group in taken:
        assert "shutdown" in cluster.group(group).reason
    fence = cluster.until(lambda: cluster.store.view().fences.get(releasing), "it says that it stopped everything")
    assert (fence.record.state, fence.record.evidence) == ("safe", "self-stop")
    assert not any(cluster.events(name, "peer_deposed") for name in cluster.nodes)
    assert not cluster.service_pids(releasing)


def test_sigterm_with_release_ends_a_daemon_that_is_deposed_meanwhile(cluster: Cluster, releasing: str) -> None:
    """A group that takes a moment to stop keeps it from ending before that."""
    cluster.apply(cluster.with_groups({**agent(cluster, stop="sleep 100"), "nodes": list(cluster.nodes)}))
    cluster.await_running("agent")
    if cluster.owner("agent") != releasing:
        assert cluster.move("agent", releasing)[0] == 200
        cluster.await_running("agent", [releasing])
    terminate(cluster, releasing)
    cluster.until(lambda: cluster.owner("service") != releasing, "it begins to release")
    cluster.store.delete(cluster.store.keys.node(releasing))
    cluster.await_event(releasing, "deposed")
    cluster.until(lambda: not cluster.node(releasing).group.child("supervisor").pids(), "the daemon has ended")
