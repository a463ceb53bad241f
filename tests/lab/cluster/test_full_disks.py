"""Writes of the daemon, its guard and the supervised processes may fail in any way: all that runs goes on, the reason
is reported, and the recovery needs no hand."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hactl.lab.spec import SERVICE_VIP, VIP, VIP6

from .status_document import has_warning
from .whole import Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]

NODE = "n2"


@contextlib.contextmanager
def small(place: Path, *, full: bool = True, filled: bool = True) -> Iterator[Path]:
    """A small file system in place of this directory, with the same files, and filled up; yields the file that fills
    it."""
    with contextlib.ExitStack() as stack:
        kept = {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()} if filled else {}
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "none", place], check=True)
        stack.callback(subprocess.run, ["umount", "-l", place], check=True)
        for name, content in kept.items():
            (place / name).write_bytes(content)
        filler = place / "filler"
        if full:
            fill(filler)
        yield filler


def fill(filler: Path) -> None:
    for size in (4096, 1):
        with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
            while file.write(b"\0" * size):
                pass


def says(cluster: Cluster, asked: str, words: str) -> None:
    """Wait until the status that this node shows says so."""
    cluster.until(lambda: has_warning(cluster.status(asked), words), f"{asked} says {words}")


def well_again(cluster: Cluster, asked: str, words: str) -> None:
    """Wait until it does not say so any more."""

    def look() -> bool:
        status = cluster.status(asked)
        return bool(status) and not has_warning(status, words)

    cluster.until(look, f"{asked} no more says {words}")


class Unmoved:
    """Processes, addresses and ownerships that stay the same, whatever happens to files."""

    def __init__(self, cluster: Cluster) -> None:
        cluster.bring(NODE)
        self.cluster = cluster
        self.pids = cluster.service_pids(NODE)
        self.epochs = {name: group.record.epoch for name, group in cluster.store.view().groups.items()}

    def check(self) -> None:
        cluster = self.cluster
        assert cluster.service_pids(NODE) == self.pids
        assert {name: group.record.epoch for name, group in cluster.store.view().groups.items()} == self.epochs
        assert [cluster.changes(address) for address in (VIP, VIP6, SERVICE_VIP)] == [[], [], []]
        assert set(cluster.await_all_running().values()) == {NODE}


def restart(cluster: Cluster) -> None:
    """As an upgrade does."""
    cluster.node(NODE).stop_daemon()
    cluster.node(NODE).start_daemon()
    cluster.await_live(NODE)


def guards(cluster: Cluster) -> list[int]:
    return cluster.node(NODE).group.child("guard").pids()


def test_a_run_dir_that_is_emptied(cluster: Cluster) -> None:
    cluster.rest_on({"lease": "6s"})
    unmoved, before = Unmoved(cluster), guards(cluster)
    run = cluster.node(NODE).home / "run"
    for path in run.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    says(cluster, "n1", "its run_dir was emptied by something")
    cluster.until(lambda: cluster.status(NODE), "its daemon can be asked again")
    cluster.until((run / "guard.sock").exists, "its guard can be reached again")
    cluster.until((run / "haproxy" / "stats.sock").exists, "its HAProxy can be asked again")
    restart(cluster)
    assert guards(cluster) == before
    assert cluster.await_event(NODE, "session_adopted")
    unmoved.check()


def test_a_run_dir_that_is_full_and_nothing_can_be_made_there(cluster: Cluster) -> None:
    cluster.rest_on({"lease": "6s"})
    unmoved, before = Unmoved(cluster), guards(cluster)
    with small(cluster.node(NODE).home / "run", filled=False):
        says(cluster, "n1", "its run_dir cannot be written: No space left on device")
        cluster.await_renewals()
        unmoved.check()
        assert guards(cluster) == before
    well_again(cluster, "n1", "its run_dir cannot be written")
    cluster.until(lambda: cluster.status(NODE), "its daemon can be asked again")
    restart(cluster)
    unmoved.check()


@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_a_state_dir_that_cannot_be_written(cluster: Cluster, fault: str) -> None:
    """The daemon can be restarted, its groups can leave, and nothing is taken where it could not be kept track of."""
    cluster.rest_on({"lease": "6s"})
    unmoved = Unmoved(cluster)
    state = cluster.node(NODE).home / "state"
    reason = "No space left on device" if fault == "full" else "Read-only file system"
    with small(state, full=fault == "full"):
        if fault == "read-only":
            subprocess.run(["mount", "-o", "remount,ro", state], check=True)
        cluster.apply(cluster.with_groups())  # something is to be written down: the store's new revision
        says(cluster, "n1", f"its state_dir cannot be written: {reason}")
        unmoved.check()
        restart(cluster)
        unmoved.check()
        assert cluster.move("service", "n1")[0] == 200
        cluster.await_running("service", ["n1"])
    well_again(cluster, "n1", "its state_dir cannot be written")
    cluster.settle("service", NODE)
    cluster.await_running("service", [NODE])


def test_a_directory_for_output_that_is_full_keeps_nothing_from_running(cluster: Cluster) -> None:
    cluster.settle("service", "n1")
    cluster.await_running("service", ["n1"])
    with small(cluster.node(NODE).home / "run" / "resources" / "log", filled=False):
        assert cluster.move("service", NODE)[0] == 200
        cluster.await_running("service", [NODE])
