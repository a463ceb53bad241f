"""The owner is cut off in every way: one holder at all times, served again in bounded time, fine after the heal."""

from __future__ import annotations

import pytest

from hactl.lab.faults import Direction

from .whole import EXCLUSIVE, Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]


@pytest.mark.parametrize(
    ("cut_from", "direction", "leads"),
    [
        ("all", "both", False),
        ("all", "both", True),
        ("etcd", "both", False),
        ("peers", "both", False),
        ("peers", "out", False),
        ("peers", "out", True),
        ("peers", "in", False),
        ("peers", "in", True),
    ],
)
def test_the_owner_is_cut_off(cluster: Cluster, cut_from: str, direction: Direction, leads: bool) -> None:
    """From all, from etcd, or from its peers: then its own member of etcd still answers, without a majority.
    `leads`: that member is etcd's leader."""
    owner = cluster.owner("service")
    cluster.bring(owner)
    others = cluster.others(owner)
    cluster.lab.move_etcd_leader(owner if leads else others[0])
    before = cluster.store.view().groups
    cluster.lab.partition(owner, cut_from, direction)
    taken = cluster.await_all_running(others)
    assert not cluster.service_pids(owner)
    assert not any(owner in cluster.holders(group) for group in EXCLUSIVE)
    for group in taken:
        assert cluster.group(group).epoch > before[group].record.epoch
    cluster.lab.heal()
    cluster.await_live()
    cluster.await_renewals()
    assert cluster.await_all_running() == taken  # no failback


def test_two_nodes_that_do_not_see_each_other_but_etcd(cluster: Cluster) -> None:
    """Only etcd's majority counts: a member in between serves both."""
    owner = cluster.owner("service")
    cluster.bring(owner)
    first, second = cluster.others(owner)
    cluster.lab.move_etcd_leader(second)
    cluster.begin()
    before = cluster.store.view().groups
    cluster.lab.partition(owner, first)
    cluster.await_renewals(5)
    assert cluster.store.view().groups == before
    assert cluster.await_all_running() == dict.fromkeys(EXCLUSIVE, owner)


def test_an_idle_node_is_cut_off(cluster: Cluster) -> None:
    owner = cluster.owner("service")
    cluster.bring(owner)
    idle = cluster.others(owner)[0]
    before = cluster.store.view().groups
    cluster.lab.partition(idle, "all")
    cluster.until(lambda: idle not in cluster.store.view().sessions, f"{idle} is deposed")
    cluster.lab.heal()
    cluster.await_event(idle, "deposed")
    cluster.await_live()
    assert cluster.store.view().groups == before
