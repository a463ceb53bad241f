"""Notices changes of files: inotify(7), by way of ctypes. Tells only that something changed."""

from __future__ import annotations

import contextlib
import ctypes
import os

from fencing.linux.wait_readable import wait_readable

MODIFY = 0x2
ATTRIB = 0x4
CLOSE_WRITE = 0x8
MOVED_FROM = 0x40
MOVED_TO = 0x80
CREATE = 0x100
DELETE = 0x200
DELETE_SELF = 0x400
MOVE_SELF = 0x800

_libc = ctypes.CDLL(None, use_errno=True)


class Inotify(contextlib.AbstractContextManager["Inotify"]):
    """A watch on files or directories. Close it, or use it as a context manager."""

    def __init__(self, path: str, mask: int) -> None:
        """Watch `path` for the events of `mask`; `add` watches others as well. Raises OSError."""
        self._fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise _error(path)
        try:
            self.add(path, mask)
        except OSError:
            self.close()
            raise

    def add(self, path: str, mask: int) -> None:
        """Watch another one, too. Raises OSError."""
        if _libc.inotify_add_watch(self._fd, os.fsencode(path), mask) < 0:
            raise _error(path)

    async def changed(self) -> None:
        """Return when something has changed since the last return, or since the watch began."""
        await wait_readable(self._fd)
        with contextlib.suppress(BlockingIOError):
            while os.read(self._fd, 65536):
                pass

    def close(self) -> None:
        """End the watch; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __exit__(self, *_: object) -> None:
        self.close()


def _error(path: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), path)
