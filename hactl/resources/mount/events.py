"""Tells when something is mounted, unmounted or remounted in this mount namespace.

The kernel makes /proc/self/mountinfo ready for `POLLPRI` then (proc(5)). It is always ready to be read, so the event
loop cannot wait for it itself: it waits for an epoll that waits for `POLLPRI` alone.
"""

from __future__ import annotations

import asyncio
import os
import select
from typing import Self


class MountEvents:
    """Changes of the table of mounts, from now on."""

    def __enter__(self) -> Self:
        """Raises OSError."""
        self._file = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._epoll = select.epoll()
        self._epoll.register(self._file, select.EPOLLPRI | select.EPOLLERR)
        self._news = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._changed)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._epoll.fileno())
        self._epoll.close()
        os.close(self._file)

    async def changed(self) -> None:
        """Wait for the next change; several may be told as one."""
        await self._news.wait()
        self._news.clear()

    def _changed(self) -> None:
        # That the epoll is ready is the news: asking the file a second time finds nothing any more.
        self._epoll.poll(0)
        self._news.set()
