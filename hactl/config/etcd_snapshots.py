"""Where this node keeps snapshots of etcd, how they are named (CLUSTER-TIME.db, by UTC), and how old they are."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from hactl.config.node import NodeConfig
from hactl.status.etcd.judge import SnapshotAge

# Where systemd keeps that the timer is enabled.
TIMER = Path("/etc/systemd/system/timers.target.wants/hactl-etcd-snapshot.timer")
_FORM = "%Y%m%dT%H%M%SZ"


class KeptSnapshot(NamedTuple):
    """A snapshot by its name. `wall_s`: when it was begun, by the wall clock."""

    path: Path
    wall_s: float
    size: int


def snapshot_dir(config: NodeConfig) -> Path:
    """The directory of those that have no other name."""
    return Path(config.state_dir, "snapshots")


def snapshot_name(cluster: str, wall_s: float) -> str:
    """The name of one that is begun now."""
    return f"{cluster}-{datetime.fromtimestamp(wall_s, UTC).strftime(_FORM)}.db"


def kept_snapshots(directory: Path, cluster: str) -> list[KeptSnapshot]:
    """Those of the cluster in the directory, the newest first. Raises OSError; a directory that is not there is
    empty."""
    name = re.compile(re.escape(cluster) + r"-(\d{8}T\d{6}Z)\.db")
    kept = []
    try:
        paths = list(directory.iterdir())
    except FileNotFoundError:
        return []
    for path in paths:
        if (match := name.fullmatch(path.name)) and path.is_file() and not path.is_symlink():
            with contextlib.suppress(ValueError, FileNotFoundError):  # no time that there is; it was removed just now
                begun = datetime.strptime(match[1], _FORM).replace(tzinfo=UTC)
                kept.append(KeptSnapshot(path, begun.timestamp(), path.stat().st_size))
    return sorted(kept, key=lambda snapshot: snapshot.wall_s, reverse=True)


def snapshot_age(config: NodeConfig, timer: Path = TIMER) -> SnapshotAge | None:
    """None where no snapshot was ever kept, and no timer makes any."""
    with contextlib.suppress(OSError):
        kept, now = kept_snapshots(snapshot_dir(config), config.cluster), time.time()
        if kept:
            return SnapshotAge(kept[0].wall_s, max(0.0, now - kept[0].wall_s))
        if timer.is_symlink():
            return SnapshotAge(0.0, max(0.0, now - timer.lstat().st_mtime))
    return None


def to_remove(kept: Sequence[KeptSnapshot], made: Path, keep: int, keep_bytes: int) -> list[KeptSnapshot]:
    """Those that are too many, or with which all are too large; the oldest go. `kept`: the newest first. `made`: the
    one that was made and verified just now, which stays. `keep`, `keep_bytes`: 0: no limit."""
    total, left = 0, 0
    removed = []
    for snapshot in sorted(kept, key=lambda snapshot: snapshot.path != made):
        too_many, too_large = keep and left >= keep, keep_bytes and total + snapshot.size > keep_bytes
        if snapshot.path != made and (too_many or too_large):
            removed.append(snapshot)
        else:
            left, total = left + 1, total + snapshot.size
    return removed
