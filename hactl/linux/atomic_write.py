"""Writes a file as a whole or not at all, so that nobody else has a say in where it goes.

The content is staged beside the file, under a name that nobody can guess, by O_EXCL and O_NOFOLLOW: a link that
somebody put there beforehand is never followed. Then it is synced, given its mode whatever the umask, and renamed into
place. All of it happens in the directory that was opened first, also when its name means another one by then.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

PRIVATE = 0o600

_STAGED = ".staged"

# User and group number.
Owner = tuple[int, int]


def write_atomically(
    path: Path, content: str | bytes, *, mode: int = PRIVATE, durable: bool = True, owner: Owner | None = None
) -> None:
    """Put `content` at `path`. `durable`: it is on the disk when this returns. Raises OSError."""
    with staged(path, content, mode=mode, durable=durable, owner=owner) as place:
        place()


def create_atomically(path: Path, content: str | bytes, *, mode: int = PRIVATE) -> None:
    """As `write_atomically`, where there is nothing yet. Raises FileExistsError, OSError."""
    with staged(path, content, mode=mode, exclusive=True) as place:
        place()


@contextlib.contextmanager
def staged(
    path: Path,
    content: str | bytes,
    *,
    mode: int = PRIVATE,
    durable: bool = True,
    exclusive: bool = False,
    owner: Owner | None = None,
) -> Iterator[Callable[[], None]]:
    """Stage `content` for `path`, and yield the function that puts it there; without its call the content is removed.
    `owner`: None: this process's. Raises OSError."""
    name = f".{path.name}.{os.urandom(8).hex()}{_STAGED}"
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        _fill(os.open(name, flags, PRIVATE, dir_fd=directory), content, mode, durable, owner)

        def place() -> None:
            if exclusive:  # unlike a rename, a link fails where there is something
                os.link(name, path.name, src_dir_fd=directory, dst_dir_fd=directory)
            else:
                os.replace(name, path.name, src_dir_fd=directory, dst_dir_fd=directory)
            if durable:
                os.fsync(directory)

        yield place
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=directory)
        os.close(directory)


def remove_staged(path: Path) -> None:
    """Remove the staged files of a process that was killed while it wrote `path`. Raises OSError."""
    prefix = f".{path.name}."
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for name in os.listdir(path.parent):  # noqa: PTH208 - names alone
            if name.startswith(prefix) and name.endswith(_STAGED):
                (path.parent / name).unlink(missing_ok=True)


def _fill(descriptor: int, content: str | bytes, mode: int, durable: bool, owner: Owner | None) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        if owner is not None:
            os.fchown(descriptor, *owner)
        os.fchmod(descriptor, mode)
        if durable:
            os.fsync(descriptor)
