"""The last good configuration on the disk, from which HAProxy starts after a reboot while etcd is away, or holds one
that HAProxy refuses.

It is rendered as if all nodes were live, and nobody the elected writer of anything: the writer before a reboot may not
be the writer now. Drained servers stay drained. It is written only after HAProxy has taken that configuration.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from hactl.haproxy.control.atomic import read_text, write_text
from hactl.haproxy.settings import HaproxyError
from hactl.linux.disk_thread import DiskThread

T = TypeVar("T")

# How long the disk is waited for.
DISK_S = 3.0

_MANAGED = "# hactl sets ip_nonlocal_bind for it\n"


class KeptFile:
    """At `path`; "" keeps nothing. `stats_socket`: HAProxy's own. A file that names another is of another node, whose
    disk was copied, or of another `run_dir`: HAProxy would take that one's socket away, and is not started with it.

    A disk that does not answer is as good as none: the running HAProxy is changed all the same. All raise HaproxyError.
    """

    def __init__(self, path: str, stats_socket: str) -> None:
        self._path, self._stats_socket = path, stats_socket
        self._disk = DiskThread("state_dir", DISK_S)

    async def keep(self, text: str, *, manage_sysctl: bool) -> None:
        """Keep it, if it is another than is kept."""
        if self._path:
            await self._ask(self._write, _MANAGED * manage_sysctl + text)

    async def read(self) -> tuple[str, bool] | None:
        """The configuration, and whether sysctls may be set for it. None: there is none."""
        text = await self._ask(read_text, self._path) if self._path else None
        if not text or self._stats_socket not in text:
            return None
        return text.removeprefix(_MANAGED), text.startswith(_MANAGED)

    async def forget(self) -> None:
        """HAProxy is not to run on this node."""
        if self._path:
            await self._ask(lambda: Path(self._path).unlink(missing_ok=True))

    def _write(self, wanted: str) -> None:
        if read_text(self._path) != wanted:
            write_text(self._path, wanted)

    async def _ask(self, call: Callable[..., T], *args: Any) -> T:
        try:
            return await self._disk.run(call, *args)
        except OSError as error:
            raise HaproxyError(f"{self._path}: {error.strerror or error}") from None
