"""Watches which nodes of a lab have the disk mounted, by the kernel's list of living file systems: every millisecond,
on a thread. (The kernel's messages would not do: it leaves some out when there are many.)"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import Self

from hactl.lab import disk
from hactl.lab.cluster import Lab

_LOOK_S = 0.001


class Observer:
    """From `with` on."""

    def __init__(self, lab: Lab) -> None:
        self._entries = {
            Path("/sys/fs/ext4", Path(disk.loop(lab.spec, station)).name): station.name for station in lab.spec.stations
        }
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        # Each change: seconds, and the nodes that have it mounted from then on.
        self._seen: list[tuple[float, frozenset[str]]] = []
        self.longest_pause_s = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def holders(self) -> frozenset[str]:
        """Those that have it mounted now."""
        return self._seen[-1][1] if self._seen else frozenset()

    def mounts(self) -> int:
        """How often it was mounted."""
        return sum(bool(held) for _, held in self._seen)

    def problems(self) -> list[str]:
        """The times at which two nodes had it mounted."""
        return [
            f"at {at:.3f} s {' and '.join(sorted(held))} have it mounted" for at, held in self._seen if len(held) > 1
        ]

    def _watch(self) -> None:
        with contextlib.suppress(OSError):  # before ordinary processes, so that it looks as often on a busy machine
            os.sched_setscheduler(threading.get_native_id(), os.SCHED_RR, os.sched_param(1))
        before = time.monotonic()
        while not self._ended.is_set():
            held = frozenset(node for entry, node in self._entries.items() if entry.exists())
            now = time.monotonic()
            self.longest_pause_s, before = max(self.longest_pause_s, now - before), now
            if held != self.holders():
                self._seen.append((now, held))
            time.sleep(_LOOK_S)
