"""The commands of `hactl lab …`: each function carries out one command and returns its output.

All raise LabError, whose message is for the operator (exit status 2).
"""

from __future__ import annotations

import signal
import sys
import threading
from dataclasses import dataclass, replace
from typing import Any, Literal

from hactl.lab import cleanup, etcd, faults, privileges
from hactl.lab.cluster import Lab
from hactl.lab.faults import Direction
from hactl.lab.spec import VIP, VIP_PORTS, LabSpec
from hactl.lab.switch import Fault
from hactl.lab.system import LabError


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One node as the lab sees it from outside. `power`: on, off, frozen or self-fenced; `etcd`: leader,
    follower, no leader or -."""

    name: str
    address: str
    power: str
    etcd: str
    daemon: int | None
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LabStatus:
    """The lab as it is. `cuts`: the partitions; `broken`: the switches that are out of order. In words."""

    name: str
    directory: str
    profile: str
    nodes: tuple[NodeStatus, ...]
    cuts: tuple[str, ...]
    broken: tuple[str, ...]

    def __str__(self) -> str:
        rows = [("NODE", "POWER", "ETCD", "DAEMON", "ADDRESSES")]
        for node in self.nodes:
            daemon = str(node.daemon) if node.daemon else "-"
            rows.append((node.name, node.power, node.etcd, daemon, " ".join(node.addresses) or "-"))
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = [f"lab {self.name} (profile {self.profile}) in {self.directory}"]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True)]
            lines.append("  ".join([*cells, row[4]]))
        return "\n".join([*lines, *(f"cut: {cut}" for cut in self.cuts), *self.broken])


def up(
    nodes: int = 3,
    profile: str = "default",
    directory: str = "",
    name: str = "lab",
    *,
    daemon: bool = True,
    fencing: bool = False,
    supplies: int = 1,
) -> LabStatus:
    """Bring a lab up: etcd, services, with `fencing` a power switch and, unless `daemon` is False, hactl."""
    privileges.ensure(sys.orig_argv)
    spec = LabSpec(name=name, nodes=nodes, profile=profile, directory=directory, fencing=fencing, supplies=supplies)
    if not daemon:
        spec = replace(spec, daemon=())
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a lab that is half up is taken down
    try:
        Lab(spec).up()
    finally:
        if not cleanup.labs():
            privileges.let_go()
    return status(name)


def down(name: str = "lab", *, every: bool = False, keep_files: bool = False) -> str:
    """Take a lab down, or every lab of which anything is left."""
    privileges.ensure(sys.orig_argv)
    names = cleanup.labs() if every else [name]
    if not every and name not in cleanup.labs():
        raise LabError(f"no lab {name!r} is up")
    for lab in names:
        cleanup.remove(lab, keep_files=keep_files)
    if not cleanup.labs():
        privileges.let_go()
    return f"down: {', '.join(names) or 'nothing was left'}"


def status(name: str = "lab") -> LabStatus:
    """Show the lab's state."""
    lab = _open(name)
    leader = lab.etcd_leader()
    nodes = []
    for node in lab.nodes.values():
        power = "frozen" if node.frozen else "on"
        if not node.powered:
            power = "self-fenced" if node.self_fenced else "off"
        role = "-"
        if power == "on" and (answer := etcd.status(lab.spec, node.name)):
            role = "leader" if node.name == leader else "follower" if answer.leader else "no leader"
        addresses = tuple(node.addresses()) if node.powered else ()
        nodes.append(NodeStatus(node.name, node.address, power, role, node.daemon_pid(), addresses))
    cuts = tuple(faults.in_force(lab.spec))
    broken = tuple(f"{unit}: {fault}" for unit, fault in lab.switch_faults.read().items())
    return LabStatus(name, lab.spec.directory, lab.spec.profile, tuple(nodes), cuts, broken)


def kill(node: str, name: str = "lab") -> str:
    """Cut a node's power."""
    moment = _open(name).kill(node)
    return f"{node}: power cut at {moment:.0f} ms since boot"


def start(node: str, name: str = "lab") -> str:
    """Power a node on again."""
    _open(name).start(node)
    return f"{node}: powered on"


def freeze(node: str, name: str = "lab") -> str:
    """Freeze all processes of a node, as a hypervisor does."""
    _open(name).node(node).freeze()
    return f"{node}: frozen"


def thaw(node: str, name: str = "lab") -> str:
    """Let all processes of a node go on."""
    _open(name).node(node).thaw()
    return f"{node}: goes on"


def partition(node: str, other: str, direction: Direction = "both", name: str = "lab") -> str:
    """Part a node from another, `peers`, `client`, `all` or `etcd`."""
    cuts = _open(name).partition(node, other, direction)
    return "\n".join(f"cut: {cut}" for cut in cuts)


def heal(name: str = "lab") -> str:
    """End every partition."""
    _open(name).heal()
    return "all is connected"


def switch(unit: str, fault: Fault | Literal["works"], name: str = "lab") -> str:
    """Put the power switch (or a node's second one, or the nodes' own controllers) out of order."""
    _open(name).switch_faults.set(unit, None if fault == "works" else fault)
    return f"{unit}: {fault}"


def probe(
    target: str = f"{VIP}:{VIP_PORTS['api-one']}",
    seconds: float = 10.0,
    interval_ms: float = 10.0,
    timeout_ms: float = 1000.0,
    name: str = "lab",
) -> dict[str, Any]:
    """Ask ADDRESS:PORT from the client for `seconds`; the longest outage, in ms, and the answers of each node."""
    client = _open(name).probe(target, interval_ms=interval_ms, timeout_ms=timeout_ms, seconds=seconds)
    return client.start().wait(seconds + timeout_ms / 1000 + 10.0).summary()


def _open(name: str) -> Lab:
    """The lab of this name. Without root, the command starts again in the lab's user namespace first."""
    privileges.ensure(sys.orig_argv)
    return Lab.open(name)
