"""Whether a file system can be mounted on this node, and whether something else mounts it, too."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from fencing.linux import mounts
from hactl.model.resources import NETWORK_TYPES, MountOptions, MountSpec
from hactl.resources.mount.check import command
from hactl.resources.mount.device import PROGRAMS, is_there, path_of

FSTAB = Path("/etc/fstab")
UNITS = Path("/etc/systemd/system")
_KERNEL_TYPES = Path("/proc/filesystems")
_MODULES = Path("/lib/modules")


def check_options(spec: MountSpec) -> list[str]:
    """The problems of the options on this node: something else mounts it, and programs that are missing."""
    found = [*_in_fstab(spec.options), *_as_unit(spec.options)]
    refused = found if spec.options.on_block_device else []
    return [f"{spec.name}: {problem}" for problem in (*refused, *missing(spec.options))]


def doubtful_options(spec: MountSpec) -> list[str]:
    """What can work, and is seldom meant: files that it hides, a network file system that is mounted at boot, too."""
    problems = [] if spec.options.on_block_device else [*_in_fstab(spec.options), *_as_unit(spec.options)]
    directory = Path(spec.options.directory)
    try:
        hides = not directory.is_mount() and directory.is_dir() and any(os.scandir(directory))
    except OSError:
        hides = False
    if hides:
        problems.append(
            f"{directory} is not empty on this node: what is in it is hidden while something is mounted on it"
        )
    return [f"{spec.name}: {problem}" for problem in problems]


def missing(options: MountOptions) -> Iterator[str]:
    """Programs, and what the kernel lacks, in words."""
    kind = kind_of(options)
    if kind is None and not shutil.which("blkid", path=PROGRAMS):
        yield "there is no program `blkid` to find the type: install util-linux, or give `type`"
    needed = ["mount"]
    if kind is not None:
        if kind in NETWORK_TYPES:
            needed.append(f"mount.{kind}")
        if options.on_block_device and (check := command(kind, options.fsck, "")):
            needed.append(check[0])
        if not kernel_knows(kind):
            yield f"the kernel does not know the file system {kind}, and has no module for it"
    for program in needed:
        if not shutil.which(program, path=PROGRAMS):
            yield f"there is no program `{program}` on this node: {_package(program)}"


def kind_of(options: MountOptions) -> str | None:
    """The kind of file system, where it is known without asking the device."""
    return options.type or (None if options.on_block_device else "nfs")


def kernel_knows(kind: str) -> bool:
    """Whether the kernel can mount it: by itself or by a module."""
    kind = {"smb3": "cifs", "nfs4": "nfs"}.get(kind, kind)
    try:
        known = {line.split()[-1] for line in _KERNEL_TYPES.read_text().splitlines() if line.strip()}
    except OSError:
        return True
    if kind in known or kind == "glusterfs":  # which a program serves
        return True
    modules = _MODULES / os.uname().release
    for name in ("modules.dep", "modules.builtin"):
        try:
            if re.search(rf"/{re.escape(kind)}\.ko", (modules / name).read_text()):
                return True
        except OSError:
            continue
    return False


def unready(options: MountOptions) -> str:
    """Why it could not be mounted here, "": it could. Starts no program."""
    path = path_of(options)
    by_link = path.startswith("/dev/disk/by-") and not Path("/dev/disk").is_dir()
    if path and not by_link and not is_there(path):
        return f"there is no block device {path} on this node"
    return "; ".join(missing(options))


def _in_fstab(options: MountOptions) -> Iterator[str]:
    try:
        lines = FSTAB.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return
    for number, line in enumerate(lines, 1):
        fields = [mounts.plain(field) for field in line.split()]
        if len(fields) < 2 or fields[0].startswith("#"):
            continue
        device, point, flags = fields[0], fields[1], (fields[3] if len(fields) > 3 else "defaults").split(",")
        if "noauto" in flags or not (point.rstrip("/") == options.directory or _same_device(device, options)):
            continue
        yield (
            f"{FSTAB} line {number} mounts {device} on {point} when this node boots, whether the group is here or not: "
            "delete the line (or add `noauto` to its options)"
        )


def _same_device(device: str, options: MountOptions) -> bool:
    if device == options.device:
        return True
    if not options.on_block_device:
        return False
    tag, equals, named = device.partition("=")
    other = MountOptions(f"{tag}={named.strip(chr(34))}" if equals else device, "/")
    ours = mounts.block_number(path_of(options))
    return bool(ours) and other.on_block_device and mounts.block_number(path_of(other)) == ours


def _as_unit(options: MountOptions) -> Iterator[str]:
    name = f"{unit_name(options.directory)}.mount"
    for wanted in (*UNITS.glob("*.wants"), *UNITS.glob("*.requires")):
        if (wanted / name).is_symlink():
            yield f"systemd mounts {options.directory} when this node boots: run `systemctl disable {name}`"
            return


def unit_name(path: str) -> str:
    """The name of the systemd unit for a path (systemd-escape(1), `--path`)."""
    escaped = []
    for number, byte in enumerate(os.fsencode(path.strip("/"))):
        char = chr(byte)
        plain = (char.isascii() and char.isalnum()) or char in ":_" or (char == "." and number > 0)
        escaped.append("-" if char == "/" else char if plain else f"\\x{byte:02x}")
    return "".join(escaped)


def _package(program: str) -> str:
    packages = {
        "e2fsck": "e2fsprogs",
        "xfs_repair": "xfsprogs",
        "btrfs": "btrfs-progs",
        "mount.nfs": "nfs-common",
        "mount.nfs4": "nfs-common",
        "mount.cifs": "cifs-utils",
        "mount.smb3": "cifs-utils",
        "mount.ceph": "ceph-common",
        "mount.glusterfs": "glusterfs-client",
        "mount": "mount",
    }
    return f"install {packages.get(program, 'it')}"
