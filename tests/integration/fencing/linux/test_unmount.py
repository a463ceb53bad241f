"""Unmounting for certain, with real disks (loop devices): whatever uses the file system, in whichever namespace."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fencing.linux import mount_users, mounts
from fencing.linux import unmount as module
from fencing.linux.unmount import Outcome, Target, Way, in_use, unmount
from tests.support.disks import attach, detach, disk, is_clean, sh

pytestmark = pytest.mark.root

DEAF = "trap '' TERM HUP; echo ready; while :; do sleep 0.1; done"


class Disk:
    """A mounted file system."""

    def __init__(self, device: str, point: Path) -> None:
        self.device, self.point = device, point
        self.processes: list[subprocess.Popen[str]] = []

    def unmount(self, **way: object) -> Outcome:
        return unmount(Target(str(self.point), self.device, self.device), Way(10.0, **way))  # type: ignore[arg-type]

    def start(self, *argv: str, cwd: Path | None = None) -> subprocess.Popen[str]:
        """A program; returns when it says that it is ready."""
        process = subprocess.Popen(argv, cwd=cwd or "/", stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        return process

    def mounted_in(self, pid: int | str = "self") -> list[str]:
        number = mounts.block_number(self.device)
        return [mount.point for mount in mounts.read(pid) if mounts.is_of(mount, number)]


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Disk]:
    point = tmp_path / "a mount point"
    point.mkdir()
    with disk(tmp_path / "image") as device:
        sh("mount", device, point)
        made = Disk(device, point)
        yield made
        for process in made.processes:
            process.kill()
            process.wait()


def released(data: Disk) -> bool:
    return not data.mounted_in() and not in_use(Target(str(data.point), data.device, data.device))


def test_one_that_nobody_uses(data: Disk) -> None:
    assert data.unmount() == Outcome("")
    assert released(data)
    assert data.unmount() == Outcome("")  # again


def use_by_directory(data: Disk) -> list[str]:
    (data.point / "below").mkdir()
    return ["sh", "-c", f"cd '{data.point}/below'; {DEAF}"]


def use_by_open_file(data: Disk) -> list[str]:
    return ["sh", "-c", f"exec 7>'{data.point}/file'; {DEAF}"]


def use_by_deleted_file(data: Disk) -> list[str]:
    return ["sh", "-c", f"exec 7>'{data.point}/file'; rm '{data.point}/file'; {DEAF}"]


def use_by_program(data: Disk) -> list[str]:
    shutil.copy("/bin/dash", data.point / "program")
    return [str(data.point / "program"), "-c", DEAF]


def use_by_mapped_file(data: Disk) -> list[str]:
    (data.point / "mapped").write_bytes(b"x" * 8192)
    script = (
        "import mmap, os, signal, time; signal.signal(15, signal.SIG_IGN); "
        f"f = open('{data.point}/mapped', 'r+b'); m = mmap.mmap(f.fileno(), 0); os.closerange(3, 99); "
        "print('ready', flush=True); time.sleep(600)"
    )
    return ["python3", "-c", script]


def use_by_root(data: Disk) -> list[str]:
    script = (
        f"import os, signal, time; signal.signal(15, signal.SIG_IGN); os.chroot('{data.point}'); "
        "print('ready', flush=True); time.sleep(600)"
    )
    return ["python3", "-c", script]


@pytest.mark.parametrize(
    "use",
    [use_by_directory, use_by_open_file, use_by_deleted_file, use_by_program, use_by_mapped_file, use_by_root],
)
def test_a_process_that_ignores_sigterm(data: Disk, use: object) -> None:
    process = data.start(*use(data))  # type: ignore[operator]
    beside = data.point.with_name(f"{data.point.name} too")
    beside.mkdir()
    others = subprocess.Popen(["sleep", "600"], cwd=beside)
    try:
        outcome = data.unmount(term_s=0.2)
        assert outcome.problem == ""
        assert str(process.pid) in " ".join(outcome.notes)
        assert process.wait(5) == -signal.SIGKILL
        assert others.poll() is None  # its directory only begins with the same name
    finally:
        others.kill()
        others.wait()
    assert released(data)


def test_a_process_that_ends_when_it_is_asked(data: Disk) -> None:
    process = data.start("sh", "-c", f"exec 7>'{data.point}/file'; trap 'exit 3' TERM; echo ready; sleep 600 & wait")
    begun = time.monotonic()
    assert data.unmount(term_s=8.0).problem == ""
    assert process.wait(5) == 3
    assert time.monotonic() - begun < 7.0  # nobody waited for the rest of the time


def test_a_process_that_is_spared_lives_and_is_named(data: Disk) -> None:
    process = data.start("sh", "-c", f"exec 7>'{data.point}/file'; {DEAF}")
    target = Target(str(data.point), data.device, data.device)
    assert unmount(target, Way(0.5, spare=[process.pid])).problem == f"{data.point} is busy"
    assert process.poll() is None


def test_what_is_mounted_below_and_what_it_is_bound_to(data: Disk, tmp_path: Path) -> None:
    inner, bound = data.point / "inner", tmp_path / "bound"
    inner.mkdir()
    bound.mkdir()
    sh("mount", "-t", "tmpfs", "none", inner)
    (inner / "deeper").mkdir()
    sh("mount", "-t", "tmpfs", "none", inner / "deeper")
    (inner / "deeper" / "file").write_text("x")
    user = data.start("sh", "-c", f"cd '{inner}/deeper'; {DEAF}")
    sh("mount", "--bind", data.point, bound)
    assert data.unmount(term_s=0.1).problem == ""
    assert user.wait(5) == -signal.SIGKILL
    assert not [mount for mount in mounts.read() if mount.point.startswith((str(data.point), str(bound)))]
    assert released(data)


def test_a_loop_device_and_a_swap_file_on_it(data: Disk, tmp_path: Path) -> None:
    swap, image, point = data.point / "swap", data.point / "image", tmp_path / "inner"
    swap.write_bytes(bytes(1 << 20))
    swap.chmod(0o600)
    sh("mkswap", swap)
    sh("swapon", swap)
    with image.open("wb") as file:
        os.truncate(file.fileno(), 4 << 20)
    sh("mkfs.ext4", "-q", image)
    loop = attach(image)
    point.mkdir()
    sh("mount", loop, point)
    try:
        assert data.unmount().problem == ""
    finally:
        sh("swapoff", swap, ok=False)
        sh("umount", point, ok=False)
        sh("losetup", "-d", loop, ok=False)
    assert released(data)


def test_another_mount_namespace_that_has_a_copy(data: Disk) -> None:
    """Its mounts did not go with ours (`unshare` makes them private): the file system is gone from there, too."""
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
    bystander = data.start(*argv, "echo ready; while :; do sleep 0.1; done")
    user = data.start(*argv, f"exec 7>'{data.point}/file'; {DEAF}")
    assert data.mounted_in(bystander.pid)
    outcome = data.unmount(term_s=0.1)
    assert outcome.problem == ""
    assert released(data)
    assert not data.mounted_in(bystander.pid)
    assert bystander.poll() is None
    assert user.wait(5) == -signal.SIGKILL


@pytest.mark.parametrize("use", [use_by_directory, use_by_open_file, use_by_program, use_by_mapped_file])
def test_a_lazy_unmount_is_not_taken_for_one(data: Disk, use: object) -> None:
    """Somebody has unmounted it lazily: its files are still written."""
    user = data.start(*use(data))  # type: ignore[operator]
    sh("umount", "-l", data.point)
    assert not data.mounted_in()
    target = Target(str(data.point), data.device, data.device)
    assert "is in use on this node" in in_use(target)
    assert "is in use on this node" in unmount(target, Way(0.3, spare=[user.pid])).problem
    assert data.unmount().problem == ""
    assert user.wait(5) == -signal.SIGKILL
    assert released(data)


def test_a_check_that_still_writes_to_the_device(data: Disk) -> None:
    """As a daemon that was killed leaves its `fsck`."""
    sh("umount", data.point)
    script = (
        f"import os, time; os.open('{data.device}', os.O_RDWR | os.O_EXCL); print('ready', flush=True); time.sleep(600)"
    )
    check = data.start("python3", "-c", script)
    assert f"python3 ({check.pid}, the device itself) has it open" in in_use(Target("/x", data.device, data.device))
    assert data.unmount().problem == ""
    assert check.wait(5) == -signal.SIGKILL


def test_another_disk_is_left_alone(data: Disk, tmp_path: Path) -> None:
    other_point = tmp_path / "other"
    other_point.mkdir()
    with disk(tmp_path / "other image") as other:
        sh("mount", other, other_point)
        assert unmount(Target(str(other_point), data.device, data.device), Way(5.0)).problem == ""
        assert released(data)
        assert mounts.top(mounts.read(), str(other_point)) is not None


def test_the_last_resort_of_a_server_that_is_gone(tmp_path: Path) -> None:
    """Neither the process that hangs in it ends, nor does force help: it is unmounted lazily, which is said. A file
    system in memory stands in, and a process that is spared."""
    point = tmp_path / "point"
    point.mkdir()
    sh("mount", "-t", "tmpfs", "server:/export", point)
    user = subprocess.Popen(["sleep", "600"], cwd=point)
    try:
        outcome = unmount(Target(str(point), "server:/export/"), Way(5.0, hurry=True, spare=[user.pid]))
        assert outcome.problem == ""
        assert "was unmounted lazily" in " ".join(outcome.notes)
        assert mounts.top(mounts.read(), str(point)) is None
        assert user.poll() is None
    finally:
        user.kill()
        user.wait()
        sh("umount", "-l", point, ok=False)


def test_in_a_hurry_what_was_synced_is_kept(data: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the data is not written back in time: as by a power cut."""
    monkeypatch.setattr(module, "_SYNC_S", 0.0)
    script = (
        f"import os, time; f = os.open('{data.point}/synced', os.O_WRONLY | os.O_CREAT); os.write(f, b'kept'); "
        f"os.fsync(f); os.fsync(os.open('{data.point}', 0)); os.write(f, b'x' * 4000000); print('ready', flush=True); "
        "time.sleep(600)"
    )
    data.start("python3", "-c", script)
    begun = time.monotonic()
    outcome = data.unmount(hurry=True)
    assert outcome.problem == ""
    assert "was cut off" in " ".join(outcome.notes)
    assert time.monotonic() - begun < 3.0
    assert released(data)
    sh("e2fsck", "-p", data.device)
    assert is_clean(data.device)
    sh("mount", data.device, data.point)
    assert (data.point / "synced").read_bytes()[:4] == b"kept"


def test_in_a_hurry_data_that_can_be_written_is(data: Disk) -> None:
    (data.point / "file").write_bytes(b"x" * 100_000)
    assert data.unmount(hurry=True) == Outcome("")
    sh("mount", data.device, data.point)
    assert (data.point / "file").stat().st_size == 100_000


def test_one_that_nobody_waits_for_any_more_stops_nothing(data: Disk) -> None:
    process = data.start("sh", "-c", f"exec 7>'{data.point}/file'; {DEAF}")
    assert data.unmount(given_up=lambda: True).problem
    assert process.poll() is None


def test_two_devices_on_one_file_are_as_two_machines(data: Disk, tmp_path: Path) -> None:
    """What the tests of a whole cluster rest on: neither knows of the other's mounts, and the one that comes later sees
    what the other has synced."""
    other, point = attach(tmp_path / "image"), tmp_path / "other"
    point.mkdir()
    try:
        assert in_use(Target("/x", data.device, data.device))
        assert in_use(Target("/x", other, other)) == ""
        (data.point / "file").write_text("from here")
        assert data.unmount().problem == ""
        sh("mount", other, point)
        assert (point / "file").read_text() == "from here"
        assert mount_users.users(mount_users.Sought(mounts.block_number(data.device), (), {})) == []
    finally:
        detach(other)
