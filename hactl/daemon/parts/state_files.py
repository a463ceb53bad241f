"""The daemon's files on disk: the store's identity as last known, its last session, and the definitions of the
resources that it started. All of it survives a reboot; a file that cannot be read is as good as none, and said so."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from election.records import STORED_NAMES, Count, Generation
from hactl.config.node import IDENTITY_FILE
from hactl.linux.atomic_write import write_atomically
from hactl.model.cluster import GroupSpec
from hactl.model.options import plain

log = structlog.get_logger()


_HELD = "session"

# How many sessions of another machine are remembered: each is of no use once there was a later one.
_DISOWNED = 20
# The largest file that is read: a cluster's whole configuration is much smaller.
LARGEST = 16 << 20

T = TypeVar("T")


class KnownStore(msgspec.Struct, frozen=True, rename=STORED_NAMES):
    """The facts about the store that are kept: `uuid` and `generation` of its history, the highest `revision`
    seen of it; and this node's last session, `session_id` and `session_revision`."""

    uuid: str = ""
    generation: Generation = 0
    revision: Count = 0
    session_id: str = ""
    session_revision: Count = 0

    @property
    def identity(self) -> tuple[str, int] | None:
        """As the decide side has it."""
        return (self.uuid, self.generation) if self.uuid else None


class AlreadyRunningError(Exception):
    """Another daemon of this node holds the lock."""


class StateFiles:
    """The files below `state_dir`. `boot_id`: of this boot of the machine."""

    def __init__(self, state_dir: str, boot_id: str) -> None:
        self._dir = Path(state_dir)
        self._started = self._dir / "started"
        with contextlib.suppress(
            OSError
        ):  # it is made again with the first write there, which then reports the problem
            self._started.mkdir(parents=True, exist_ok=True)
        self._boot, self._boot_id = self._started / "boot_id", boot_id
        self._identity = self._dir / IDENTITY_FILE
        self._disowned = self._dir / "disowned.json"
        self._written: dict[str, str] = {}
        self._lock: int | None = None

    def lock(self) -> None:
        """One daemon a node: hold the lock as long as this process lives. Raises AlreadyRunningError."""
        # The directory itself: it can be locked when nothing can be written, and whatever is removed from it. Where it
        # is another one now, the guard still serves one daemon only.
        descriptor, path = os.open(self._dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), self._dir / "daemon.lock"
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            pid = _text(path).strip()
            raise AlreadyRunningError(
                f"another daemon of this node is running as process {pid or 'unknown'} (it holds {self._dir}): "
                f"stop that one first, or give this one another state_dir in node.toml"
            ) from None
        self._lock = descriptor
        with contextlib.suppress(OSError):  # for people
            path.write_text(f"{os.getpid()}\n", encoding="utf-8")

    def known(self) -> KnownStore:
        """As last kept; its `uuid` is empty when nothing was."""
        return _read(self._identity, KnownStore) or KnownStore()

    def keep_known(self, known: KnownStore, *, anew: bool = False) -> None:
        """Keep the facts that the next daemon needs; nothing is written when nothing changed, unless `anew`."""
        if not known.uuid:
            return
        if anew:
            self._written.pop(str(self._identity), None)
        self._write(self._identity, msgspec.json.encode(known).decode())

    def hold(self, run_dir: str, session_id: str) -> None:
        """Note that a daemon of this boot holds the session: in `run_dir`, which no copy of the disk has."""
        try:
            write_atomically(Path(run_dir, _HELD), f"{self._boot_id} {session_id}\n", durable=False)
        except OSError as error:  # then this boot's next daemon waits for the lease to be over
            log.error("state_not_kept", problem=str(error))

    def held(self, run_dir: str) -> str:
        """The session that a daemon of this boot held last; "" when none is known."""
        try:
            boot, _, session_id = Path(run_dir, _HELD).read_text(encoding="utf-8").strip().partition(" ")
        except (OSError, UnicodeDecodeError):
            return ""
        return session_id if boot == self._boot_id else ""

    def disown(self, session_id: str) -> None:
        """Another machine was seen to renew this session in our name."""
        try:
            self._write(self._disowned, json.dumps([*self.disowned(), session_id][-_DISOWNED:]))
        except OSError as error:
            log.error("state_not_kept", problem=str(error))

    def disowned(self) -> tuple[str, ...]:
        """Sessions in our name that another machine was seen to renew."""
        return tuple(_read(self._disowned, list[str]) or ())

    def leftovers(self) -> tuple[GroupSpec, ...]:
        """The groups of which something was started here, by their definition then."""
        groups = (_read(path, GroupSpec) for path in sorted(self._started.glob("*.json")))
        return tuple(group for group in groups if group is not None)

    def started_since_boot(self) -> bool:
        """Whether anything of the leftovers may have been started since this machine booted."""
        try:
            return self._boot.read_text(encoding="utf-8") == self._boot_id
        except FileNotFoundError:
            return bool(self.leftovers())  # kept by a version of hactl that did not say
        except (OSError, ValueError):
            return True

    def keep_started(self, group: GroupSpec) -> None:
        """Keep the definition of a group before anything of it is started."""
        self._write(self._boot, self._boot_id)
        self._write(self._started / f"{group.name}.json", json.dumps(plain(group)))

    def forget_started(self, keep: set[str]) -> None:
        """Drop the definitions of groups of which nothing is left here; `keep` are the others."""
        for path in self._started.glob("*.json"):
            if path.stem not in keep:
                path.unlink(missing_ok=True)
                self._written.pop(str(path), None)

    def _write(self, path: Path, text: str) -> None:
        if self._written.get(str(path)) == text and path.exists():
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, text)
        self._written[str(path)] = text


def read_typed(path: Path, kind: type[T]) -> T:
    """The content of a JSON file, by the types of `kind`. Raises OSError or ValueError."""
    with path.open("rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"is larger than {LARGEST} bytes")
    try:
        return msgspec.json.decode(data, type=kind)
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return read_typed(path, kind)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.error("state_unreadable", file=str(path), problem=str(error))
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[:20]
    except OSError:
        return ""
