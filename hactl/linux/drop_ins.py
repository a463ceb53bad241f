"""hactl's drop-ins for units of systemd: kept as they are wanted, and loaded by one reload for all that changed.

They are in `/run`, which is empty after a boot, or in `/etc`, where they also hold until hactl runs. Their name comes
after those of others: where two say different things, systemd takes the last. Source: systemd.unit(5).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from hactl.linux.aside import aside
from hactl.linux.atomic_write import remove_staged, write_atomically

FILE = "zz-hactl.conf"
RUN, ETC = Path("/run/systemd/system"), Path("/etc/systemd/system")
_ABOUT = "systemd's drop-ins"

Reload = Callable[[], Awaitable[None]]


class DropIn(NamedTuple):
    """The drop-in of a unit. `lasting`: it outlives a reboot."""

    unit: str
    text: str
    lasting: bool = False


class DropIns:
    """The drop-ins on this machine. `revision` changes when one is wanted that was not before."""

    def __init__(self, run: Path = RUN, etc: Path = ETC) -> None:
        self._run, self._etc = run, etc
        self._loaded: dict[str, DropIn] = {}
        self._pending: dict[str, DropIn] = {}
        self._lock = asyncio.Lock()
        self._to_reload = False
        self.revision = 0

    @property
    def usable(self) -> bool:
        """Whether systemd runs this machine."""
        return self._run.is_dir()

    def any(self) -> bool:
        """Whether one is there. May block."""
        return any(next(directory.glob(f"*.d/{FILE}"), None) for directory in (self._run, self._etc))

    def file(self, drop_in: DropIn) -> Path:
        """Where it is."""
        return _file(self._etc if drop_in.lasting else self._run, drop_in.unit)

    async def ensure(self, wanted: Iterable[DropIn], reload: Reload) -> None:
        """Have these in use, beside all others; those that others wait for meanwhile come with the same reload. Raises
        OSError, OperationError."""
        news = {drop_in.unit: drop_in for drop_in in wanted if self._loaded.get(drop_in.unit) != drop_in}
        if news:
            self._pending |= news
            self.revision += 1
            async with self._lock:
                await self._load(reload)

    async def keep(self, wanted: Collection[DropIn], reload: Reload, revision: int, *, unloaded: bool) -> None:
        """Have these in use and no others, whatever was done to the files meanwhile; others only where `revision` is
        still that of the time when `wanted` was made up. `unloaded`: systemd does not know all of them. Raises OSError,
        OperationError."""
        async with self._lock:
            self._to_reload |= unloaded
            self._pending |= {drop_in.unit: drop_in for drop_in in wanted}
            if revision == self.revision:
                kept = {self.file(drop_in) for drop_in in wanted}
                self._to_reload |= await aside(_ABOUT, _remove, [self._run, self._etc], kept)
                self._loaded = {drop_in.unit: drop_in for drop_in in wanted if drop_in in self._loaded.values()}
            await self._load(reload)

    async def _load(self, reload: Reload) -> None:
        batch = dict(self._pending)
        changed = await aside(_ABOUT, _write, {self.file(drop_in): drop_in.text for drop_in in batch.values()})
        self._to_reload |= changed
        if self._to_reload:
            await reload()
            self._to_reload = False
        self._loaded |= batch
        self._pending = {unit: drop_in for unit, drop_in in self._pending.items() if batch.get(unit) != drop_in}


def remove_all(run: Path = RUN, etc: Path = ETC) -> bool:
    """Remove every drop-in of hactl's; whether there was one, so that systemd has to be told. Raises OSError."""
    return _remove([run, etc], set())


def _file(directory: Path, unit: str) -> Path:
    return directory / f"{unit}.d" / FILE


def _write(texts: Mapping[Path, str]) -> bool:
    changed = False
    for path, text in texts.items():
        if _read(path) != text:
            if not path.parent.is_dir():
                path.parent.mkdir(parents=True)
                path.parent.chmod(0o755)  # for `systemctl cat`
            remove_staged(path)
            write_atomically(path, text, mode=0o644)
            changed = True
    return changed


def _remove(directories: Iterable[Path], kept: Collection[Path]) -> bool:
    changed = False
    for directory in directories:
        for path in directory.glob(f"*.d/{FILE}"):
            if path not in kept:
                remove_staged(path)
                path.unlink(missing_ok=True)
                changed = True
                with contextlib.suppress(OSError):  # others have drop-ins for this unit
                    path.parent.rmdir()
    return changed


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
