"""What else would start a unit: the boot, a socket, timer or path, another unit. Source: systemd.unit(5)."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from hactl.linux.systemd import Systemd, UnitState
from hactl.resources.systemd.companions import PULLED_BY

_ENABLED = ("enabled", "enabled-runtime", "linked-runtime")


class Starter(NamedTuple):
    """One of them, for people. `fix`: how to end it."""

    words: str
    fix: str


async def starters(systemd: Systemd, units: Collection[str], own: Collection[str]) -> list[Starter]:
    """Whatever starts one of these units and is none of hactl's (`own`). Raises OperationError."""
    found: dict[str, Starter] = {}
    for unit, state in zip(units, await systemd.states(*units), strict=False):
        if await _is_enabled(systemd, state):
            name = state.id or unit
            found[name] = Starter(f"{name} is enabled, and systemd starts it at boot", f"`systemctl disable {name}`")
        for name in await systemd.names(state.path, "TriggeredBy"):
            if name not in own and name not in units and (why := await _comes(systemd, name)):
                found[name] = Starter(f"{name}, which starts {unit}, {why}", f"`systemctl disable --now {name}`")
        for name in await systemd.names(state.path, *PULLED_BY):
            known = name in own or name in units or unit in found
            if not known and (why := await _comes(systemd, name)):
                found[name] = Starter(f"{name}, which pulls in {unit}, {why}", _left_out(unit, name))
    return list(found.values())


def _left_out(unit: str, name: str) -> str:
    if unit.endswith(".mount") and name in ("local-fs.target", "remote-fs.target"):
        return "give it the option `noauto` in /etc/fstab"
    return f"take {unit} out of {name} (`systemctl cat {name}`), or set `guard_at_boot: true`"


async def _comes(systemd: Systemd, unit: str) -> str:
    """Whether it is there, or will be after a boot."""
    if not (states := await systemd.states(unit)):
        return ""
    if await _is_enabled(systemd, states[0]):
        return "is enabled"
    return "is active" if states[0].active in ("active", "activating", "reloading") else ""


async def _is_enabled(systemd: Systemd, state: UnitState) -> bool:
    return await systemd.get(state.path, "Unit", "UnitFileState") in _ENABLED


def told(found: Collection[Starter]) -> str:
    """As a warning of this node's report: what is wrong, `: `, what to do; "" for nothing."""
    fixes = "; ".join(dict.fromkeys(starter.fix for starter in found))
    return f"{'; '.join(starter.words for starter in found)}: {fixes}" if found else ""
