"""One file of a manifest in the kubelet's directory: placed as a whole, taken away, never half seen. All of it blocks.

Staged files and those moved aside begin with a dot: the kubelet overlooks them, in its inotify events as well as in its
listing of the directory (Kubernetes, pkg/kubelet/config/file_linux.go and file.go, which globs `[^.]*`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import structlog

from hactl.linux.atomic_write import remove_staged, staged
from hactl.linux.errors import OperationError
from hactl.linux.regular_file import read_regular
from hactl.resources.base import ResourceError

log = structlog.get_logger(__name__)

ASIDE = ".hactl-aside-"


class PlacedFile:
    """`source`: the file of which it is a copy; None: it has `content`. Raises ResourceError."""

    def __init__(self, resource: str, path: Path, source: str | None, content: str = "") -> None:
        self.path, self.source = path, source
        self._resource, self._text = resource, content

    def read(self) -> bytes | None:
        """What is there; None: nothing."""
        try:
            return read_regular(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.EFBIG):  # a pipe, a file of any size: not the one put there
                return b""
            raise ResourceError(f"cannot read {self.path}: {error.strerror}") from None

    def wanted(self) -> bytes:
        """What is to be there, as it is now."""
        if self.source is None:
            return self._text.encode()
        try:
            return read_regular(self.source)
        except OSError as error:
            raise ResourceError(f"{self._resource}: cannot read source {self.source}: {error.strerror}") from None

    def stage(self, content: bytes) -> AbstractContextManager[Callable[[], None]]:
        """Stage it: the function puts it there. Raises OSError."""
        return staged(self.path, content)

    def remove(self, known: bytes | None) -> None:
        """Remove it; what is neither `known` nor the source's content is moved aside. Raises OSError."""
        if self._is_ours(known):
            self.path.unlink(missing_ok=True)
            return
        aside = self.path.parent / f"{ASIDE}{self.path.name}"
        self.path.replace(aside)
        log.warning("manifest.moved_aside", resource=self._resource, path=str(self.path), to=str(aside))

    def sweep(self) -> None:
        """Remove what a daemon has staged that was killed meanwhile. Raises OSError."""
        remove_staged(self.path)

    def _is_ours(self, known: bytes | None) -> bool:
        """Whether it is the one that was put there, or there is none. In doubt it counts as ours."""
        try:
            there = self.read()
            return there is None or there in (known, self.wanted())
        except OperationError:
            return True


def sync_directory(directory: Path) -> None:
    """Have its names on the disk. Raises OSError."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
