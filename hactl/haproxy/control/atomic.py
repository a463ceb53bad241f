"""Files that are there as a whole or not at all. Every error is a HaproxyError that names the file."""

from __future__ import annotations

from pathlib import Path

from hactl.haproxy.settings import HaproxyError
from hactl.linux.atomic_write import write_atomically


def read_text(path: str) -> str | None:
    """The text of the file; None: it is not there. Raises HaproxyError."""
    try:
        return Path(path).read_text(errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HaproxyError(f"{path} cannot be read: {error.strerror or error}") from None


def write_text(path: str, text: str) -> None:
    """For root alone: HAProxy reads it before it changes its user. Raises HaproxyError."""
    try:
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(Path(path), text)
    except OSError as error:
        raise HaproxyError(f"{path} cannot be written: {error.strerror or error}") from None
