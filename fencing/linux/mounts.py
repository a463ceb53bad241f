"""The mounted file systems of this machine, in its own mount namespace and in others.

Sources: proc(5), `/proc/pid/mountinfo`; the kernel's filesystems/sharedsubtree. Nothing here asks a file system
anything, so nothing waits for a disk or a server. For the guard, too: standard library only, without pathlib.
"""

# ruff: noqa: PTH115, PTH116, PTH123, PTH208

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_OCTAL = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """A line of mountinfo. `device`: `major:minor` of the file system (of btrfs and network file systems an anonymous
    one, `0:…`); `root`: the directory of the file system that is mounted, on `point`."""

    number: int
    parent: int
    device: str
    root: str
    point: str
    options: tuple[str, ...]
    type: str
    source: str
    super_options: tuple[str, ...]


def parse(text: str) -> list[Mount]:
    """The mounts of a mountinfo file; a line that is none is left out."""
    return [mount for mount in map(_mount, text.splitlines()) if mount is not None]


def read(pid: int | str = "self") -> list[Mount]:
    """Those that a process sees. Raises OSError."""
    with open(f"/proc/{pid}/mountinfo", "rb") as file:
        return parse(os.fsdecode(file.read()))


def plain(text: str) -> str:
    """A field without its escapes: `\\040` is a space. Of fstab, too."""
    return _OCTAL.sub(lambda match: os.fsdecode(bytes([int(match[1], 8) & 255])), text)


def top(mounts: Iterable[Mount], point: str) -> Mount | None:
    """The mount that is seen on `point`: of several, the one on top."""
    on_it = [mount for mount in mounts if mount.point == point]
    covered = {mount.parent for mount in on_it}
    return next((mount for mount in on_it if mount.number not in covered), None)


def with_children(mounts: Iterable[Mount], roots: Iterable[Mount]) -> list[Mount]:
    """`roots` and everything that is mounted below them, in the order in which it can be unmounted."""
    children: dict[int, list[Mount]] = {}
    for mount in mounts:
        children.setdefault(mount.parent, []).append(mount)
    ordered: dict[int, Mount] = {}

    def add(mount: Mount) -> None:
        if mount.number in ordered:
            return
        for child in children.get(mount.number, ()):
            if child.number != mount.number:
                add(child)
        ordered[mount.number] = mount

    for root in roots:
        add(root)
    return list(ordered.values())


def block_number(path: str) -> str:
    """`major:minor` of a block device; "": there is no such device."""
    try:
        status = os.stat(path)
    except OSError:
        return ""
    return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}" if stat.S_ISBLK(status.st_mode) else ""


def device_name(number: str) -> str:
    """The kernel's name of a block device, such as `sda1`; "": it has none."""
    try:
        return os.path.basename(os.readlink(f"/sys/dev/block/{number}"))  # noqa: PTH119
    except OSError:
        return ""


def is_of(mount: Mount, number: str) -> bool:
    """Whether the mount's file system is on the block device of this number. That of btrfs has another number."""
    if not number:
        return False
    anonymous = mount.device.startswith("0:") and mount.source.startswith("/dev/")
    return mount.device == number or (anonymous and block_number(mount.source) == number)


def lives(file_system: str, number: str) -> bool:
    """Whether the kernel has the file system of this block device in use, mounted in whichever namespace or no longer
    in any. False also of kinds of file system that do not tell."""
    name = device_name(number)
    return bool(name) and os.access(f"/sys/fs/{file_system}/{name}", os.F_OK)


def namespaces() -> Iterator[tuple[int, str]]:
    """A process of every mount namespace but this process's own, and the namespace's name."""
    seen = {_namespace("self")}
    for name in os.listdir("/proc"):
        if name.isdigit() and (namespace := _namespace(name)) and namespace not in seen:
            seen.add(namespace)
            yield int(name), namespace


def _namespace(pid: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")
    except OSError:
        return ""  # it has ended


def _mount(line: str) -> Mount | None:
    fields = line.split(" ")
    try:
        end = fields.index("-", 6)
        number, parent = int(fields[0]), int(fields[1])
        file_system, source, super_options = fields[end + 1 : end + 4]
    except ValueError:
        return None
    return Mount(
        number,
        parent,
        fields[2],
        plain(fields[3]),
        plain(fields[4]),
        tuple(fields[5].split(",")),
        file_system,
        plain(source),
        tuple(plain(super_options).split(",")),
    )
