"""The cluster's key: a file that all nodes have, by which they and their guards know each other's datagrams."""

from __future__ import annotations

import os
from pathlib import Path

from fencing.guard_ask import MIN_KEY
from hactl.config.errors import ConfigErrors, Problem

_MAX_KEY = 4096


def create_key(path: Path) -> None:
    """Write a new random key, for its owner alone, whole or not at all. Raises ConfigErrors, also where there is a
    file already: it may be the other nodes' key."""
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    random = os.urandom(MIN_KEY).hex()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
                file.write(f"{random}\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(staged, path)  # unlike a rename, it fails where there is one
        finally:
            staged.unlink(missing_ok=True)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except FileExistsError:
        raise _wrong(path, "is there already", "copy it to the other nodes, or remove it first") from None
    except OSError as error:
        raise _wrong(path, f"cannot be written: {error.strerror}", "run it as root") from None


def read_key(path: Path) -> bytes | None:
    """The key; None where there is no such file. White space at its ends does not count. Raises ConfigErrors when it
    is no key, or others may read it."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            key = file.read(_MAX_KEY + 1).strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _wrong(path, f"cannot be read: {error.strerror}", "see that it may be read") from None
    if mode & 0o077:
        raise _wrong(path, "may be read or written by others than its owner", f"chmod 600 {path}")
    if not MIN_KEY <= len(key) <= _MAX_KEY:
        raise _wrong(path, f"is no key: {MIN_KEY} to {_MAX_KEY} bytes are wanted", "`hactl key create` makes one")
    return key


def _wrong(path: Path, problem: str, mend: str) -> ConfigErrors:
    return ConfigErrors([Problem(str(path), "", problem, mend)])
