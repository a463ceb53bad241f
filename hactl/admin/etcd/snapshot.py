"""`hactl etcd snapshot`: etcd's database in a file, which is there as a whole and verified, or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from election.etcd.facts import EndpointFacts
from hactl.admin.errors import NoSuchError, RefusedError
from hactl.admin.etcd.access import EtcdAdmin
from hactl.admin.etcd.snapshot_file import SnapshotFacts, read_snapshot
from hactl.config.etcd_snapshots import kept_snapshots, snapshot_dir, snapshot_name, to_remove
from hactl.status.etcd.problems import answering, mib

_SAVE_S = 600.0
# Beside the snapshot something must be left for others.
_SPARE = 64 << 20
_PARTIAL = ".partial"


class Taken(NamedTuple):
    """A snapshot that was made. `endpoint`: of which member. `removed`: older ones that were."""

    path: Path
    endpoint: str
    facts: SnapshotFacts
    removed: tuple[Path, ...] = ()


def take(admin: EtcdAdmin, file: Path | None, *, keep: int = 0, keep_bytes: int = 0) -> Taken:
    """Make a snapshot at `file`, else in the directory for them. There, with `keep` or `keep_bytes` above 0, the oldest
    are removed until no more than so many of the cluster, with no more than so many bytes together, are left; the new
    one always stays. Raises RefusedError, OSError."""
    config = admin.config
    if file is None:
        snapshot_dir(config).mkdir(mode=0o700, parents=True, exist_ok=True)
        file = snapshot_dir(config) / snapshot_name(config.cluster, time.time())
    elif not file.parent.is_dir():
        raise NoSuchError(f"{file.parent} is no directory: make it first")
    source = _source(admin)
    with _alone(file.parent):
        if file.exists():
            raise RefusedError(f"{file} is there already: name another file")
        _check_room(file.parent, source)
        facts = _save(admin, source.endpoint, file)
        removed = _prune(admin, file, keep, keep_bytes) if file.parent == snapshot_dir(config) else ()
    return Taken(file, source.endpoint, facts, removed)


def _source(admin: EtcdAdmin) -> EndpointFacts:
    """The first endpoint that is well: this node's own, where it is."""
    state = admin.look()
    well = [fact for fact in answering(state.facts) if fact.read_ms is not None]
    if not well:
        problem = next((problem.text for problem in state.problems), "no endpoint answers")
        raise RefusedError(f"no member of etcd can give a snapshot: {problem}")
    return well[0]


def _check_room(directory: Path, source: EndpointFacts) -> None:
    free = os.statvfs(directory)
    room, needed = free.f_bavail * free.f_frsize, source.db_bytes + _SPARE
    if room < needed:
        raise RefusedError(
            f"{directory} has {mib(room)} left, and a snapshot of {mib(source.db_bytes)} needs {mib(needed)}: make "
            "room there, or name a file elsewhere: `hactl etcd snapshot FILE`"
        )


def _save(admin: EtcdAdmin, endpoint: str, file: Path) -> SnapshotFacts:
    partial = file.with_name(f".{file.name}.{secrets.token_hex(4)}{_PARTIAL}")
    try:
        admin.etcdctl("snapshot", "save", str(partial), endpoint=endpoint, timeout_s=_SAVE_S)
        facts = read_snapshot(partial)
        partial.chmod(0o600)
        _sync(partial)
        partial.rename(file)
        _sync(file.parent)
    finally:
        for left in (partial, partial.with_name(f"{partial.name}.part")):  # etcdctl's own name while it writes
            left.unlink(missing_ok=True)
    return facts


def _prune(admin: EtcdAdmin, made: Path, keep: int, keep_bytes: int) -> tuple[Path, ...]:
    kept = kept_snapshots(made.parent, admin.config.cluster)
    removed = tuple(snapshot.path for snapshot in to_remove(kept, made, keep, keep_bytes))
    for path in removed:
        path.unlink(missing_ok=True)
    return removed


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Nobody else makes one there meanwhile. What a killed one has left is removed."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RefusedError(f"another `hactl etcd snapshot` writes to {directory}: try again later") from None
        for left in _leftovers(directory):
            left.unlink(missing_ok=True)
        yield
    finally:
        os.close(descriptor)


def _leftovers(directory: Path) -> Sequence[Path]:
    return [*directory.glob(f".*.db.????????{_PARTIAL}"), *directory.glob(f".*.db.????????{_PARTIAL}.part")]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
