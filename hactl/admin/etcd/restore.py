"""`hactl etcd restore`: a new cluster of etcd from a snapshot, one member on each machine. The data that were there are
put aside, never deleted.

The same file and the same members, on every machine, give one cluster: its token is made of the file's sum alone, for
machines that were added or replaced have other tokens in their settings. It is another cluster than that of any member
with old data, which etcd then keeps out.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from tenacity import retry, stop_after_delay, wait_fixed

from election.etcd.cluster_id import cluster_id
from election.etcd.store import EtcdStore
from election.store import StoreError, StoreRefusedError
from hactl.admin.errors import NoSuchError, RefusedError
from hactl.admin.etcd.access import LOOK_S, etcdctl
from hactl.admin.etcd.settings_file import EtcdSettings
from hactl.admin.etcd.snapshot_file import SnapshotFacts, read_snapshot, tool
from hactl.linux.atomic_write import write_atomically
from hactl.status.etcd.problems import mib

UNIT, USER = "etcd", "etcd"
_RESTORE_S = 600.0
_SPARE = 64 << 20
# How long a member that has just started may take to answer.
_SETTLING_S = 5.0

Say = Callable[[str], None]


class Units(Protocol):
    """systemd on this machine, and its users."""

    def start(self, unit: str) -> None:
        """Have it started, without waiting: the first member waits for a majority."""

    def stop(self, unit: str) -> None:
        """Stop it, and wait for that."""

    def owner(self, user: str) -> tuple[int, int]:
        """User and group number. Raises KeyError."""


class Restored(NamedTuple):
    """`aside`: where the old data are, None: there were none. `done_before`: this file was restored here already."""

    facts: SnapshotFacts
    aside: Path | None
    done_before: bool = False


def restore(
    file: Path, settings: EtcdSettings, units: Units, say: Say, *, without_sum: bool = False, force: bool = False
) -> Restored:
    """Restore this machine's member from the file. May be repeated. `without_sum`: the file is a database copied from a
    data directory. `force`: also where the member is well, or was restored from this file before. Raises RefusedError,
    OSError."""
    if settings.name not in settings.members:
        raise NoSuchError(f"`{settings.name}` is none of the members: {', '.join(settings.members)}")
    if file.resolve().is_relative_to(settings.data_dir.resolve()):
        raise NoSuchError(f"{file} is in use by etcd: `systemctl stop {UNIT}`, copy it elsewhere, restore the copy")
    facts = read_snapshot(file, summed=not without_sum)
    say(f"{file}: revision {facts.revision}, {facts.keys} keys")
    if not force and _done_before(settings, facts):
        units.start(UNIT)
        return Restored(facts, None, done_before=True)
    new = _make(file, facts, settings)
    write_atomically(_marker(new), json.dumps({"digest": facts.digest}), mode=0o644)
    _give(new, _owner(settings, units))
    units.stop(UNIT)
    say(f"{UNIT} is stopped")
    aside = _put_aside(settings.data_dir)
    new.rename(settings.data_dir)
    units.start(UNIT)
    return Restored(facts, aside)


def _done_before(settings: EtcdSettings, facts: SnapshotFacts) -> bool:
    """Whether this member is of the cluster that a restore from this file makes. It may have joined it by itself, with
    an empty disk. Raises RefusedError where it has a leader, so a majority is there, and needs no restore: not for an
    etcd which has begun by itself on empty disks."""
    tls = {"ca": settings.ca, "cert": settings.cert, "key": settings.key} if settings.ca else {}
    with closing(EtcdStore([settings.client_url], **tls)) as store:
        (fact,) = store.look(LOOK_S)
        if not fact.problem and fact.cluster_id == cluster_id(settings.members.values(), _token(facts)):
            return True
        if not fact.problem and fact.leader_id and not _is_empty_or_lost(store):
            raise RefusedError(
                f"etcd here ({settings.client_url}) is well: it has a leader, and so a majority. Nothing needs a "
                "restore; to go back to the snapshot all the same, and lose what was written since: `--force`, on "
                "every machine"
            )
    return _restored_digest(settings.data_dir) == facts.digest


def _token(facts: SnapshotFacts) -> str:
    return f"restored-{facts.digest[:16]}"


def _is_empty_or_lost(store: EtcdStore) -> bool:
    """Whether it holds nothing, or has lost its leader meanwhile."""
    try:
        return _is_empty(store)
    except StoreError:
        return True


@retry(stop=stop_after_delay(_SETTLING_S), wait=wait_fixed(0.2), reraise=True)
def _is_empty(store: EtcdStore) -> bool:
    """Whether no key was ever written there: its revision is that of the beginning. Raises StoreError."""
    try:
        return store.get("/", timeout_s=LOOK_S)[1] <= 1
    except StoreRefusedError:
        return False  # this certificate is of no user, so there are users


def _make(file: Path, facts: SnapshotFacts, settings: EtcdSettings) -> Path:
    """The new data directory, beside its place."""
    new = settings.data_dir.with_name(f"{settings.data_dir.name}.restoring")
    new.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(new, ignore_errors=True)  # of a restore that was interrupted
    free = os.statvfs(new.parent)
    room, needed = free.f_bavail * free.f_frsize, 2 * facts.size + _SPARE
    if room < needed:
        raise RefusedError(f"{new.parent} has {mib(room)} left, and {mib(needed)} are needed: make room there")
    words = [
        *("snapshot", "restore", str(file), f"--name={settings.name}", f"--data-dir={new}"),
        f"--initial-cluster={settings.initial_cluster}",
        f"--initial-cluster-token={_token(facts)}",
        f"--initial-advertise-peer-urls={settings.peer_urls}",
        *(() if facts.summed else ("--skip-hash-check=true",)),
    ]
    try:
        etcdctl(words, {}, _RESTORE_S, program=tool())
    except RefusedError:
        shutil.rmtree(new, ignore_errors=True)
        raise
    return new


def _owner(settings: EtcdSettings, units: Units) -> tuple[int, int]:
    """That of the old data; without them, etcd's user."""
    try:
        old = settings.data_dir.stat()
    except FileNotFoundError:
        try:
            return units.owner(USER)
        except KeyError:
            raise RefusedError(f"there is no user `{USER}` here: `apt-get install etcd-server`") from None
    return old.st_uid, old.st_gid


def _give(directory: Path, owner: tuple[int, int]) -> None:
    for place, _, files in os.walk(directory):
        os.chown(place, *owner)
        Path(place).chmod(0o700)
        for name in files:
            os.chown(Path(place, name), *owner)


def _put_aside(data_dir: Path) -> Path | None:
    if not data_dir.exists():
        return None
    stamp = datetime.fromtimestamp(time.time(), UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = data_dir.with_name(f"{data_dir.name}.before-restore-{stamp}")
    data_dir.rename(aside)
    return aside


def _marker(data_dir: Path) -> Path:
    """Within the data, so that it is lost with them."""
    return data_dir / "member" / "hactl-restored.json"


def _restored_digest(data_dir: Path) -> str:
    """The sum of the snapshot from which the data were made; "": they were not."""
    try:
        return str(json.loads(_marker(data_dir).read_text())["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
