"""Starting processes of the lab: inside a network namespace and a cgroup from their first instruction on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hactl.lab import netns
from hactl.lab.cgroup import Cgroup
from hactl.lab.system import run

# `ip netns exec` would mount another /sys, without the cgroups: nsenter does not. The shell joins the group
# before it starts anything; it then ends, so that the process is no child of the lab's.
_DETACHED = 'echo $$ >"$1/cgroup.procs" || exit 97; log=$2; shift 2; setsid "$@" </dev/null >>"$log" 2>&1 & echo $!'
_ATTACHED = 'echo $$ >"$1/cgroup.procs" || exit 97; shift; exec "$@"'


def detached(namespace: str, group: Cgroup, log: Path, argv: Sequence[str], mounts: int | None = None) -> int:
    """Start `argv` on its own, its output appended to `log`; in the mount namespace of process `mounts`, if one is
    named. Returns its process id."""
    group.create()
    return int(run([*_enter(namespace, mounts), "sh", "-c", _DETACHED, "sh", str(group.path), str(log), *argv]))


def attached(namespace: str, group: Cgroup, argv: Sequence[str], mounts: int | None = None) -> list[str]:
    """The command line by which a caller starts `argv` in there as a child of its own."""
    group.create()
    return [*_enter(namespace, mounts), "sh", "-c", _ATTACHED, "sh", str(group.path), *argv]


def _enter(namespace: str, mounts: int | None) -> list[str]:
    of_disk = [f"--mount=/proc/{mounts}/ns/mnt"] if mounts is not None else []
    return ["nsenter", f"--net={netns.path(namespace)}", *of_disk]
