"""A disk that moves with its service and its address, by planned moves, power cuts and worse: never mounted on two
nodes at one time, its file system sound after each, and nothing lost that was synced.

The long form (HACTL_ROUNDS=100, `make bench-mount`) does each of the rounds a hundred times.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fencing.linux import mounts
from hactl.lab import disk
from hactl.lab.cgroup import runs
from hactl.lab.system import boottime_ms, wait_until
from tests.lab.cluster.whole import Cluster, running
from tests.lab.mount.observer import Observer
from tests.lab.mount.writer import acknowledged, numbers
from tests.support.disks import is_clean
from tests.support.outages import figures
from tests.support.promises import promised

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(3600)]

# A stop has 1.5 s; a survivor that a busy machine keeps waiting does not lose its session.
TIMING = {"lease": "6s", "stop_budget": "2s", "self_fence_lead": "500ms"}
ROUNDS = int(os.environ.get("HACTL_ROUNDS", "0"))
long_form = pytest.mark.skipif(not ROUNDS, reason="only in the long form: make bench-mount")
VIP = "10.77.0.33"
WRITER = Path(__file__).with_name("writer.py")


class Store:
    """The group: a disk, an address, and the program that writes to it."""

    def __init__(self, cluster: Cluster, observer: Observer) -> None:
        self.cluster, self.observer = cluster, observer
        path = cluster.lab.spec.path
        self.acks, self.directory = path / "acks", path / "mnt"
        self.acks.mkdir(exist_ok=True)
        for old in self.acks.iterdir():
            old.unlink()
        self.outages: list[float] = []

    def group(self, **changes: Any) -> dict[str, Any]:
        device = disk.device(self.cluster.lab.spec.name)
        writer = [sys.executable, "-I", str(WRITER), str(self.directory), str(self.acks)]
        mount = {"device": device, "directory": str(self.directory), "options": ["errors=remount-ro"], **changes}
        return {
            "name": "store",
            "fencing": "required",
            "resources": [
                {"name": "data", "mount": mount, "monitor_interval": "1s"},
                {"name": "address", "vip": {"address": f"{VIP}/24", "interface": "eth0"}},
                {"name": "writer", "exec": {"command": writer}, "stop_timeout": "5s"},
            ],
        }

    def begin(self) -> str:
        self.cluster.apply(self.cluster.with_groups(self.group()))
        owner = self.cluster.await_running("store")
        self.await_written()
        return owner

    def await_written(self, more: int = 3) -> None:
        """Until so many numbers more are synced."""
        before = len(self.acknowledged())
        wait_until(lambda: len(self.acknowledged()) >= before + more, deadline_s=60, goal="the writer writes")

    def acknowledged(self) -> list[int]:
        return acknowledged(self.acks)

    def _runs(self) -> str:
        """The numbers of each run of the writer."""
        runs = {file.name: numbers(file) for file in self.acks.iterdir()}
        return ", ".join(f"{name}: {those[0]} to {those[-1]}" for name, those in runs.items() if those)

    def is_settled(self) -> bool:
        """Whether it runs where it was mounted last."""
        return self.observer.holders() == {running(self.cluster.store.view(), "store")}

    def outage(self, since_ms: float) -> None:
        self.await_written(1)
        self.outages.append(boottime_ms() - since_ms)

    def check(self, owner: str) -> None:
        """On the node where it is: all that was acknowledged is there, once each, in order."""
        acks = self.acknowledged()
        pid = disk.holder(self.cluster.node(owner).group.child("mounts"))
        assert mounts.top(mounts.read(pid or "self"), str(self.directory)), f"it is not mounted on {owner}"
        there = numbers(Path(f"/proc/{pid}/root{self.directory}/journal"))
        promised(there == list(range(1, len(there) + 1)), f"the journal has gaps: {there[-5:]}")
        lost = set(acks) - set(there)
        promised(not lost, f"lost: {sorted(lost)[:10]} of {len(acks)}; there up to {there[-1:]}; {self._runs()}")
        promised(not self.observer.problems(), "\n".join(self.observer.problems()))

    def end(self) -> None:
        """Stop it, and check the file system as a whole."""
        self.cluster.apply(self.cluster.with_groups({**self.group(), "enabled": False}))
        self.cluster.until(lambda: self.cluster.group("store").state == "released", "store is released")
        for station in self.cluster.lab.spec.stations:
            assert is_clean(disk.loop(self.cluster.lab.spec, station))
        promised(not self.observer.problems(), "\n".join(self.observer.problems()))


@pytest.fixture
def store(cluster: Cluster) -> Iterator[Store]:
    cluster.deadline_s = 60.0
    with Observer(cluster.lab) as observer:
        yield Store(cluster, observer)


def test_moves_and_power_cuts(store: Store) -> None:
    """Three moves and two power cuts; a hundred of each in the long form."""
    cluster, owner = store.cluster, store.begin()
    moves, cuts = (ROUNDS, ROUNDS) if ROUNDS else (3, 2)
    for _ in range(moves):
        target = cluster.others(owner)[0]
        since = boottime_ms()
        assert cluster.move("store", target)[0] == 200
        owner = cluster.await_running("store", [target])
        store.outage(since)
        store.check(owner)
    moved, store.outages = store.outages, []
    for _ in range(cuts):
        store.await_written()
        epoch, since = cluster.group("store").epoch, boottime_ms()
        cluster.lab.kill(owner)
        before, owner = owner, cluster.await_running("store", cluster.others(owner), epoch_above=epoch)
        store.outage(since)
        store.check(owner)
        cluster.lab.start(before)
        cluster.await_live(before)
    assert store.observer.mounts() >= moves + cuts + 1
    store.end()
    print(
        f"\nmoves {figures(moved)}; power cuts {figures(store.outages)}; {len(store.acknowledged())} writes kept; "
        f"mounted {store.observer.mounts()} times, looked at least every {store.observer.longest_pause_s * 1000:.0f} ms"
    )


@pytest.mark.long
def test_users_that_do_not_end_and_the_daemons_death(store: Store) -> None:
    """A program of somebody else's in the file system does not keep it from moving; a daemon that is killed finds it
    mounted, and nothing stops."""
    cluster, owner = store.cluster, store.begin()
    before = store.observer.mounts()
    cluster.node(owner).kill_daemon()
    cluster.await_live(owner)
    cluster.await_running("store", [owner])
    store.await_written()
    assert store.observer.mounts() == before
    stubborn = f"cd {store.directory}; trap '' TERM; while :; do sleep 1; done"
    pid = cluster.node(owner).start_other("stubborn", ["sh", "-c", stubborn])
    wait_until(lambda: Path(f"/proc/{pid}/cwd").readlink() == store.directory, deadline_s=10, goal="it is there")
    target = cluster.others(owner)[0]
    assert cluster.move("store", target)[0] == 200
    owner = cluster.await_running("store", [target])
    assert not runs(pid)
    store.check(owner)
    store.end()


def test_the_guard_unmounts_when_the_lease_ends(store: Store) -> None:
    """A daemon that hangs, and etcd gone: the guard stops all of it on that node, and nobody is fenced for it."""
    cluster, owner = store.cluster, store.begin()
    boots = {name: node.boots for name, node in cluster.nodes.items()}
    epoch = cluster.group("store").epoch
    cluster.lab.stop_etcd()
    wait_until(lambda: not store.observer.holders(), deadline_s=60, goal="it is unmounted")
    acks = store.acknowledged()
    time.sleep(0.5)
    assert store.acknowledged() == acks
    cluster.lab.start_etcd()
    owner = cluster.await_running("store", epoch_above=epoch)
    store.await_written()
    store.check(owner)
    assert {name: node.boots for name, node in cluster.nodes.items()} == boots
    store.end()


@pytest.mark.long
@long_form
def test_a_frozen_node_is_switched_off_before_it_is_mounted_elsewhere(store: Store) -> None:
    cluster, owner = store.cluster, store.begin()
    epoch = cluster.group("store").epoch
    cluster.node(owner).freeze()
    owner = cluster.await_running("store", cluster.others(owner), epoch_above=epoch)
    store.await_written()
    store.check(owner)
    store.end()


@pytest.mark.long
@pytest.mark.parametrize("fault", ["unmounted", pytest.param("read-only", marks=long_form)])
def test_what_happens_to_it_from_outside_is_put_right(store: Store, fault: str) -> None:
    """An unmount by hand, and an error that makes the file system read-only: it is checked and mounted again, there or,
    where the program failed first, elsewhere."""
    cluster, owner = store.cluster, store.begin()
    before = store.observer.mounts()
    if fault == "unmounted":
        cluster.node(owner).call("umount", "-l", str(store.directory))
    else:
        name = Path(disk.loop(cluster.lab.spec, cluster.node(owner).station)).name
        Path(f"/sys/fs/ext4/{name}/trigger_fs_error").write_text("test")
    wait_until(lambda: store.observer.mounts() > before, deadline_s=60, goal="it is mounted again")
    wait_until(store.is_settled, deadline_s=60, goal="it runs again")
    store.await_written()
    store.check(cluster.owner("store"))
    store.end()
