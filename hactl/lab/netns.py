"""Named network namespaces, and calls inside one."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from hactl.lab.system import LabError, run

T = TypeVar("T")

DIRECTORY = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_libc = ctypes.CDLL(None, use_errno=True)


def path(namespace: str) -> Path:
    """The file that stands for it."""
    return DIRECTORY / namespace


def exists(namespace: str) -> bool:
    """Whether there is one of this name."""
    return path(namespace).exists()


def names(prefix: str) -> list[str]:
    """All whose name begins so."""
    return sorted(entry.name for entry in DIRECTORY.glob(f"{prefix}*")) if DIRECTORY.is_dir() else []


def remove(namespace: str) -> None:
    """Delete it; its content goes with its last process and socket. None is no error."""
    if exists(namespace):
        run(["ip", "netns", "del", namespace])


def enter(namespace: str) -> None:
    """Put the calling thread, and no other, into the namespace for good."""
    descriptor = os.open(path(namespace), os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise LabError(f"cannot enter the network namespace {namespace}: {os.strerror(number)}")
    finally:
        os.close(descriptor)


def inside(namespace: str, function: Callable[[], T]) -> T:
    """Call `function` in a thread that lives in the namespace: sockets that it opens stay there."""

    def body() -> T:
        enter(namespace)
        return function()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(body).result()


def link_down(namespace: str, link: str) -> None:
    """Take a link down by one system call: a power cut must not wait for another program to be started."""

    def ioctl() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            name = link.encode()
            answer = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sh14x", name, 0))
            flags = struct.unpack("16sh14x", answer)[1]
            fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", name, flags & ~_IFF_UP))

    inside(namespace, ioctl)


def set_sysctls(namespace: str, values: Mapping[str, str]) -> None:
    """Write settings below /proc/sys/net; those that this kernel does not have are left out."""

    def write() -> None:
        for name, value in values.items():
            file = Path("/proc/sys/net") / name
            if file.exists():
                file.write_text(value)

    inside(namespace, write)
