"""Watches which nodes of a lab have the disk mounted, by the kernel's own messages: each mount and unmount is one, with
its time, so that none is missed between two looks."""

from __future__ import annotations

import contextlib
import os
import re
from typing import Self

from hactl.lab import disk
from hactl.lab.cluster import Lab

_LINE = re.compile(r"\d+,\d+,(\d+),[^;]*;EXT4-fs \((loop\d+)\): (mounted|unmounting) filesystem")


class Observer:
    """From now on."""

    def __init__(self, lab: Lab) -> None:
        self._nodes = {
            disk.loop(lab.spec, station).removeprefix("/dev/"): station.name for station in lab.spec.stations
        }
        self._messages = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self._messages, 0, os.SEEK_END)
        self._seen: list[tuple[int, str, bool]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._messages)

    def changes(self) -> list[tuple[int, str, bool]]:
        """Microseconds, node, and whether it mounted it (else: unmounted)."""
        with contextlib.suppress(BlockingIOError):
            while True:
                line = os.read(self._messages, 8192).decode(errors="replace")
                match = _LINE.match(line)
                if match and match[2] in self._nodes:
                    self._seen.append((int(match[1]), self._nodes[match[2]], match[3] == "mounted"))
        return self._seen

    def problems(self) -> list[str]:
        """The times at which two nodes had it mounted. BrokenPipeError: messages were lost."""
        held: set[str] = set()
        problems = []
        for at, node, mounted in self.changes():
            (held.add if mounted else held.discard)(node)
            if len(held) > 1:
                problems.append(f"at {at} µs {' and '.join(sorted(held))} have the disk mounted")
        return problems

    def mounts(self) -> int:
        """How often it was mounted."""
        return sum(mounted for _, _, mounted in self.changes())
