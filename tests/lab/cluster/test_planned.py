"""Planned work as an operator types it: waiting for it, and what each command leaves behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hactl.lab.spec import SERVICE_VIP
from hactl.lab.system import LabError

from .whole import Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]


def test_standby_returns_when_nothing_is_left_and_wait_sees_it(cluster: Cluster) -> None:
    owner = cluster.owner("service")
    cluster.bring(owner)
    other = cluster.others(owner)[0]
    cluster.overlap_planned = True
    said = cluster.hactl(owner, "node", "standby", owner, "--drain-timeout", "0s")
    view = cluster.store.view()
    assert owner not in {group.record.node for group in view.groups.values()}, said
    assert all(not group.record.holders for group in view.groups.values()), said
    assert f"no group is on {owner}" in said
    cluster.hactl(other, "wait", f"{owner}=standby", "settled", "vip=running", "--for", "30s")
    with pytest.raises(LabError, match=rf"exit 3: .*{owner} is standby"):
        cluster.hactl(other, "wait", f"{owner}=online", "--for", "1s")
    cluster.hactl(other, "node", "online", owner)
    cluster.hactl(other, "wait", f"{owner}=online", "settled", "--for", "30s")


def test_a_group_that_is_stopped_stays_so_until_it_is_started(cluster: Cluster) -> None:
    """Whatever is restarted meanwhile."""
    owner = cluster.owner("service")
    first, second = cluster.others(owner)
    said = cluster.hactl(first, "group", "stop", "service", "--yes", "--reason", "new disks")
    assert "service is stopped" in said
    assert cluster.judge.watcher.holders(SERVICE_VIP) == []
    assert cluster.group("service").state == "released"
    for name in (owner, second):
        cluster.node(name).stop_daemon()
        cluster.node(name).start_daemon()
    cluster.await_live()
    cluster.hactl(first, "wait", "settled", "service=stopped", "--for", "30s")
    assert "new disks" in cluster.hactl(second, "status")
    assert "service is running" in cluster.hactl(second, "group", "start", "service")
    cluster.await_running("service")


@pytest.mark.long
def test_a_restart_in_place(cluster: Cluster) -> None:
    owner = cluster.owner("service")
    before = cluster.group("service")
    cluster.hactl(cluster.others(owner)[0], "group", "restart", "service")
    assert cluster.group("service") == before
    notes = [entry["event"] for entry in cluster.events(owner) if entry.get("group") == "service"]
    assert notes.count("resource_stopped") == notes.count("resource_started") >= 1 and "group_restarts" in notes


@pytest.mark.long
def test_a_ban_ends_by_itself(cluster: Cluster) -> None:
    owner = cluster.owner("service")
    cluster.bring(owner)
    cluster.hactl(owner, "group", "ban", "service", owner, "--for", "6s")
    assert cluster.await_running("service", cluster.others(owner)) != owner
    with pytest.raises(LabError, match=r"exit 1: .*may not run on .*banned by"):
        cluster.hactl(owner, "failover", "service", "--to", owner)
    cluster.until(lambda: not cluster.store.view().bans, "the ban has ended")
    cluster.hactl(owner, "failover", "service", "--to", owner)
    assert cluster.owner("service") == owner


def test_a_move_at_a_time(cluster: Cluster) -> None:
    """Asked for at a node that is not the owner; the owner is another one when the time comes."""
    owner = cluster.owner("service")
    cluster.bring(owner)
    first, second = cluster.others(owner)
    at = datetime.now(UTC) + timedelta(seconds=8)
    said = cluster.hactl(first, "failover", "service", "--to", second, "--at", f"{at:%Y-%m-%dT%H:%M:%S}Z")
    assert f"service: to {second} at {at:%Y-%m-%d %H:%M:%S} UTC" in said
    assert "`hactl failover service --cancel`" in cluster.hactl(owner, "status")
    cluster.hactl(owner, "failover", "service", "--to", first)
    cluster.until(lambda: not cluster.store.view().scheduled, "its time has come")
    assert datetime.now(UTC) >= at.replace(microsecond=0)
    assert cluster.await_running("service", [second]) == second
