"""Stopping a systemd unit for certain: by systemd's own socket and the unit's control group, without a program.

At the deadline the disk may have failed: `systemctl` might not even start. So the guard talks to systemd
itself: over systemd's private socket, as systemctl does for root, which needs no bus daemon, else over the system bus.
Source: org.freedesktop.systemd1(5).
"""

from __future__ import annotations

import contextlib
import time
from typing import Any, NamedTuple

from fencing.guard.dbus import CallError, Connection
from fencing.guard.proc import kill_cgroup, populated
from fencing.guard.sys import read_file

_PRIVATE = "/run/systemd/private"
_SYSTEM_BUS = "/run/dbus/system_bus_socket"
_NAME, _PATH = "org.freedesktop.systemd1", "/org/freedesktop/systemd1"
_MANAGER = "org.freedesktop.systemd1.Manager"

# How long one call may take, how long one attempt goes on, and how often it looks and kills again.
_CALL_S = 1.0
_ATTEMPT_S = 0.25
_LOOK_S = 0.01

_ENDED = ("inactive", "failed")
_STARTING_JOBS = ("start", "restart", "reload-or-start", "verify-active")
# The types of units that have a control group. Source: systemd.resource-control(5).
_WITH_CGROUP = ("service", "scope", "slice", "socket", "mount", "swap")


class UnitState(NamedTuple):
    """A unit as systemd sees it. `job`: the kind of job that is queued for it, "" for none."""

    active: str
    job: str
    path: str

    @property
    def stopped(self) -> bool:
        """Inactive and not about to be started again."""
        return self.active in _ENDED and self.job not in _STARTING_JOBS


def stop_unit(unit: str, bus: str | None = None) -> str:
    """Stop the unit and see whether it is: "" or the problem. May block, for `_ATTEMPT_S` and a call.

    A stop is queued first: it keeps systemd from restarting killed processes (Restart=), and from waiting for them.
    Processes that ExecStop= and ExecStopPost= start after that are killed in turn. `bus`: the path of the system bus of
    a systemd that is not this machine's own.
    """
    until = time.monotonic() + _ATTEMPT_S
    refused = ""
    with _connect(bus) as connection:
        manager = _Manager(connection)
        while True:
            state = manager.state(unit)
            cgroup = manager.cgroup(unit, state.path) if bus is None else ""
            # With KillMode=process, say, processes live on after the unit's end.
            if state.stopped and not (cgroup and populated(cgroup)):
                if state.active == "failed":  # it was killed
                    manager.try_call("ResetFailedUnit", "s", unit)
                return ""
            if time.monotonic() > until:
                job = f", {state.job} queued" if state.job else ", processes live on" if state.stopped else ""
                return f"{unit} is {state.active}{job}" + (f"; stop: {refused}" if refused else "")
            if state.job != "stop" and not state.stopped:
                refused = manager.try_call("StopUnit", "ss", unit, "replace")
            manager.try_call("KillUnit", "ssi", unit, "all", 9)
            # All at once, too, also the ones that fork; and they get the processor that it takes to die.
            if cgroup:
                kill_cgroup(cgroup, 0.0)
            time.sleep(_LOOK_S)


class _Manager:
    """systemd's manager. Everything raises OSError when the connection is lost."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def state(self, unit: str) -> UnitState:
        """The unit's state in systemd; also of one that it has not loaded."""
        ((unit_info, *_),) = self._call("ListUnitsByNames", "as", [unit])
        return UnitState(active=unit_info[3], job=unit_info[8], path=unit_info[6])

    def cgroup(self, unit: str, path: str) -> str:
        """The unit's control group in the v2 hierarchy; "" where it has none now."""
        kind = unit.rpartition(".")[2]
        mount = _cgroup2_mount()
        if kind not in _WITH_CGROUP or not mount:
            return ""
        interface, properties = f"{_NAME}.{kind.capitalize()}", "org.freedesktop.DBus.Properties"
        try:
            (group,) = self._connection.call(_NAME, path, properties, "Get", "ss", interface, "ControlGroup")
        except CallError:
            return ""
        return f"{mount}{group}" if group not in ("", "/") else ""

    def try_call(self, method: str, signature: str, *arguments: Any) -> str:
        """Call a method; why it was refused, or ""."""
        try:
            self._call(method, signature, *arguments)
            return ""
        except CallError as error:
            return str(error)

    def _call(self, method: str, signature: str, *arguments: Any) -> list[Any]:
        return self._connection.call(_NAME, _PATH, _MANAGER, method, signature, *arguments)


def _connect(bus: str | None) -> Connection:
    if bus is None:
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            return Connection(_PRIVATE, _CALL_S)
    connection = Connection(bus or _SYSTEM_BUS, _CALL_S)
    try:
        connection.call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello")
    except BaseException:
        connection.close()
        raise
    return connection


def _cgroup2_mount() -> str:
    """Where cgroup v2 is mounted; "" where it is not."""
    mounts = (line.split(" ") for line in read_file("/proc/self/mounts").splitlines())
    return next((fields[1] for fields in mounts if fields[2] == "cgroup2"), "")
