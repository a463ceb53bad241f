"""Writes a machine's files: whole or not at all, with their owner and mode, and only those that differ."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from hactl.linux.atomic_write import remove_staged, write_atomically
from hactl.setup.contents import Directory, File
from hactl.setup.errors import RefusedError

Say = Callable[[str], None]
Owner = Callable[[str], tuple[int, int]]


class Change(str):
    """A line about something that was changed; every other line is about what was found, or is waited for."""

    __slots__ = ()


class Files:
    """`owner`: the numbers of a user and its group. `dry`: says what it would write, and writes nothing."""

    def __init__(self, owner: Owner, say: Say, *, dry: bool = False) -> None:
        self._owner, self._say, self._dry = owner, say, dry
        self.written: list[str] = []

    def directory(self, wanted: Directory) -> None:
        """Make it, or give it its mode and owner."""
        path = Path(wanted.path)
        owner = self._numbers(wanted.owner)
        if self._dry:
            return  # the files in it are said
        try:
            path.mkdir(parents=True, exist_ok=True)
            info = path.lstat()
            if not stat.S_ISDIR(info.st_mode):
                raise RefusedError(f"{path} is no directory of its own: move it away, then repeat this")
            if (info.st_uid, info.st_gid) != owner:
                os.chown(path, *owner)
            if stat.S_IMODE(info.st_mode) != wanted.mode:
                path.chmod(wanted.mode)
        except FileExistsError:
            raise RefusedError(f"{path} is no directory: move it away, then repeat this") from None
        except OSError as error:
            raise _failed(wanted.path, error) from None

    def file(self, wanted: File) -> bool:
        """Write it where it differs; whether it did. One line says which."""
        path = Path(wanted.path)
        owner = self._numbers(wanted.owner)
        try:
            if _same(path, wanted, owner):
                self._say(f"unchanged  {path}")
                return False
            if not self._dry:
                remove_staged(path)
                write_atomically(path, wanted.content, mode=wanted.mode, owner=owner)
        except OSError as error:
            raise _failed(wanted.path, error) from None
        self.written.append(wanted.path)
        self._say(Change(f"written    {path}"))
        return True

    def _numbers(self, user: str) -> tuple[int, int]:
        try:
            return self._owner(user)
        except KeyError:
            raise RefusedError(f"there is no user `{user}` here: `apt install etcd-server` makes it") from None


def _same(path: Path, wanted: File, owner: tuple[int, int]) -> bool:
    try:
        info = path.lstat()
        is_same = stat.S_ISREG(info.st_mode) and stat.S_IMODE(info.st_mode) == wanted.mode
        return is_same and (info.st_uid, info.st_gid) == owner and path.read_bytes() == wanted.content.encode()
    except FileNotFoundError:
        return False


def _failed(path: str, error: OSError) -> RefusedError:
    hint = "make room there" if error.errno in (28, 122) else "see why"
    return RefusedError(f"{path} cannot be written: {error.strerror}; {hint}, then repeat this: it goes on")
