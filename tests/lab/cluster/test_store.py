"""The store is meddled with: keys deleted by hand, everything wiped, an old state restored."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from election.records import GENERATION_BITS
from hactl.admin.etcd.restore import restore
from hactl.admin.etcd.settings_file import EtcdSettings
from hactl.lab.etcd import CLIENT_PORT, PEER_PORT

from .whole import EXCLUSIVE, Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]


def generation(epoch: int) -> int:
    return epoch >> GENERATION_BITS


def test_the_owners_session_is_deleted_by_hand(cluster: Cluster) -> None:
    owner = cluster.owner("service")
    cluster.bring(owner)
    before = cluster.store.view()
    cluster.store.delete(cluster.store.keys.node(owner))
    cluster.await_event(owner, "deposed", sid=before.sessions[owner].record.session_id)
    epoch = before.groups["service"].record.epoch
    cluster.await_running("service", epoch_above=epoch)
    cluster.await_all_running()
    cluster.await_live(owner)
    view = cluster.store.view()
    assert view.sessions[owner].record.session_id != before.sessions[owner].record.session_id
    assert view.fences[owner].record.state == "safe"


def test_the_session_of_a_node_without_groups_is_deleted_by_hand(cluster: Cluster) -> None:
    owner = cluster.owner("service")
    cluster.bring(owner)
    idle = cluster.others(owner)[0]
    before = cluster.store.view()
    cluster.store.delete(cluster.store.keys.node(idle))
    cluster.await_event(idle, "session_opened")
    cluster.await_live(idle)
    assert cluster.store.view().groups == before.groups


@pytest.mark.parametrize("group", sorted(EXCLUSIVE))
def test_an_ownership_is_deleted_by_hand(cluster: Cluster, group: str) -> None:
    """The resources go on: no node may take the group before all have reported that it does not run there."""
    owner = cluster.owner(group)
    before = cluster.group(group)
    pids = cluster.service_pids(owner)
    cluster.begin()
    cluster.store.delete(cluster.store.keys.group(group))
    cluster.await_running(group)
    after = cluster.group(group)
    assert after.node == owner
    assert after.epoch > before.epoch
    assert cluster.changes(EXCLUSIVE[group]) == []
    assert cluster.service_pids(owner) == pids


def test_all_fence_records_are_deleted_by_hand(cluster: Cluster) -> None:
    """Then a node is lost, and comes back."""
    owner = cluster.owner("service")
    cluster.bring(owner)
    cluster.store.delete(cluster.store.keys.prefix + "fence/")
    cluster.lab.kill(owner)
    taken = cluster.await_all_running(cluster.others(owner))
    cluster.store.delete(cluster.store.keys.fence(owner))
    cluster.lab.start(owner)
    cluster.await_live(owner)
    assert cluster.await_all_running() == taken


def test_the_store_is_wiped(cluster: Cluster) -> None:
    owner = cluster.owner("service")
    cluster.bring(owner)
    before = cluster.group("service").epoch
    cluster.store.delete(cluster.store.keys.prefix)
    for name in cluster.nodes:
        cluster.await_stopped(name)
        refused = cluster.await_event(name, "store_refused")
        assert "hactl recover" in refused["reason"]
        said = cluster.status(name)
        assert said["local"]["phase"] == "refused"
        assert "takes no part" in said["warnings"][0]["what"]
    _stays_refused(cluster)
    said_by = cluster.hactl("n2", "recover", "--yes", str(cluster.lab.spec.path / "cluster.yaml"))
    assert f"generation {generation(before) + 1}" in said_by
    cluster.applied = cluster.base
    cluster.await_live()
    cluster.await_all_running()
    after = cluster.group("service").epoch
    assert generation(after) == generation(before) + 1


def _stays_refused(cluster: Cluster) -> None:
    """No daemon gives in, not even a new one."""
    before = cluster.node("n3").daemon_pid()
    cluster.node("n3").restart_daemon()
    cluster.until(lambda: cluster.node("n3").daemon_pid() not in (None, before), "n3's next daemon starts")
    said = cluster.until(lambda: cluster.status("n3"), "n3's next daemon answers")
    assert said["local"]["phase"] in ("listing", "refused")
    cluster.await_event("n3", "store_refused")
    for name in cluster.nodes:
        said = cluster.until(lambda n=name: cluster.status(n), f"{name} answers")  # type: ignore[misc]
        assert said["local"]["phase"] == "refused"
        assert not cluster.service_pids(name)


class Backup:
    """A copy of etcd's data directories, for a restore."""

    def __init__(self, cluster: Cluster, place: Path) -> None:
        self._cluster, self._place = cluster, place

    def _copy(self, back: bool) -> None:
        for name in self._cluster.nodes:
            live, kept = Path(self._cluster.lab.spec.memory) / name, self._place / name
            source, target = (kept, live) if back else (live, kept)
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target)

    def take(self) -> None:
        """Copy them while etcd is stopped."""
        self._cluster.lab.stop_etcd()
        self._copy(back=False)
        self._cluster.lab.start_etcd()

    def restore(self) -> None:
        """Put them back."""
        self._cluster.lab.stop_etcd()
        self._copy(back=True)
        self._cluster.lab.start_etcd()


class Commands:
    """`hactl etcd snapshot`, and `hactl etcd restore` on every node, all of whose data are lost. The lab is systemd."""

    def __init__(self, cluster: Cluster, place: Path) -> None:
        self._cluster, self._file = cluster, place / "snapshot.db"
        self._node = ""

    def take(self) -> None:
        self._cluster.hactl("n1", "etcd", "snapshot", str(self._file))

    def restore(self) -> None:
        spec = self._cluster.lab.spec
        self._cluster.lab.stop_etcd()
        for station in spec.stations:
            url = f"http://{station.address}:{CLIENT_PORT}"
            shutil.rmtree(Path(spec.memory) / station.name)
            members = {other.name: f"http://{other.address}:{PEER_PORT}" for other in spec.stations}
            settings = EtcdSettings(
                Path("etcd.env"), station.name, Path(spec.memory) / station.name, members, members[station.name], url
            )
            self._node = station.name
            restore(self._file, settings, self, lambda _: None)
        self._cluster.lab.await_etcd()

    def start(self, unit: str) -> None:
        self._cluster.lab.nodes[self._node].start_etcd()

    def stop(self, unit: str) -> None:
        pass

    def owner(self, user: str) -> tuple[int, int]:
        return os.getuid(), os.getgid()


def test_etcd_is_lost_and_restored_by_the_commands(cluster: Cluster, tmp_path: Path) -> None:
    backup = Commands(cluster, tmp_path)
    backup.take()
    cluster.bring(cluster.others(cluster.owner("service"))[0])
    cluster.await_renewals(5)
    before = cluster.group("service").epoch
    backup.restore()
    for name in cluster.nodes:
        assert "restored" in cluster.await_event(name, "store_refused")["reason"]
        cluster.await_stopped(name)
    _recovers(cluster, before)


@pytest.mark.parametrize("daemons", ["that live on", "that were restarted"])
def test_an_earlier_state_of_the_store_is_restored(cluster: Cluster, tmp_path: Path, daemons: str) -> None:
    backup = Backup(cluster, tmp_path)
    backup.take()
    cluster.await_live()
    cluster.await_all_running()
    owner, target = cluster.owner("service"), cluster.others(cluster.owner("service"))[0]
    cluster.bring(target)  # the backup's owner is no longer the owner
    cluster.await_renewals(5)
    before = cluster.group("service").epoch
    if daemons == "that were restarted":
        for node in cluster.nodes.values():
            node.stop_daemon()
    backup.restore()
    if daemons == "that were restarted":
        for node in cluster.nodes.values():
            node.start_daemon()
    for name in cluster.nodes:
        refused = cluster.await_event(name, "store_refused")
        assert "restored" in refused["reason"]
        cluster.await_stopped(name)
    assert owner != target
    _recovers(cluster, before)


def _recovers(cluster: Cluster, before: int) -> None:
    document: dict[str, Any] | None = cluster.applied
    cluster.hactl("n1", "recover", "--yes")
    cluster.applied = document
    cluster.await_live()
    cluster.await_all_running()
    assert generation(cluster.group("service").epoch) == generation(before) + 1
