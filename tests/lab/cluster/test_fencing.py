"""`fencing: required`: a group waits until its last owner is known to be stopped (S2)."""

from __future__ import annotations

import pytest

from hactl.lab.system import LabError

from .status_document import group_named, has_warning
from .test_configuration import NEW_VIP, vip_group
from .whole import Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]

# The 150 ms that the profile gives a guard to see everything dead are short on a busy machine.
TIMING = {"lease": "2s", "stop_budget": "1s"}


def strict(cluster: Cluster) -> str:
    """Have a group run that demands fencing; its owner, which is that of all others, too."""
    cluster.apply(cluster.with_groups(vip_group("strict", NEW_VIP, fencing="required")))
    owner = cluster.await_running("strict")
    cluster.bring(owner)
    return owner


def lose(cluster: Cluster, owner: str) -> None:
    """Cut its power, and see that only the groups with `fencing: lease` are taken over."""
    before = cluster.group("strict")
    cluster.lab.kill(owner)
    cluster.await_all_running(cluster.others(owner))  # their leases are over
    cluster.await_renewals(names=cluster.others(owner))
    assert cluster.group("strict") == before
    for name in cluster.others(owner):
        document = cluster.status(name)
        shown = group_named(document, "strict")
        assert shown["state"] == "lost"
        assert f"waiting for {owner}" in shown["waiting"]
        assert has_warning(document, f"hactl fence confirm {owner}", field="do")
    assert cluster.judge.watcher.holders(NEW_VIP) == []


def test_it_waits_for_the_reboot(cluster: Cluster) -> None:
    owner = strict(cluster)
    epoch = cluster.group("strict").epoch
    lose(cluster, owner)
    cluster.lab.start(owner)
    cluster.await_running("strict", epoch_above=epoch)
    fence = cluster.store.view().fences[owner].record
    assert (fence.state, fence.evidence, fence.by) == ("safe", "reboot", owner)


def test_it_waits_for_the_operators_word(cluster: Cluster) -> None:
    owner = strict(cluster)
    epoch, session_id = cluster.group("strict").epoch, cluster.group("strict").session_id
    via, other = cluster.others(owner)
    with pytest.raises(LabError, match=r"exit 1: .*is alive"):
        cluster.hactl(via, "fence", "confirm", owner, "--yes")
    lose(cluster, owner)
    assert session_id in cluster.hactl(via, "fence", "confirm", owner, "--yes")
    cluster.await_running("strict", [via, other], epoch_above=epoch)
    fence = cluster.store.view().fences[owner].record
    assert (fence.state, fence.evidence) == ("safe", "confirmed")
    assert via in fence.by
    cluster.lab.start(owner)
    cluster.await_live(owner)


def test_a_daemon_that_stopped_everything_needs_no_reboot(cluster: Cluster) -> None:
    """Cut off until its guard has stopped all: when it is heard again it says so, and the group runs."""
    owner = strict(cluster)
    epoch = cluster.group("strict").epoch
    cluster.lab.partition(owner, "all")
    cluster.await_all_running(cluster.others(owner))
    cluster.await_renewals(names=cluster.others(owner))
    assert cluster.group("strict").epoch == epoch
    assert cluster.judge.watcher.holders(NEW_VIP) == []
    cluster.lab.heal()
    cluster.await_running("strict", epoch_above=epoch)
    fence = cluster.store.view().fences[owner].record
    assert (fence.state, fence.evidence) == ("safe", "self-stop")
