"""A node's power: its cord, the outlets that its supplies are plugged into, and its own controller.

A node has power while its cord is in, one of its outlets is on, and its controller has not switched it off. The parts
that are off are recorded in a file beside the node, for every process: the lab's commands and its power switch.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator

from hactl.lab.node import Node
from hactl.lab.spec import BMC, LabSpec, stage
from hactl.lab.system import LabError

CORD = "cord"


class Power:
    """One node's. `part` is CORD, BMC or one of the outlets (LabSpec.outlets)."""

    def __init__(self, spec: LabSpec, node: Node) -> None:
        self._outlets, self._node = spec.outlets, node
        self._file, self._lock = node.home / "power-off", node.home / "power.lock"

    def is_on(self, part: str) -> bool:
        """Whether this part is on, as it was last switched."""
        return part not in self._off()

    @property
    def flows(self) -> bool:
        """Whether the node has power."""
        off = self._off()
        return not off & {CORD, BMC} and not off >= set(self._outlets)

    def cut(self, part: str, done: Callable[[float], None] = lambda _: None) -> float:
        """Switch it off, and the node with it when nothing else gives it power. Returns the moment (CLOCK_BOOTTIME,
        ms) after which nothing of the node acted, 0 when it goes on; `done` is called with it at once, before the dead
        node is cleared away."""
        with self._alone():
            self._write(self._off() | {part})
            moment = 0.0 if self.flows else self._node.halt()
            done(moment)
            if moment:
                self._node.clear_away()
        return moment

    def give(self, part: str, done: Callable[[], None] = lambda: None) -> None:
        """Switch it on, and boot the node when that gives it the power that it had not. `done` is called between."""
        with self._alone():
            had = self.flows
            self._write(self._off() - {part})
            done()
            if self.flows and not had:
                self._node.boot()

    def pull(self) -> float:
        """Pull the cord of a node that runs, as by `cut`. Raises LabError for one that does not."""
        if not self._node.powered:
            raise LabError(f"{self._node.name} has no power")
        return self.cut(CORD)

    def restore(self) -> None:
        """Switch on all there is, and boot the node. Raises LabError when it runs."""
        with self._alone():
            self._write(set())
            self._node.boot()

    def _off(self) -> set[str]:
        try:
            return set(json.loads(self._file.read_text()))
        except FileNotFoundError:
            return set()

    def _write(self, off: set[str]) -> None:
        stage(self._file, json.dumps(sorted(off)))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time: a boot waits until the node that died before is cleared away."""
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
