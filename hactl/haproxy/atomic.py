"""Files that are there as a whole or not at all. Every error is a HaproxyError that names the file."""

from __future__ import annotations

import os
from pathlib import Path

from hactl.haproxy.settings import HaproxyError


def read_text(path: str) -> str | None:
    """What the file holds; None: it is not there. Raises HaproxyError."""
    try:
        return Path(path).read_text(errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HaproxyError(f"{path} cannot be read: {error.strerror or error}") from None


def write_text(path: str, text: str, mode: int = 0o640) -> None:
    """A temporary file beside it, synced, renamed. Raises HaproxyError."""
    try:
        _write(path, text, mode)
    except OSError as error:
        raise HaproxyError(f"{path} cannot be written: {error.strerror or error}") from None


def _write(path: str, text: str, mode: int) -> None:
    Path(path).parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    temporary = f"{path}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    Path(temporary).replace(path)
    _sync_directory(str(Path(path).parent))


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
