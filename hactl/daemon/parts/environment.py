"""Where the daemon and its guard live: cgroups, machine id, boot id."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from fencing.guard.client import GuardSpec
from hactl.config.node import NodeConfig
from hactl.daemon.parts.machine import read_boot_id, read_machine_id
from hactl.linux.cgroup import find_mount, prepare_root
from hactl.resources.base import NodeContext
from hactl.supervise import Tasks


@dataclass(frozen=True, slots=True)
class Place:
    """`cgroup_root`: where the resources' cgroups are. `daemon_cgroup`: the daemon's own, with its agents, which
    the guard kills as one; None where cgroups cannot be had."""

    cgroup_root: str | None
    daemon_cgroup: str | None
    machine_id: str
    boot_id: str


def find_place(config: NodeConfig) -> Place:
    """Look at this machine; move into a cgroup of our own where we share one with others."""
    root = config.cgroup_root or prepare_root()
    if root is not None:
        Path(root).mkdir(parents=True, exist_ok=True)
    machine_id = read_machine_id(config.machine_id_file)
    return Place(root, _own_cgroup(root), machine_id, read_boot_id(config.boot_id_file))


def node_context(config: NodeConfig, place: Place, tasks: Tasks) -> NodeContext:
    """Where the resources live. Their state need not survive a reboot."""
    resources = f"{place.cgroup_root}/resources" if place.cgroup_root else None
    state_dir = f"{config.run_dir}/resources"
    for directory in (resources, state_dir):
        if directory:
            with contextlib.suppress(OSError):  # full, say: a start there reports it, and running resources go on
                Path(directory).mkdir(parents=True, exist_ok=True)
    return NodeContext(config.node, state_dir, resources, place.daemon_cgroup, tasks)


def guard_spec(config: NodeConfig, place: Place) -> GuardSpec:
    """How to start a guard of this node."""
    cgroups = (f"{place.cgroup_root}/guard",) if place.cgroup_root else ()
    return GuardSpec(
        config.guard_socket,
        config.state_dir,
        cgroups,
        place.daemon_cgroup,
        config.self_fence,
        f"{config.run_dir}/guard.log",
        config.watchdog,
        config.watchdog_device,
    )


def _own_cgroup(root: str | None) -> str | None:
    """The cgroup v2 directory that holds this process and nobody else's. systemd gives one, a shell does not."""
    mount = find_mount()
    if root is None or mount is None:
        return None
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        if line.startswith("0::"):
            own = Path(mount + line[3:])
            if line[3:] != "/" and _only_us(own):
                return str(own)
    own = Path(root, "daemon")
    own.mkdir(exist_ok=True)
    (own / "cgroup.procs").write_text(str(os.getpid()))
    return str(own)


def _only_us(group: Path) -> bool:
    pids = (group / "cgroup.procs").read_text(encoding="utf-8").split()
    return pids == [str(os.getpid())]
