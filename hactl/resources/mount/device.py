"""The block device of a file system: where it is, when it appears, which kind of file system is on it."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

from hactl.linux.run import run
from hactl.model.resources import DEVICE_TAGS, MountOptions
from hactl.resources.base import ResourceError

# How often a device that is not there is looked for: udev makes a link some time after the kernel has the device.
_LOOK_S = 0.1
_BLKID_S = 10.0
# Its exit status when nothing was found.
_NOTHING = 2

PROGRAMS = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"
ENVIRONMENT = {"PATH": PROGRAMS, "LC_ALL": "C"}


def path_of(options: MountOptions) -> str:
    """The path at which udev has the device; "" for a network file system."""
    if not options.on_block_device:
        return ""
    tag, equals, named = options.device.partition("=")
    if tag in DEVICE_TAGS and equals:
        # As udev writes what cannot be in a file's name (libblkid, blkid_encode_string).
        encoded = "".join(
            char if char.isalnum() or char in "#+-.:=@_" or ord(char) > 127 else _hex(char) for char in named
        )
        return f"/dev/disk/by-{tag.lower()}/{encoded}"
    return options.device


def is_there(path: str) -> bool:
    """Whether there is a block device at this path."""
    try:
        return stat.S_ISBLK(Path(path).stat().st_mode)
    except OSError:
        return False


async def appears(options: MountOptions, within_s: float) -> str:
    """The path of the device as soon as it is there. Raises ResourceError when it is not, in time."""
    path = path_of(options)
    until = asyncio.get_running_loop().time() + within_s
    while not is_there(path):
        if asyncio.get_running_loop().time() > until:
            if found := await _by_blkid(options):
                return found
            raise ResourceError(f"{options.device}: {_missing(path)} (looked for it for {within_s:.0f} s)")
        if not os.path.isdir("/dev/disk") and (found := await _by_blkid(options)):  # noqa: ASYNC240, PTH112
            return found  # a machine without udev
        await asyncio.sleep(_LOOK_S)
    return path


async def file_system_on(path: str) -> str:
    """The kind of file system on a device, by `blkid`; "": none that it knows. Raises ResourceError."""
    argv = ["blkid", "-p", "-o", "value", "-s", "TYPE", path]
    done = await run(argv, timeout_s=_BLKID_S, env=ENVIRONMENT)
    if done.returncode == _NOTHING:
        return ""
    if not done.ok:
        raise ResourceError(f"{path}: blkid {done.describe()}")
    return done.stdout.strip()


def _missing(path: str) -> str:
    if os.path.exists(path):  # noqa: PTH110
        return f"{path} is not a block device"
    return f"there is no device {path} on this node; see `lsblk`, and whether its volume group is active (`vgs`)"


async def _by_blkid(options: MountOptions) -> str:
    tag, equals, _ = options.device.partition("=")
    if tag not in DEVICE_TAGS or not equals:
        return ""
    done = await run(["blkid", "-o", "device", "-t", options.device], timeout_s=_BLKID_S, env=ENVIRONMENT)
    found = done.stdout.split() if done.ok else []
    if len(found) > 1:
        raise ResourceError(f"{options.device} is not one device but several: {', '.join(found)}; give its path")
    return found[0] if found else ""


def _hex(char: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in char.encode())
