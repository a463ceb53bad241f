"""Whether nobody but root, and this user, can change a file that is about to be run or believed.

Every directory on the way to it counts, and every link: a user who may write one of them may put another file in its
place. In a directory with the sticky bit (/tmp) others cannot replace files that are not theirs; the file's own
directory may not be one.
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
    """The owner of a file or directory that is neither root's nor this user's, with the command against it; "" else."""
    status = Path(path).stat()
    return "" if _ours(status.st_uid) else _foreign(Path(path), status)


def _way(path: str) -> tuple[Path, Path, str]:
    """Walk from / to the end of `path`, following links by hand: each could be changed between two looks at the whole.
    The entry, the directory that holds it, and the problem on the way."""
    todo = [part for part in path.split("/") if part and part != "."]
    done, holder, links = Path("/"), Path("/"), 0
    while todo:
        part = todo.pop(0)
        if part == "..":
            done = done.parent
            continue
        entry = done / part
        try:
            status = entry.lstat()
            problem = _within(done, status, entry)
        except OSError as error:
            problem = f"{entry}: {error.strerror}"
        if problem:
            return done, done, problem
        if stat.S_ISLNK(status.st_mode):
            links += 1
            if links > _MANY_LINKS:
                return done, done, f"{path}: too many links"
            target = str(entry.readlink())
            done = Path("/") if target.startswith("/") else done
            todo = [word for word in target.split("/") if word and word != "."] + todo
            continue
        done, holder = entry, done
    return done, holder, ""


def _within(directory: Path, status: os.stat_result, entry: Path) -> str:
    """An entry of `directory` on the way: others must not be able to replace it."""
    above = directory.stat()
    if not _ours(above.st_uid):
        return _foreign(directory, above)
    if _others_write(above) and not (above.st_mode & stat.S_ISVTX and _ours(status.st_uid)):
        return _writable(directory, above)
    return _foreign(entry, status) if stat.S_ISLNK(status.st_mode) and not _ours(status.st_uid) else ""


def _file(path: Path) -> str:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        return f"{path} is no file"
    return (
        _foreign(path, status) if not _ours(status.st_uid) else _writable(path, status) if _others_write(status) else ""
    )


def _holder(path: Path) -> str:
    status = path.stat()
    return (
        _foreign(path, status) if not _ours(status.st_uid) else _writable(path, status) if _others_write(status) else ""
    )


def _foreign(path: Path, status: os.stat_result) -> str:
    return f"{path} belongs to user {status.st_uid}: `chown root {path}`"


def _writable(path: Path, status: os.stat_result) -> str:
    return f"{path} may be written by others (mode {stat.S_IMODE(status.st_mode):04o}): `chmod go-w {path}`"


def _others_write(status: os.stat_result) -> bool:
    """The group of root, or of this user who is not root, is no other."""
    group = status.st_mode & stat.S_IWGRP and status.st_gid not in {0, os.getegid()}
    return bool(status.st_mode & stat.S_IWOTH or group)


def _ours(uid: int) -> bool:
    return uid in (0, os.geteuid()) or (uid == _nobody() and _maps_few())


def _nobody() -> int:
    return int(Path("/proc/sys/kernel/overflowuid").read_text(encoding="ascii"))


def _maps_few() -> bool:
    """In a user namespace the machine's root is shown as nobody."""
    return Path("/proc/self/uid_map").read_text(encoding="ascii").split() != ["0", "0", "4294967295"]
