"""Sockets that accept connections or datagrams in this network namespace, and whose they are: from /proc (proc(5))."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_FILES = (("tcp", "tcp"), ("tcp", "tcp6"), ("udp", "udp"), ("udp", "udp6"))
# include/net/tcp_states.h; a datagram socket that is bound and not connected is "closed".
_LISTENS = {"tcp": "0A", "udp": "07"}


class Listener(NamedTuple):
    """A socket that accepts at a port. `address`: as `ipaddress` spells it, `0.0.0.0` or `::` for all; `process`: its
    name, `command`: with its arguments; "" where they are not known."""

    protocol: str
    address: str
    port: int
    process: str = ""
    command: str = ""

    @property
    def everywhere(self) -> bool:
        """It accepts at every address."""
        return self.address in ("0.0.0.0", "::")


def listeners(proc: Path = Path("/proc")) -> list[Listener]:
    """All of them. Other users' processes have no names unless root asks."""
    sockets = []
    for protocol, file in _FILES:
        with contextlib.suppress(OSError):
            lines = (proc / "net" / file).read_text().splitlines()[1:]
            sockets += [(protocol, *fields) for line in lines if (fields := _fields(line, _LISTENS[protocol]))]
    names = _processes(proc, {inode for *_, inode in sockets})
    return [
        Listener(protocol, address, port, *names.get(inode, ("", ""))) for protocol, address, port, inode in sockets
    ]


def _fields(line: str, state: str) -> tuple[str, int, str] | None:
    words = line.split()
    if words[3] != state:
        return None
    address, _, port = words[1].partition(":")
    return _address(address), int(port, 16), words[9]


def _address(text: str) -> str:
    """Written as numbers of 32 bits in the machine's own order."""
    numbers = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    return str(ipaddress.ip_address(struct.pack(f"={len(numbers)}I", *numbers)))


def _processes(proc: Path, inodes: set[str]) -> dict[str, tuple[str, str]]:
    """Name and command of a process that has each socket."""
    names = {}
    for directory in proc.iterdir():
        if directory.name.isdigit():
            for inode in _sockets(directory):
                if inode in inodes:
                    with contextlib.suppress(OSError):
                        command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                        names[inode] = (directory / "comm").read_text().strip(), command.strip()
    return names


def _sockets(directory: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for entry in os.scandir(directory / "fd"):
            with contextlib.suppress(OSError):
                target = os.readlink(entry.path)  # noqa: PTH115 - thousands of them
                if target.startswith("socket:["):
                    yield target[8:-1]
