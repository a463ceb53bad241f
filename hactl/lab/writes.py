"""The lab's stand-in database on every node (`hactl.lab.database`), and the writes that its servers accepted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from hactl.lab import spawn
from hactl.lab.cgroup import Cgroup
from hactl.lab.cluster import Lab
from hactl.lab.spec import CLIENT
from hactl.lab.system import LabError, run, wait_until

PORT = 3308


@dataclass(frozen=True, slots=True)
class Write:
    """A write that a server has accepted. `balancer`: the address of the HAProxy that it came through. Times in ms,
    CLOCK_BOOTTIME."""

    accepted_ms: float
    node: str
    balancer: str
    client: str
    number: int
    sent_ms: float


@dataclass(frozen=True, slots=True)
class Switch:
    """From one writer to another. `gap_ms`: from the last write that the old one accepted to the first of the new one,
    the longest of all balancers. `late`: writes that the old one accepted though they were sent, through the same
    balancer, after the new one had accepted one."""

    old: str
    new: str
    gap_ms: float
    late: tuple[Write, ...]


class Database:
    """One on each node. The files of their writes outlive them: no node deletes them."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._files = {name: lab.spec.path / f"writes-{name}" for name in lab.nodes}

    def start(self, names: Iterable[str] = ()) -> None:
        """Start it on these nodes (none named: on all), where it does not run; returns when it accepts."""
        for name in tuple(names) or tuple(self._lab.nodes):
            node = self._lab.node(name)
            group = node.group.child("backend/database")
            if not group.path.exists() or not group.pids():
                argv = [sys.executable, "-I", "-m", "hactl.lab.database", name, node.address, str(PORT)]
                node.start_other("database", [*argv, str(self._files[name])])
            wait_until(lambda n=name: self._accepts(n), deadline_s=20.0, goal=f"the database on {name} accepts")  # type: ignore[misc]

    def stop(self) -> None:
        """SIGKILL to all of them."""
        for node in self._lab.nodes.values():
            if node.powered and node.group.child("backend/database").path.exists():
                node.group.child("backend/database").kill()

    def writes(self, since_ms: float = 0.0) -> list[Write]:
        """Those that were accepted since then, in the order of their times."""
        writes = [write for file in self._files.values() if file.exists() for write in _read(file)]
        return sorted((write for write in writes if write.accepted_ms >= since_ms), key=lambda write: write.accepted_ms)

    def sessions(self, name: str) -> list[str]:
        """The balancers' connections to the server on a node, as the balancers' kernels have them."""
        target = f"{self._lab.node(name).address}:{PORT}"
        query = ("ss", "-Htn", "state", "established", "dst", target)
        powered = [node for node in self._lab.nodes.values() if node.powered]
        listed = {node.name: run(["ip", "netns", "exec", node.namespace, *query]) for node in powered}
        return [f"{name}: {line}" for name, lines in listed.items() for line in lines.splitlines()]

    def _accepts(self, name: str) -> bool:
        node = self._lab.node(name)
        listening = ["ss", "-Htln", "sport", "=", f":{PORT}"]
        return bool(run(["ip", "netns", "exec", node.namespace, *listening]).strip())


class Stream:
    """Clients that write all the time, each of them to each of `targets` (ADDRESS:PORT), while it is entered. `name`:
    how theirs begin."""

    def __init__(self, lab: Lab, *targets: str, clients: int = 4, interval_ms: float = 5.0, name: str = "c") -> None:
        self._lab, self._argv = lab, [name, str(clients), str(interval_ms), *targets]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        spec = self._lab.spec
        argv = [sys.executable, "-I", "-m", "hactl.lab.database", "write", *self._argv]
        command = spawn.attached(spec.namespace(CLIENT), Cgroup(Path(spec.cgroup)).child(CLIENT), argv)
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def switch(writes: list[Write], old: str, new: str) -> Switch:
    """The writes around the switch from `old` to `new`, which took over from it once. Raises LabError when one of them
    accepted none, or when they have no balancer in common."""
    before, after = ([write for write in writes if write.node == node] for node in (old, new))
    last = {write.balancer: write.accepted_ms for write in before}
    first = {write.balancer: write.accepted_ms for write in reversed(after)}
    if not first.keys() & last.keys():
        raise LabError(f"{len(before)} writes on {old}, {len(after)} on {new}: there was no switch")
    late = tuple(write for write in before if write.sent_ms > first.get(write.balancer, float("inf")))
    return Switch(old, new, max(first[name] - last[name] for name in first.keys() & last.keys()), late)


def _read(file: Path) -> list[Write]:
    """A last line that a power cut has cut short is left out."""
    writes = []
    for line in file.read_text().split("\n")[:-1]:
        accepted, node, balancer, client, number, sent = line.split()
        writes.append(Write(float(accepted), node, balancer, client, int(number), float(sent)))
    return writes
