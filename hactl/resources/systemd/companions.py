"""The units that run because of another one, and are stopped with it: what a socket, timer or path starts, and what a
target consists of. Source: systemd.unit(5).
"""

from __future__ import annotations

from collections.abc import Collection

from hactl.linux.systemd import Systemd

TRIGGERS = ("socket", "timer", "path", "automount")
# What a target may have of its own. Other targets and slices are places where units of everybody are.
_MEMBERS = ("service", "socket", "timer", "path", "mount", "automount")
_PULLS = ("Requires", "BindsTo", "Wants", "Upholds")
PULLED_BY = ("RequiredBy", "BoundBy", "WantedBy", "UpheldBy")


async def companions(systemd: Systemd, unit: str, path: str, own: Collection[str] = ()) -> list[str]:
    """The companions of the unit at `path`, without those that are resources of their own (`own`). Raises
    OperationError."""
    if _kind(unit) not in (*TRIGGERS, "target"):
        return []
    found: list[str] = []
    queue = [(unit, path)]
    while queue:
        for name in await _next_to(systemd, *queue.pop(0)):
            if name != unit and name not in found and name not in own:
                found.append(name)
                if states := await systemd.states(name):
                    queue.append((name, states[0].path))
    return found


async def _next_to(systemd: Systemd, unit: str, path: str) -> list[str]:
    if _kind(unit) in TRIGGERS:
        return await systemd.names(path, "Triggers")
    if _kind(unit) != "target":
        return []
    parts = await systemd.names(path, "ConsistsOf")
    members = [name for name in await systemd.names(path, *_PULLS) if name not in parts and _kind(name) in _MEMBERS]
    return parts + [name for name in members if not await _is_shared(systemd, name, unit)]


async def _is_shared(systemd: Systemd, unit: str, target: str) -> bool:
    """Whether others than the target have use for it, too, so that it goes on without the target."""
    states = await systemd.states(unit)
    return not states or any(name != target for name in await systemd.names(states[0].path, *PULLED_BY))


def _kind(unit: str) -> str:
    return unit.rpartition(".")[2]
