"""Which snapshots are kept, and which go."""

from __future__ import annotations

from pathlib import Path

from hactl.config.etcd_snapshots import (
    KeptSnapshot,
    kept_snapshots,
    snapshot_age,
    snapshot_dir,
    snapshot_name,
    to_remove,
)
from hactl.config.node import NodeConfig

# The newest first, of 10 bytes each.
KEPT = [KeptSnapshot(Path(f"/s/{number}"), 100.0 - number, 10) for number in range(5)]


def removed(keep: int, keep_bytes: int, made: int = 0) -> list[str]:
    return [snapshot.path.name for snapshot in to_remove(KEPT, KEPT[made].path, keep, keep_bytes)]


def test_no_limit_keeps_all() -> None:
    assert removed(0, 0) == []


def test_the_oldest_go() -> None:
    assert removed(2, 0) == ["2", "3", "4"] and removed(0, 30) == ["3", "4"] and removed(4, 25) == ["2", "3", "4"]


def test_the_one_that_was_made_now_stays() -> None:
    """However little may be kept, and also where a clock that was wrong has made others newer."""
    assert removed(0, 1) == ["1", "2", "3", "4"]
    assert removed(1, 0, made=4) == ["0", "1", "2", "3"]


def test_names_sort_by_time() -> None:
    assert snapshot_name("demo", 0.0) == "demo-19700101T000000Z.db" < snapshot_name("demo", 1.0)


def test_the_age_of_the_newest(tmp_path: Path) -> None:
    config, timer = NodeConfig(cluster="demo", node="n1", state_dir=str(tmp_path)), tmp_path / "timer"
    assert snapshot_age(config, timer) is None
    timer.symlink_to("/nowhere")
    enabled = snapshot_age(config, timer)
    assert enabled is not None and enabled.newest_wall_s == 0 and enabled.age_s < 3600
    snapshot_dir(config).mkdir()
    for seconds in (0.0, 86400.0):
        (snapshot_dir(config) / snapshot_name("demo", seconds)).touch()
    (snapshot_dir(config) / snapshot_name("demo-two", 1e9)).touch()
    (snapshot_dir(config) / "demo-20990101T000000Z.db.partial").touch()
    (snapshot_dir(config) / "demo-20999999T000000Z.db").touch()  # no day that there is
    age = snapshot_age(config, timer)
    assert age is not None and age.newest_wall_s == 86400 and age.age_s > 86400
    assert [snapshot.wall_s for snapshot in kept_snapshots(snapshot_dir(config), "demo")] == [86400.0, 0.0]
