"""What the daemon keeps on disk: the store's identity as last known, its last session, and the definitions of
what it started. All of it survives a reboot; a file that cannot be read is as good as none, and said so."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from hactl.model.cluster import GroupSpec, ResourceSpec

log = structlog.get_logger()


class AlreadyRunningError(Exception):
    """Another daemon of this node holds the lock."""


class Disk:
    """The files below `state_dir`."""

    def __init__(self, state_dir: str) -> None:
        self._dir = Path(state_dir)
        self._started = self._dir / "started"
        self._started.mkdir(parents=True, exist_ok=True)
        self._identity = self._dir / "identity.json"
        self._written: dict[str, str] = {}
        self._lock: int | None = None

    def lock(self) -> None:
        """One daemon a node: hold the lock as long as this process lives. Raises AlreadyRunningError."""
        path = self._dir / "daemon.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(descriptor, 20).decode().strip()
            os.close(descriptor)
            raise AlreadyRunningError(
                f"another daemon of this node is running as process {pid or 'unknown'} (it holds {path}): "
                f"stop that one first, or give this one another state_dir in node.toml"
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._lock = descriptor

    def identity(self) -> dict[str, Any]:
        """`uuid`, `generation`, `revision`, `sid` as last kept; empty when nothing was."""
        found = _read(self._identity)
        return found if isinstance(found, dict) else {}

    def keep_identity(self, identity: tuple[str, int] | None, revision: int, sid: str) -> None:
        """Keep what the next daemon must know; nothing is written when nothing changed."""
        if identity is None:
            return
        value = {"uuid": identity[0], "generation": identity[1], "revision": revision, "sid": sid}
        self._write(self._identity, json.dumps(value))

    def leftovers(self) -> tuple[GroupSpec, ...]:
        """The groups of which something was started here, by their definition then."""
        found = []
        for path in sorted(self._started.glob("*.json")):
            raw = _read(path)
            try:
                resources = tuple(ResourceSpec(**item) for item in raw.pop("resources"))
                found.append(GroupSpec(resources=resources, **{**raw, "nodes": tuple(raw.pop("nodes"))}))
            except (AttributeError, KeyError, TypeError) as error:
                log.error("started_unreadable", file=str(path), problem=repr(error))
        return tuple(found)

    def keep_started(self, group: GroupSpec) -> None:
        """Keep the definition of a group before anything of it is started."""
        self._write(self._started / f"{group.name}.json", json.dumps(asdict(group), default=dict))

    def forget_started(self, keep: set[str]) -> None:
        """Drop the definitions of groups of which nothing is left here; `keep` are the others."""
        for path in self._started.glob("*.json"):
            if path.stem not in keep:
                path.unlink(missing_ok=True)
                self._written.pop(str(path), None)

    def _write(self, path: Path, text: str) -> None:
        if self._written.get(str(path)) == text:
            return
        staged = path.with_name(f".{path.name}.staged")
        with staged.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
        self._written[str(path)] = text


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.error("state_unreadable", file=str(path), problem=str(error))
        return None
