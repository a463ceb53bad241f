"""Real disks in files: loop devices with a file system. Needs root."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fencing.linux import mounts


def sh(*argv: str | Path, ok: bool = True) -> str:
    """Run it; its output."""
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0 or not ok, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def attach(image: Path) -> str:
    """A loop device on a file. Several on one file are as one disk that several machines see: each has a cache and a
    file system of its own."""
    done = subprocess.run(["losetup", "-f", "--show", image], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no loop devices here: {done.stderr.strip()}")
    sh("blockdev", "--setrw", done.stdout.strip())
    return done.stdout.strip()


def detach(device: str) -> None:
    """Unmount all that is on it, here, and let it go."""
    for mount in [mount for mount in mounts.read() if mount.source == device]:
        sh("umount", "-l", mount.point, ok=False)
    sh("losetup", "-d", device, ok=False)


@contextlib.contextmanager
def disk(image: Path, kind: str = "ext4", megabytes: int = 16) -> Iterator[str]:
    """A disk with a file system: the path of its device."""
    make(image, kind, megabytes)
    device = attach(image)
    try:
        yield device
    finally:
        detach(device)


def make(image: Path, kind: str = "ext4", megabytes: int = 16) -> None:
    """The file, with a file system in it."""
    with image.open("wb") as file:
        os.truncate(file.fileno(), megabytes << 20)
    sh(f"mkfs.{kind}", "-q", image)


def damage(image: Path) -> None:
    """Damage that `e2fsck -p` does not repair by itself: the root directory is gone."""
    sh("debugfs", "-w", "-R", "clri <2>", image)
    sh("debugfs", "-w", "-R", "set_super_value state 2", image)


def is_clean(device: str) -> bool:
    """Whether a full check, which changes nothing, finds nothing."""
    done = subprocess.run(["e2fsck", "-f", "-n", device], capture_output=True, text=True, timeout=30, check=False)
    return done.returncode == 0
