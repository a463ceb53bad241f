"""Units as this node's systemd has them, for `hactl config check`; nothing where systemd cannot be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from hactl.linux.errors import OperationError
from hactl.model.resources import SystemdSpec
from hactl.resources.base import NodeContext
from hactl.resources.systemd.unit import Unit, same_unit

_TIMEOUT_S = 5.0


def problems(spec: SystemdSpec, units: dict[str, str]) -> list[str]:
    """Why it cannot be started here. `units`: the names of the units before it, by the resource that has each."""

    async def look(unit: Unit) -> list[str]:
        if why := await unit.ready():
            return [why]
        id_ = await unit.id()
        if id_ in units:
            return [same_unit(unit.unit, id_, units[id_].rpartition(" ")[0], units[id_].rpartition(" ")[2])]
        units[id_] = f"{unit.unit} {spec.name}"
        return []

    return _asked(spec, look)


def doubts(spec: SystemdSpec) -> list[str]:
    """What else would start it."""

    async def look(unit: Unit) -> list[str]:
        said = await unit.boot_starters()
        return [said] if said else []

    return _asked(spec, look)


def _asked(spec: SystemdSpec, look: Callable[[Unit], Awaitable[list[str]]]) -> list[str]:
    async def ask() -> list[str]:
        async with asyncio.timeout(_TIMEOUT_S):
            return await look(Unit(spec, NodeContext("check", "/nonexistent", None)))

    try:
        return asyncio.run(ask())
    except (OperationError, TimeoutError):
        return []
