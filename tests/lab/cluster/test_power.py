"""Power cuts: others take over, and the node that comes back takes part without taking anything back."""

from __future__ import annotations

import pytest

from .whole import Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]


@pytest.mark.parametrize("leads_etcd", [False, True])
def test_a_power_cut_of_the_owner(cluster: Cluster, leads_etcd: bool) -> None:
    owner = cluster.owner("service")
    cluster.bring(owner)
    others = cluster.others(owner)
    cluster.lab.move_etcd_leader(owner if leads_etcd else others[0])
    before = cluster.store.view()
    cluster.lab.kill(owner)
    taken = cluster.await_all_running(others)
    after = cluster.store.view()
    for group in taken:
        assert after.groups[group].record.epoch > before.groups[group].record.epoch
    assert (after.fences[owner].record.session_id, after.fences[owner].record.state) == (
        before.sessions[owner].record.session_id,
        "pending",
    )
    assert after.fences[owner].record.by in others

    cluster.lab.start(owner)
    cluster.await_live(owner)
    fence = cluster.store.view().fences[owner].record
    assert (fence.session_id, fence.state, fence.evidence) == (
        before.sessions[owner].record.session_id,
        "safe",
        "reboot",
    )
    cluster.await_renewals()
    assert cluster.store.view().groups == after.groups  # no failback
    assert cluster.await_all_running() == taken


def test_a_power_cut_of_a_node_that_owns_nothing_moves_nothing(cluster: Cluster) -> None:
    owner = cluster.owner("service")
    cluster.bring(owner)
    idle = cluster.others(owner)[0]
    before = cluster.store.view().groups
    cluster.lab.kill(idle)
    cluster.until(lambda: idle not in cluster.store.view().sessions, f"{idle} is deposed")
    cluster.await_renewals(names=cluster.others(idle))
    assert cluster.store.view().groups == before
    assert cluster.judge.watcher.holders("10.77.0.31") == [owner]
