"""The state of the cluster when etcd last answered, for requests while it is away.

The deciding side forgets facts that it can no longer rely on, and reads nothing of this. It is kept on disk as well: a
daemon that starts while etcd is away, and `hactl status` where neither of them answers, show it, with its age.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog

from election.keys import Keys
from election.reading import ReadView
from election.store import KeyValue, Snapshot
from election.view import View
from hactl.daemon.parts.state_files import LARGEST, read_typed
from hactl.decide.reading import ReadState
from hactl.linux.atomic_write import write_atomically
from hactl.linux.disk_thread import DiskThread
from hactl.model.cluster import ClusterSpec

log = structlog.get_logger()

T = TypeVar("T")

# How often it is looked whether anything but renewals has changed; and how often it is kept though nothing has, or
# where there is so much that keeping it costs something.
LOOK_S, KEEP_S = 1.0, 5.0
MANY = 2_000
# How long a disk is waited for.
DISK_S = 10.0
_FILE = "last-known.json"


@dataclass(frozen=True, slots=True)
class _Kept:
    """The documents below `prefix`. The file was changed, or touched, when etcd last answered."""

    prefix: str
    revision: int
    items: tuple[KeyValue, ...]


class LastKnown:
    """`view` and `spec`: the last known ones, None until there are any. `last_spec` finds the configuration that
    this node used last."""

    def __init__(self, state_dir: str, keys: Keys, last_spec: Callable[[], Awaitable[ClusterSpec | None]]) -> None:
        self.view: ReadView | None = None
        self.spec: ClusterSpec | None = None
        self._state_dir, self._keys, self._last_spec = state_dir, keys, last_spec
        self._state_files = DiskThread("state_dir", DISK_S)
        self._at_s = self._kept_s = time.monotonic()
        self._read = False
        self._mark, self._too_large = "", False

    async def run(self, state: Callable[[], ReadState]) -> None:
        """Until cancelled."""
        while True:
            await self.look(state())
            await asyncio.sleep(LOOK_S)

    async def look(self, state: ReadState) -> None:
        """Take the present state, and keep it; without etcd, the state that an earlier daemon kept."""
        if state.knows_store:
            if self._is_news(state.view):
                self.view, self._kept_s = state.view.copy(), time.monotonic()
                await self._on_disk(self._keep, self.view)
            self.spec, self._at_s = state.cluster, time.monotonic()
        elif state.store_away and self.view is None and not self._read:
            self._read = True
            if (kept := await self._on_disk(read, self._state_dir, self._keys)) is not None:
                self.view, age_s = kept
                self.spec, self._at_s = await self._last_spec(), time.monotonic() - age_s

    def _is_news(self, view: ReadView) -> bool:
        if self.view is None or time.monotonic() - self._kept_s >= KEEP_S:
            return True
        return len(view.newest) < MANY and view.mark() != self.view.mark()

    def stale_ms(self, state: ReadState) -> int | None:
        """The age of the last known state; None while etcd answers, and where nothing is known."""
        if state.knows_store or (self.view is None and not state.store_away):
            return None
        return round((time.monotonic() - self._at_s) * 1000)

    async def _on_disk(self, call: Callable[..., T], *args: Any) -> T | None:
        try:
            return await self._state_files.run(call, *args)
        except OSError as error:  # it does not answer
            log.debug("last_known_not_kept", problem=str(error))
            return None

    def _keep(self, view: ReadView) -> None:
        """On a thread. No fsync: half a file is as good as none."""
        path, mark = Path(self._state_dir, _FILE), view.mark()
        try:
            if mark == self._mark and (self._too_large or path.exists()):
                if not self._too_large:
                    os.utime(path)
                return
            snapshot = view.snapshot()
            raw = _encoded(_Kept(self._keys.prefix, snapshot.revision, snapshot.items))
            too_large = len(raw) > LARGEST  # nobody would read it
            if not too_large:
                write_atomically(path, raw, durable=False)
            elif not self._too_large:
                path.unlink(missing_ok=True)
                log.warning("last_known_not_kept", problem=f"{len(raw)} bytes are too many", most=LARGEST)
            self._mark, self._too_large = mark, too_large
        except OSError as error:  # StateKeeper reports the problem of the disk
            log.debug("last_known_not_kept", problem=str(error))


def _encoded(kept: _Kept) -> bytes:
    """A configuration with bytes that are no UTF-8 is kept without them: it is read for no more than to be shown."""
    try:
        return msgspec.json.encode(asdict(kept))
    except UnicodeEncodeError:
        readable = (entry._replace(value=entry.value.encode(errors="replace").decode()) for entry in kept.items)
        return msgspec.json.encode(asdict(replace(kept, items=tuple(readable))))


def read(state_dir: str, keys: Keys) -> tuple[View, float] | None:
    """The kept state of this cluster, and its age in seconds; None: there is none, or none that can be read."""
    path = Path(state_dir, _FILE)
    try:
        age_s = max(0.0, time.time() - path.stat().st_mtime)
        kept = read_typed(path, _Kept)
    except (OSError, ValueError) as error:
        log.debug("last_known_not_read", problem=str(error))
        return None
    if kept.prefix != keys.prefix or not all(entry.key.startswith(keys.prefix) for entry in kept.items):
        return None
    view = View(keys)
    view.load(Snapshot(kept.revision, kept.items))
    return view, age_s
