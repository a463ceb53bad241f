"""A disk that all nodes of a lab see, as machines see one of a storage network.

It is a file in memory. Each node has a loop device of its own on it, and so a cache and file systems of its own: that
one node mounts it is unknown to the others. Each node has a mount namespace, too, in which the disk is always at the
same place, and which ends with the node. A power cut has the file systems write nothing more (`FS_IOC_SHUTDOWN`): what
was not synced is lost, as it is with a machine. Needs root.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from fencing.linux import mounts
from hactl.lab.cgroup import Cgroup
from hactl.lab.privileges import in_user_namespace
from hactl.lab.spec import LabSpec, NodeName
from hactl.lab.system import LabError, run, wait_until

# _IOR('X', 125, __u32), and its argument: without writing the journal first.
_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2
_GONE_S = 10.0
# $1: the directory of the disk's device, $2 its number. The process holds the namespace.
_HOLD = 'mount -t tmpfs -o mode=755,dev none "$1" && mknod "$1/disk" b 7 "$2" && exec sleep infinity'


def image(spec: LabSpec) -> Path:
    """The file."""
    return Path(spec.memory) / "disk"


def device(name: str) -> str:
    """Where every node of the lab of this name has the disk."""
    return f"/dev/hactl-lab-{name}/disk"


def create(spec: LabSpec) -> None:
    """The file, with an empty ext4 file system, and each node's loop device on it."""
    if not spec.disk_megabytes:
        return
    if in_user_namespace():
        raise LabError("a disk needs root itself, not a user namespace")
    with image(spec).open("wb") as file:
        os.truncate(file.fileno(), spec.disk_megabytes << 20)
    run(["mkfs.ext4", "-q", str(image(spec))])
    Path(device(spec.name)).parent.mkdir(exist_ok=True)


def attach(spec: LabSpec, node: NodeName, group: Cgroup) -> None:
    """Give a node that is powered on its mount namespace, held by a process in `group`."""
    if not spec.disk_megabytes:
        return
    kept = _kept(spec, node)
    if not kept.exists():
        kept.write_text(run(["losetup", "-f", "--show", str(image(spec))]).strip())
    number = kept.read_text().removeprefix("/dev/loop")
    group.create()
    place = str(Path(device(spec.name)).parent)
    hold = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", _HOLD, "sh", place, number]
    joined = 'echo $$ >"$1/cgroup.procs" || exit 97; shift; setsid "$@" </dev/null >/dev/null 2>&1 &'
    run(["sh", "-c", joined, "sh", str(group.path), *hold])

    def there() -> bool:
        pid = holder(group)
        return pid is not None and Path(f"/proc/{pid}/root{device(spec.name)}").is_block_device()

    wait_until(there, deadline_s=10, goal=f"{node.name} has the disk")


def holder(group: Cgroup) -> int | None:
    """The process that holds a node's mount namespace; None: the node has none of its own."""
    return next(iter(group.pids()), None) if group.exists() else None


def cut(spec: LabSpec, node: NodeName, group: Cgroup) -> None:
    """Nothing of this node is written to the disk any more."""
    pid = holder(group) if spec.disk_megabytes else None
    if pid is None:
        return
    number = mounts.block_number(loop(spec, node))
    with contextlib.suppress(OSError):
        for mount in mounts.read(pid):
            if mount.device == number:
                _shut_down(f"/proc/{pid}/root{mount.point}")


def await_released(spec: LabSpec, node: NodeName) -> None:
    """Until the kernel has taken down the dead node's file systems."""
    if not spec.disk_megabytes or not _kept(spec, node).exists():
        return

    def released() -> bool:
        try:
            os.close(os.open(loop(spec, node), os.O_RDONLY | os.O_EXCL))
        except OSError:
            return False
        return True

    wait_until(released, deadline_s=_GONE_S, goal=f"nothing of {node.name} has the disk", every_s=0.005)


def remove(name: str, memory: Path) -> None:
    """Let the lab's loop devices go."""
    for loop_device in _loops(str(memory)):
        with contextlib.suppress(LabError):
            run(["losetup", "-d", loop_device])
    with contextlib.suppress(OSError):
        Path(device(name)).parent.rmdir()


def loop(spec: LabSpec, node: NodeName) -> str:
    """The node's loop device."""
    return _kept(spec, node).read_text()


def _kept(spec: LabSpec, node: NodeName) -> Path:
    return spec.path / node.name / "disk"


def _shut_down(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
    finally:
        os.close(descriptor)


def _loops(memory: str) -> Iterator[str]:
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            if file.read_text().startswith(f"{memory}/"):
                yield f"/dev/{file.parts[3]}"
