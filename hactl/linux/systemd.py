"""The service manager: calls to systemd over D-Bus, the states of units, whether the machine goes down.

systemd of this machine is reached by its own socket, as `systemctl` does for root, else by the system bus. The bus is a
service like others: at a shutdown it may be gone before all is stopped that was started through it.
Source: org.freedesktop.systemd1(5), systemd.special(7).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jeepney import DBusAddress, new_method_call

from hactl.linux.cgroup import Cgroup, find_mount
from hactl.linux.dbus import CALL_TIMEOUT_S, Bus, BusError, CallError, Signal

NAME, PATH = "org.freedesktop.systemd1", "/org/freedesktop/systemd1"
UNIT = "org.freedesktop.systemd1.Unit"
ENDED = ("inactive", "failed")
STARTING_JOBS = ("start", "restart", "reload-or-start", "verify-active")

_MANAGER = DBusAddress(PATH, NAME, "org.freedesktop.systemd1.Manager")
_PRIVATE = "/run/systemd/private"
# systemd leaves its socket and its bus for a moment when it executes itself anew (`daemon-reexec`). All calls made here
# may be made twice.
_PATIENCE_S, _AGAIN_S = 3.0, 0.05
# With a thousand units it takes some seconds on a busy machine.
_RELOAD_S = 60.0
# The types of units that have a control group. Source: systemd.resource-control(5).
_WITH_CGROUP = ("service", "scope", "slice", "socket", "mount", "swap")
# Every way down goes over the first (reboot, poweroff, halt, kexec, soft-reboot), or to one of the others. The last
# starts hactl at the boot: where it is not there, and does not come, this is another way out of use.
_DOWN, _USE = ("shutdown.target", "rescue.target", "emergency.target"), "multi-user.target"


@dataclass(frozen=True, slots=True)
class UnitState:
    """A unit as systemd sees it. `job`: the kind of job that is queued for it, "" for none. `id`: its name, also where
    it was asked for by an alias."""

    load: str
    active: str
    sub: str
    job: str
    path: str
    id: str = ""

    @property
    def stopped(self) -> bool:
        """Ended, and not about to be started again. Processes that it left may live on."""
        return self.active in ENDED and self.job not in STARTING_JOBS

    @property
    def coming(self) -> bool:
        """It is there, or is about to be."""
        return self.job != "stop" and (self.active in ("active", "activating") or self.job in STARTING_JOBS)


class Systemd:
    """One systemd. `address`: the bus of another than this machine's own."""

    def __init__(self, address: str = "") -> None:
        self.address = address or os.environ.get("DBUS_SYSTEM_BUS_ADDRESS", "")

    async def call(self, method: str, signature: str | None = None, *arguments: Any) -> tuple[Any, ...]:
        """Call a method of the manager; tried again for a moment while systemd is away. Raises BusError, CallError."""
        return await self._call(_MANAGER, method, signature, *arguments)

    async def states(self, *units: str) -> list[UnitState]:
        """The states of units at one moment, in this order; fewer when a name is none. Raises BusError, CallError."""
        (rows,) = await self.call("ListUnitsByNames", "as", list(units))
        return [UnitState(load, active, sub, job, path, id_) for id_, _, load, active, sub, _, path, _, job, _ in rows]

    async def get(self, path: str, kind: str, name: str) -> Any:
        """A property of the unit at `path`; `kind`: "Unit", or its own kind ("Service"). None: it has none of this
        name. Raises BusError."""
        properties = DBusAddress(path, NAME, "org.freedesktop.DBus.Properties")
        try:
            ((_, value),) = await self._call(properties, "Get", "ss", f"{NAME}.{kind}", name)
        except CallError:
            return None  # there is no such unit, or this systemd is too old
        return value

    async def names(self, path: str, *properties: str) -> list[str]:
        """The units that these properties of the unit at `path` name, each once. Raises BusError."""
        names: dict[str, None] = {}
        for name in properties:
            names |= dict.fromkeys(await self.get(path, "Unit", name) or ())
        return list(names)

    async def reload(self) -> None:
        """Have it read all units again. Raises BusError, CallError."""
        await self._call(_MANAGER, "Reload", None, timeout_s=_RELOAD_S)

    async def remains(self, unit: str, state: UnitState) -> Cgroup | None:
        """The control group of a unit of this machine, while processes are in it; None where none are, or where it
        cannot be seen from here. Raises BusError."""
        kind, mount = unit.rpartition(".")[2], find_mount()
        if self.address or mount is None or kind not in _WITH_CGROUP:
            return None
        group = await self.get(state.path, kind.capitalize(), "ControlGroup")
        cgroup = Cgroup(f"{mount}{group}")
        return cgroup if group not in (None, "", "/") and cgroup.populated() else None

    async def goes_down(self) -> bool:
        """Whether the machine is shut down, or out of use for repair: what stops now is not to go on. Raises BusError,
        CallError."""
        return is_down(await self.states(*_DOWN, _USE))

    async def stops_everything(self) -> bool:
        """Whether systemd is just stopping what runs here, for that. Raises BusError, CallError."""
        return is_going_down(await self.states(*_DOWN, _USE))

    @property
    def bus(self) -> Bus:
        """The connection that all in this event loop share."""
        direct = "" if self.address or os.geteuid() != 0 else _PRIVATE
        # On a bus systemd sends signals only while someone has subscribed.
        return Bus.shared(self.address or "SYSTEM", new_method_call(_MANAGER, "Subscribe"), direct)

    async def _call(
        self, to: DBusAddress, method: str, signature: str | None, *arguments: Any, timeout_s: float = CALL_TIMEOUT_S
    ) -> tuple[Any, ...]:
        until = asyncio.get_running_loop().time() + _PATIENCE_S
        while True:
            try:
                return await self.bus.call(new_method_call(to, method, signature, arguments), timeout_s)
            except BusError:
                if asyncio.get_running_loop().time() > until:
                    raise
            await asyncio.sleep(_AGAIN_S)


def is_going_down(targets: Sequence[UnitState]) -> bool:
    """By the jobs for shutdown, rescue, emergency and multi-user, in this order. A machine on which hactl was started
    in the rescue mode, or without multi-user, is not on its way down: what ends there has failed."""
    *down, use = targets
    begun = any(target.job in STARTING_JOBS for target in down)
    return begun or use.job == "stop" or down[0].active in ("active", "activating")


def is_down(targets: Sequence[UnitState]) -> bool:
    """The same, or it has arrived there."""
    *down, use = targets
    return is_going_down(targets) or any(target.coming for target in down) or not use.coming


def job_removed() -> Signal:
    """A job has ended: its number, path, unit and result."""
    return Signal(NAME, PATH, "JobRemoved")


def properties_changed(path: str) -> Signal:
    """The unit at `path` has changed."""
    return Signal(NAME, path, "PropertiesChanged")
