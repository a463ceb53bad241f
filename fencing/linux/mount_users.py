"""The processes that use a file system: by their directories, programs, open files and mapped files.

Links in /proc are read, not followed: a file on another file system whose server is gone holds nothing up.
Source: proc(5). For the guard, too: standard library only, without pathlib.
"""

# ruff: noqa: PTH115, PTH116, PTH123, PTH208

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import NamedTuple

_LINKS = {"cwd": "its directory", "root": "its root", "exe": "its program"}


class Sought(NamedTuple):
    """A file system. `numbers`: the mounts that it has in whichever namespace; `points`: where these are, by namespace;
    `device`: `major:minor`."""

    device: str
    numbers: Collection[int]
    points: Mapping[str, Collection[str]]


class User(NamedTuple):
    """A process that uses it, and by what."""

    pid: int
    name: str
    by: str

    def __str__(self) -> str:
        return f"{self.name} ({self.pid}, {self.by})"


def users(sought: Sought, *, deep: bool = False) -> list[User]:
    """The processes that use it. `deep`: every file and directory is asked for its file system, which finds those
    of one that is mounted nowhere any more, and waits for servers that are gone."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and (by := _use(name, sought, deep)):
            found.append(User(int(name), _comm(name), by))
    return found


def writers(number: str) -> list[User]:
    """The processes that have the block device itself open for writing: a check of the file system, say."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and any(_writes(name, file, number) for file in _files(name)):
            found.append(User(int(name), _comm(name), "the device itself"))
    return found


def _use(pid: str, sought: Sought, deep: bool) -> str:
    points = sought.points.get(_link(f"/proc/{pid}/ns/mnt"), ())
    for link, by in _LINKS.items():
        path = f"/proc/{pid}/{link}"
        if _is_below(_link(path), points) or (deep and _device_of(path) == sought.device):
            return by
    everywhere = [point for those in sought.points.values() for point in those]
    for file in _files(pid):
        path = f"/proc/{pid}/fd/{file}"
        named = _link(path)
        if _is_below(named, everywhere) and _mount_of(pid, file) in sought.numbers:
            return f"{named} is open"
        if deep and _device_of(path) == sought.device:
            return f"{named} is open"
    return "a mapped file" if _is_mapped(pid, sought.device, points) else ""


def _is_below(path: str, points: Collection[str]) -> bool:
    return any(path == point or path.startswith(f"{point.rstrip('/')}/") for point in points)


def _files(pid: str) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return []


def _fields(pid: str, file: str) -> Mapping[str, str]:
    try:
        with open(f"/proc/{pid}/fdinfo/{file}", encoding="ascii", errors="replace") as info:
            return dict(line.split(":", 1) for line in info.read(4096).splitlines() if ":" in line)
    except OSError:
        return {}


def _mount_of(pid: str, file: str) -> int:
    return int(_fields(pid, file).get("mnt_id", "-1"))


def _device_of(path: str) -> str:
    try:
        number = os.stat(path).st_dev
    except OSError:
        return ""
    return f"{os.major(number)}:{os.minor(number)}"


def _writes(pid: str, file: str, number: str) -> bool:
    path = f"/proc/{pid}/fd/{file}"
    if not _link(path).startswith("/"):
        return False
    try:
        device = os.stat(path).st_rdev if _link(path).startswith("/dev/") else 0
    except OSError:
        return False
    writable = int(_fields(pid, file).get("flags", "0"), 8) & os.O_ACCMODE != os.O_RDONLY
    return bool(device) and f"{os.major(device)}:{os.minor(device)}" == number and writable


def _is_mapped(pid: str, device: str, points: Collection[str]) -> bool:
    """Whether a file on the device, or below a point, is mapped. Most processes' maps are not taken apart."""
    try:
        with open(f"/proc/{pid}/maps", "rb") as file:
            text = file.read()
    except OSError:
        return False
    major, _, minor = device.partition(":")
    number = f" {int(major):02x}:{int(minor):02x} ".encode()
    if major != "0" and number in text:
        return True
    if not any(os.fsencode(point) in text for point in points):
        return False
    paths = (line.split(None, 5)[5:] for line in os.fsdecode(text).splitlines())
    return any(_is_below(path[0], points) for path in paths if path)


def _comm(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "?"


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
