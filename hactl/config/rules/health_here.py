"""What health checks name, on this machine: programs, directories, interfaces. For `hactl config check` and `apply`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fencing.linux.trusted import untrusted
from hactl.config.load import Loaded
from hactl.config.rules.findings import Finding
from hactl.linux.run import find_command
from hactl.model.health import CheckSpec

_PRESSURE, _INTERFACES = Path("/proc/pressure"), Path("/sys/class/net")


def health_here(loaded: Loaded, node: str) -> Iterator[Finding]:
    """Each would fail on this node at once. A command that cannot be run is refused where this is a node of the
    cluster; all else is a remark: on other nodes it may be there."""
    here = any(known.name == node for known in loaded.spec.nodes)
    for index, check in enumerate(loaded.spec.health):
        path = ("health", index)
        if check.command:
            if problem := find_command(check.command[0], cwd="/"):
                yield Finding((*path, "command"), problem, "install it on every node", here)
            elif check.command[0].startswith("/") and (open_ := untrusted(check.command[0])):
                reason, _, fix = open_.partition(": `")
                yield Finding((*path, "command"), f"others may change {check.command[0]}: {reason}", f"`{fix}", False)
        for where, problem in _missing(check):
            yield Finding((*path, *where), problem, "this node would fail it", False)


def _missing(check: CheckSpec) -> Iterator[tuple[tuple[str, str], str]]:
    if check.disk and not Path(check.disk.path).is_dir():
        yield ("disk", "path"), f"there is no directory {check.disk.path} here"
    if check.link and not (_INTERFACES / check.link.interface).exists():
        yield ("link", "interface"), f"there is no interface {check.link.interface} here"
    for name in ("memory", "io", "cpu") if check.pressure else ():
        if getattr(check.pressure, name) and not (_PRESSURE / name).exists():
            yield ("pressure", name), "this machine's kernel has no pressure stall information: boot it with `psi=1`"
