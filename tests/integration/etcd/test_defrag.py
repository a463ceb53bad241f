"""`hactl etcd defrag`: one member after another, and the way out of a full etcd."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.integration.etcd.conftest import Run, Write, give_root
from tests.support.etcd import EtcdCluster

VALUE = "x" * 100_000


def fill(cluster: EtcdCluster, times: int) -> None:
    """Write the same key again and again: its history is what takes the room."""
    for _ in range(times):
        cluster.ctl("put", "/big", VALUE)


def sizes(cluster: EtcdCluster) -> list[int]:
    return [status["Status"]["dbSize"] for status in json.loads(cluster.ctl("endpoint", "status", "-w", "json"))]


def test_what_is_not_used_is_given_back(hactl: Run, write: Write, secured: EtcdCluster) -> None:
    config = write(secured)
    status, _, err = hactl("etcd", "defrag")
    assert status == 1 and "it needs the rights of etcd's user `root`" in err
    give_root(secured, config)
    fill(secured, 40)
    secured.compact(int(json.loads(secured.ctl("get", "/big", "-w", "json"))["header"]["revision"]))
    before, leader = sizes(secured), secured.leader()
    status, out, err = hactl("etcd", "defrag")
    assert (status, err) == (0, "")
    assert all(after < size / 2 for after, size in zip(sizes(secured), before, strict=True))
    assert out.count("defragmenting") == 3 and out.count(" MiB before, ") == 3
    # The leader was the last one, and led no longer.
    assert out.index(f"{leader.name}: defragmenting") == out.rindex(": defragmenting") - len(leader.name)
    assert "leads from now on" in out and secured.leader() is not leader
    assert "forgetting" not in out


def test_a_member_is_away(hactl: Run, write: Write) -> None:
    with EtcdCluster(3) as cluster:
        write(cluster)
        cluster.members[1].stop()
        cluster.leader()
        status, _, err = hactl("etcd", "defrag")
        assert status == 1 and "m1 of etcd cannot be asked from here" in err and "`--force`" in err
        status, out, _ = hactl("etcd", "defrag", "--force")
        assert status == 0 and out.count("defragmenting") == 2


@pytest.mark.parametrize("size", [1, 3])
def test_a_full_etcd(hactl: Run, write: Write, size: int) -> None:
    with EtcdCluster(size, quota_bytes=4 << 20) as cluster:
        write(cluster)
        with pytest.raises(subprocess.CalledProcessError):
            fill(cluster, 100)
        status, out, _ = hactl("etcd", "status")
        assert status == 1 and "ERROR    etcd is full (alarm NOSPACE)" in out
        assert "`hactl etcd defrag` makes room and ends the alarm" in out and "of 4 MiB" in out
        status, out, err = hactl("etcd", "defrag")
        assert (status, err) == (0, "") and "forgetting the history" in out and out.count("defragmenting") == size
        fill(cluster, 3)
        assert "NOSPACE" not in hactl("etcd", "status")[1]
        # Full of what is there, not of its history: nothing that hactl could give back.
        with pytest.raises(subprocess.CalledProcessError):
            for number in range(500):
                cluster.ctl("put", f"/big/{number}", VALUE[:20_000])
        status, _, err = hactl("etcd", "defrag")
        assert status == 1 and "will soon be full: of the database at" in err and "ETCD_QUOTA_BACKEND_BYTES" in err
