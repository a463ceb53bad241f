"""Whether nobody but root, and this user, can change a file that is about to be run or believed.

Every directory on the way to it counts, and every link: who may write one of them may put another file in its place.
In a directory with the sticky bit (/tmp) others cannot replace what is not theirs; the file's own directory may not be
one.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

_MANY_LINKS = 40


def untrusted(path: str) -> str:
    """Who else may change the file at the absolute `path`, with the command against it; "" when nobody can."""
    entry, holder, problem = _way(path)
    return problem or _file(entry) or _holder(holder)


def untrusted_directory(path: str) -> str:
    """As `untrusted`, of a directory: who else may put something into it."""
    entry, _, problem = _way(path)
    return problem or _holder(entry)


def foreign(path: str) -> str:
    """Whose a file or directory is that is neither root's nor this user's, with the command against it; "" else."""
    found = Path(path).stat()
    return "" if _ours(found.st_uid) else _foreign(Path(path), found)


def _way(path: str) -> tuple[Path, Path, str]:
    """Walk from / to the end of `path`, following links by hand: each could be changed between two looks at the whole.
    What is there, the directory that holds it, and what is wrong on the way."""
    todo = [part for part in path.split("/") if part and part != "."]
    done, holder, links = Path("/"), Path("/"), 0
    while todo:
        part = todo.pop(0)
        if part == "..":
            done = done.parent
            continue
        entry = done / part
        try:
            found = entry.lstat()
            problem = _within(done, found, entry)
        except OSError as error:
            problem = f"{entry}: {error.strerror}"
        if problem:
            return done, done, problem
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > _MANY_LINKS:
                return done, done, f"{path}: too many links"
            target = str(entry.readlink())
            done = Path("/") if target.startswith("/") else done
            todo = [word for word in target.split("/") if word and word != "."] + todo
            continue
        done, holder = entry, done
    return done, holder, ""


def _within(directory: Path, found: os.stat_result, entry: Path) -> str:
    """An entry of `directory` on the way: others must not be able to replace it."""
    above = directory.stat()
    if not _ours(above.st_uid):
        return _foreign(directory, above)
    if _others_write(above) and not (above.st_mode & stat.S_ISVTX and _ours(found.st_uid)):
        return _writable(directory, above)
    return _foreign(entry, found) if stat.S_ISLNK(found.st_mode) and not _ours(found.st_uid) else ""


def _file(path: Path) -> str:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        return f"{path} is no file"
    return _foreign(path, found) if not _ours(found.st_uid) else _writable(path, found) if _others_write(found) else ""


def _holder(path: Path) -> str:
    found = path.stat()
    return _foreign(path, found) if not _ours(found.st_uid) else _writable(path, found) if _others_write(found) else ""


def _foreign(path: Path, found: os.stat_result) -> str:
    return f"{path} belongs to user {found.st_uid}: `chown root {path}`"


def _writable(path: Path, found: os.stat_result) -> str:
    return f"{path} may be written by others (mode {stat.S_IMODE(found.st_mode):04o}): `chmod go-w {path}`"


def _others_write(found: os.stat_result) -> bool:
    """The group of root, or of this user who is not root, is no other."""
    group = found.st_mode & stat.S_IWGRP and found.st_gid not in {0, os.getegid()}
    return bool(found.st_mode & stat.S_IWOTH or group)


def _ours(uid: int) -> bool:
    return uid in (0, os.geteuid()) or (uid == _nobody() and _maps_few())


def _nobody() -> int:
    return int(Path("/proc/sys/kernel/overflowuid").read_text(encoding="ascii"))


def _maps_few() -> bool:
    """In a user namespace the machine's root is shown as nobody."""
    return Path("/proc/self/uid_map").read_text(encoding="ascii").split() != ["0", "0", "4294967295"]
