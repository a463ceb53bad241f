"""The cluster's key: a file that all nodes have, by which they and their guards know each other's datagrams."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from fencing.guard.liveness import MIN_KEY
from hactl.config.errors import ConfigErrors, Problem
from hactl.linux.atomic_write import create_atomically

_MAX_KEY = 4096
# Of 32 random hexadecimal digits fewer are different once in a million times; of words and patterns, nearly always.
_MIN_DIFFERENT = 8


def create_key(path: Path) -> None:
    """Write a new random key, for its owner alone, whole or not at all. Raises ConfigErrors, also where there is a
    file already: it may be the other nodes' key."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        create_atomically(path, f"{os.urandom(MIN_KEY).hex()}\n")
    except FileExistsError:
        raise _wrong(path, "is there already", "copy it to the other nodes, or remove it first") from None
    except OSError as error:
        raise _wrong(path, f"cannot be written: {error.strerror}", "run it as root") from None


def read_key(path: Path) -> bytes | None:
    """The key; None where there is no such file. White space at its ends does not count. Raises ConfigErrors when it
    is no key, or others may read it."""
    try:
        # O_NONBLOCK: a pipe of this name must not hang us.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            info = os.fstat(file.fileno())
            key = file.read(_MAX_KEY + 1).strip() if stat.S_ISREG(info.st_mode) else b""
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _wrong(path, f"cannot be read: {error.strerror}", "see that it may be read") from None
    if not stat.S_ISREG(info.st_mode):
        raise _wrong(path, "is no regular file", "`hactl key create` makes a key")
    if info.st_uid not in (0, os.geteuid()):
        raise _wrong(path, f"belongs to user {info.st_uid}", f"chown root {path}")
    if info.st_mode & 0o077:
        raise _wrong(path, "may be read or written by others than its owner", f"chmod 600 {path}")
    if not MIN_KEY <= len(key) <= _MAX_KEY:
        raise _wrong(path, f"is no key: {MIN_KEY} to {_MAX_KEY} bytes are wanted", "`hactl key create` makes one")
    if len(set(key)) < _MIN_DIFFERENT:
        problem = f"is a weak key: it has only {len(set(key))} different characters"
        raise _wrong(path, problem, "`hactl key create` makes a good one")
    return key


def _wrong(path: Path, problem: str, hint: str) -> ConfigErrors:
    return ConfigErrors([Problem(str(path), "", problem, hint)])
