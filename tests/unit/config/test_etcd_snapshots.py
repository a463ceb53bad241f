"""Which snapshots are kept, and which go."""

from __future__ import annotations

from pathlib import Path

from hactl.config.etcd_snapshots import KeptSnapshot, snapshot_name, to_remove

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
