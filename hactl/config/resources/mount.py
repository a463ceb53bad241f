"""Kind `mount`: a file system that moves with its group."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, model_validator

from hactl.config.fields import FilePath, Line, Part, setting, wrong
from hactl.model import resources as of

# What is no file system with data of its own on a device.
_NO_DATA = {"swap", "tmpfs", "ramfs", "proc", "sysfs", "devtmpfs", "devpts", "cgroup", "cgroup2", "overlay", "none"}
# What the system itself needs: something mounted there hides it.
_SYSTEM = {"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/root", "/run", "/sbin", "/sys"}
_SYSTEM |= {"/tmp", "/usr", "/var", "/var/lib", "/var/run", "/var/tmp"}
_KERNELS = ("/proc", "/sys", "/dev")
# hactl's own, as they are by default.
OWN = ("/etc/hactl", "/var/lib/hactl", "/run/hactl", "/opt/hactl", "/var/log/hactl")
# Options that belong to fstab or to another use of mount(8), with what to do.
_NOT_HERE = {
    "bind": "mount the file system itself",
    "rbind": "mount the file system itself",
    "move": "mount the file system itself",
    "remount": "leave it out",
    "loop": "give a block device: a file in a local file system does not move with the group",
    "auto": "leave it out: hactl mounts it",
    "noauto": "leave it out: it is one of /etc/fstab",
    "nofail": "leave it out: it is one of /etc/fstab",
    "_netdev": "leave it out: it is one of /etc/fstab",
    "user": "leave it out: only hactl may mount it",
    "users": "leave it out: only hactl may mount it",
    "owner": "leave it out: only hactl may mount it",
    "group": "leave it out: only hactl may mount it",
    "bg": "leave it out: hactl must know whether it is mounted",
}


def _directory(value: str) -> str:
    path = value.rstrip("/") or "/"
    if any(part in (".", "..", "") for part in path.split("/")[1:]) and path != "/":
        raise wrong(f"`{value}` has `.`, `..` or `//` in it", "write the path without them")
    if path == "/" or path in _SYSTEM or any(path.startswith(f"{kernels}/") for kernels in _KERNELS):
        raise wrong(f"a file system on `{path}` would hide what the system needs", "give a directory of its own")
    for own in OWN:
        if f"{path}/".startswith(f"{own}/") or f"{own}/".startswith(f"{path}/"):
            raise wrong(f"`{path}` would hide hactl's own {own}, or be in it", "give a directory of its own")
    return path


def _device(value: str) -> str:
    tag, equals, named = value.partition("=")
    if tag in of.DEVICE_TAGS and equals:
        if not named or "/" in named:
            raise wrong(f"`{value}` names no device", f"such as {tag}=data; `blkid` shows them")
        return value
    if value.startswith("/dev/"):
        if any(part in (".", "..", "") for part in value.split("/")[1:]):
            raise wrong(f"`{value}` has `.`, `..` or `//` in it", "write the path without them")
        return value
    if value.startswith("//") or re.match(r"[^/\s]+:/|[^/\s]+@[^/\s]*=/", value):
        return value
    hint = "give a block device (/dev/vg0/db, UUID=…, LABEL=…), or host:/export"
    raise wrong(f"`{value}` is neither a block device nor a directory of a server", hint)


def _option(value: str) -> str:
    if not value or "," in value or value.strip() != value:
        raise wrong(f"`{value}` is not one option", 'write each by itself: ["noatime", "nodev"]')
    name = value.partition("=")[0]
    if name in _NOT_HERE:
        raise wrong(f"the option `{name}` has no place here", _NOT_HERE[name])
    if name.startswith("x-") or name == "comment":
        raise wrong(f"the option `{name}` is for systemd and /etc/fstab", "leave it out")
    return value


def _type(value: str) -> str:
    if value in _NO_DATA:
        raise wrong(f"`{value}` is no file system with data on a device", "such as ext4, xfs, nfs4")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", value):
        raise wrong(f"`{value}` is no kind of file system", "such as ext4, xfs, nfs4")
    return value


Option = Annotated[Line, AfterValidator(_option)]


class Mount(Part):
    """A file system that is mounted on the node where the group runs. On a block device it needs `fencing: required`:
    two nodes that mount it destroy it."""

    OF: ClassVar[Any] = of.MountOptions

    device: Annotated[Line, AfterValidator(_device)] = setting(
        "a block device (a path below /dev, UUID=…, LABEL=…, PARTUUID=…, PARTLABEL=…), or host:/export",
        examples=["/dev/vg0/db"],
    )
    directory: Annotated[FilePath, AfterValidator(_directory)] = setting(
        "the mount point; made if it is not there", examples=["/var/lib/mysql"]
    )
    type: Annotated[str, AfterValidator(_type)] | None = setting(
        "the kind of file system; default: found by `blkid`, `nfs` for host:/export", None, examples=["ext4"]
    )
    options: list[Option] = setting("options of mount(8), one each", [], examples=[["noatime"]])
    fsck: of.Fsck = setting(
        "before a mount of a block device: `auto`: replay the journal, and repair what is safe to repair (`fsck -p`); "
        "`force`: check everything, every time; `never`: nothing. What needs a person is never mounted",
        "auto",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for problem, hint in self._contradictions():
            raise wrong(problem, hint)
        return self

    def _contradictions(self) -> Iterator[tuple[str, str]]:
        block = self.made().on_block_device
        if block and self.type in of.NETWORK_TYPES:
            yield f"is of type {self.type}, and `{self.device}` is a block device", "give host:/export as `device`"
        if not block and self.type is not None and self.type not in of.NETWORK_TYPES:
            hint = f"give a block device, or one of the types {', '.join(of.NETWORK_TYPES)}"
            yield f"is of type {self.type}, and `{self.device}` is a directory of a server", hint
        if not block and self.type is None and self.device.startswith("//"):
            yield f"`{self.device}` needs a `type`", "such as `type: cifs`"
        if not block and self.fsck == "force":
            yield "has `fsck: force`, and its server checks the file system", "leave out `fsck`"
        if "ro" in self.options and self.fsck == "force":
            yield "has `fsck: force`, which writes, and the option `ro`", "leave out one of them"
        if {"ro", "rw"} <= set(self.options):
            yield "has both options `ro` and `rw`", "give one of them"
