"""`hactl etcd snapshot`: what it writes is whole, and nothing else is left; older ones are kept within bounds."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hactl.admin.errors import RefusedError
from hactl.admin.etcd.snapshot_file import read_snapshot
from hactl.config.etcd_snapshots import kept_snapshots, snapshot_age
from hactl.config.node import NodeConfig
from tests.integration.etcd.conftest import Run, Write, give_root
from tests.support.etcd import EtcdCluster


@pytest.fixture
def config(write: Write, secured: EtcdCluster) -> NodeConfig:
    config = write(secured)
    give_root(secured, config)
    return config


def snapshots(config: NodeConfig) -> list[str]:
    return sorted(path.name for path in Path(config.state_dir, "snapshots").iterdir())


def older(config: NodeConfig, *times: str) -> None:
    """Snapshots of earlier days, and what is none of the cluster's."""
    directory = Path(config.state_dir, "snapshots")
    directory.mkdir(exist_ok=True)
    for name in times:
        (directory / f"demo-{name}.db").write_bytes(b"x" * 1000)
    (directory / "other-20260101T000000Z.db").write_text("of another cluster")
    (directory / "demo-notes.txt").write_text("an operator's")


def test_a_snapshot(hactl: Run, config: NodeConfig, secured: EtcdCluster) -> None:
    secured.ctl("put", "/hactl/demo/key", "value")
    assert snapshot_age(config, Path("/nowhere")) is None
    status, out, err = hactl("etcd", "snapshot")
    assert (status, err) == (0, "")
    (kept,) = kept_snapshots(Path(config.state_dir, "snapshots"), "demo")
    assert out.startswith(f"{kept.path}: ") and f"from {secured.endpoints[0]}" in out
    assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600 and stat.S_IMODE(kept.path.parent.stat().st_mode) == 0o700
    assert snapshots(config) == [kept.path.name]
    facts = read_snapshot(kept.path)
    assert facts.summed and facts.keys > 0 and f"revision {facts.revision}" in out
    age = snapshot_age(config, Path("/nowhere"))
    assert age is not None and age.age_s < 60


def test_without_the_rights_of_root(hactl: Run, write: Write, secured: EtcdCluster) -> None:
    config = write(secured)
    status, _, err = hactl("etcd", "snapshot")
    assert status == 1 and "permission denied" in err and "it needs the rights of etcd's user `root`" in err
    assert "admin.pem" in err and snapshots(config) == []


def test_a_file_of_ones_own(hactl: Run, config: NodeConfig, tmp_path: Path) -> None:
    file = tmp_path / "mine.db"
    assert hactl("etcd", "snapshot", file)[0] == 0
    before = file.read_bytes()
    status, _, err = hactl("etcd", "snapshot", file)
    assert status == 1 and "is there already" in err and file.read_bytes() == before
    assert hactl("etcd", "snapshot", tmp_path / "no" / "mine.db")[0] == 2
    assert hactl("etcd", "snapshot", "--keep", 3, tmp_path / "other.db")[0] == 2
    assert [path.name for path in tmp_path.glob("*.db")] == ["mine.db"]


def test_older_ones_are_removed(hactl: Run, config: NodeConfig) -> None:
    older(config, "20260101T000000Z", "20260102T000000Z", "20260103T000000Z")
    partial = Path(config.state_dir, "snapshots", ".demo-20260104T000000Z.db.0123abcd.partial.part")
    partial.write_text("of one that was killed")
    status, out, _ = hactl("etcd", "snapshot", "--keep", "2")
    assert status == 0 and out.count("removed ") == 2
    names = snapshots(config)
    assert len(names) == 4 and {"demo-20260103T000000Z.db", "demo-notes.txt", "other-20260101T000000Z.db"} < set(names)


def test_no_room(hactl: Run, config: NodeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        f_bavail, f_frsize = 10, 4096

    monkeypatch.setattr(os, "statvfs", lambda _: Full)
    status, _, err = hactl("etcd", "snapshot")
    assert status == 1 and "has 0 MiB left" in err and "name a file elsewhere" in err
    assert snapshots(config) == []


def test_a_file_that_is_not_whole(hactl: Run, config: NodeConfig, tmp_path: Path) -> None:
    file = tmp_path / "snapshot.db"
    assert hactl("etcd", "snapshot", file)[0] == 0
    whole = file.read_bytes()
    for damaged, words in (
        (whole[:-100], "does not end with its sum"),
        (whole[:5000] + b"!" + whole[5001:], "is damaged"),
        (b"", "does not end with its sum"),
    ):
        file.write_bytes(damaged)
        with pytest.raises(RefusedError, match=words):
            read_snapshot(file)
    file.write_bytes(b"\0" * 512)
    with pytest.raises(RefusedError, match="snapshot status"):
        read_snapshot(file, summed=False)
    # As copied from a data directory.
    file.write_bytes(whole[:-32])
    assert not read_snapshot(file, summed=False).summed
