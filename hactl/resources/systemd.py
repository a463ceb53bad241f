"""Kind `systemd`: a unit of this node's systemd.

Without `bus` it is on DBUS_SYSTEM_BUS_ADDRESS, else on the system bus.

Over D-Bus (org.freedesktop.systemd1(5)): a start or stop is done when its job is, and a unit's end is known
by a signal. The unit must not be enabled: hactl starts it, not the boot. Its variables HACTL_* are
written to `<state_dir>/env/<unit>` before each start, for an `EnvironmentFile=-` in the unit.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from jeepney import DBusAddress, HeaderFields, Message, new_method_call

from hactl.linux.atomic_write import write_atomically
from hactl.linux.dbus import Bus, BusError, CallError
from hactl.model.resources import SystemdSpec
from hactl.resources.base import NodeContext, Observation, ResourceError

log = structlog.get_logger(__name__)

_NAME, _PATH = "org.freedesktop.systemd1", "/org/freedesktop/systemd1"
_MANAGER = DBusAddress(_PATH, _NAME, "org.freedesktop.systemd1.Manager")
_UNIT = "org.freedesktop.systemd1.Unit"
_RUNNING = ("active", "reloading", "refreshing")
_ENDED = ("inactive", "failed")
_KILL_AGAIN_S = 0.2
_KILL_TIMEOUT_S = 10.0
_STOPPED_POLL_S = 0.01
_LOOK_AGAIN_S = 0.2
_WATCH_AGAIN_S = 1.0
_STARTING_JOBS = ("start", "restart", "reload-or-start", "verify-active")

Report = Callable[[Observation], None]


@dataclass(frozen=True, slots=True)
class State:
    """A unit as systemd sees it. `job`: the kind of job that is queued for it, "" for none."""

    load: str
    active: str
    sub: str
    job: str
    path: str

    def observation(self) -> Observation:
        """In hactl's terms. It is stopped only if it is not about to be started again."""
        if self.active in _RUNNING:
            return Observation("running")
        if self.active in _ENDED and self.job not in _STARTING_JOBS:
            return Observation("stopped", "" if self.active == "inactive" else "systemd calls it failed")
        return Observation("failed", f"systemd says {self.active} ({self.sub})" + (f", {self.job}" if self.job else ""))


class Unit:
    """One unit."""

    def __init__(self, spec: SystemdSpec, context: NodeContext) -> None:
        self.spec = spec
        self.context = context
        unit = spec.options.unit
        self.unit = unit if "." in unit else f"{unit}.service"
        self._address = spec.options.bus or "SYSTEM"
        self._env_file = Path(context.state_dir, "env", self.unit.replace("/", "-"))
        # Whether its changes are news: it should run, and no action is under way. None: not yet known, an earlier
        # daemon may have started it.
        self._wanted: bool | None = None
        self._last: Observation | None = None

    async def start(self, env: Mapping[str, str]) -> None:
        """Start the unit; return when systemd says that it is active."""
        # Its changes until it is active were asked for: no news.
        self._wanted = False
        state = await self._state()
        if problem := _unusable(self.unit, state.load):
            raise ResourceError(problem)
        self._last = state.observation()
        if self._last.health != "running":
            self._write_env(env)
            # A unit that failed too often is refused by its start limit; how often to try is hactl's matter.
            with contextlib.suppress(CallError):
                await self._manager("ResetFailedUnit", "s", self.unit)
            result = await self._job("StartUnit")
            state = await self._state()
            self._last = state.observation()
            if result not in ("done", "unknown") or self._last.health != "running":
                raise ResourceError(self._not_started(result, state))
        self._wanted = True

    async def stop(self) -> None:
        """Stop the unit; return when it is stopped and not about to be started again."""
        self._wanted = False
        state = await self._state()
        if state.observation().health == "stopped":
            return
        result = await self._job("StopUnit")
        state = await self._state()
        if state.observation().health != "stopped":
            seen = state.observation().detail or "active"
            raise ResourceError(f"{self.unit}: stop {result}, but it is {seen}; what starts it (socket, timer)?")

    async def kill(self) -> None:
        """SIGKILL to all its processes; return when it is stopped.

        The stop job comes first: a unit that is killed before it, and has Restart=, is up again before the
        stop, which then goes the slow way. Again and again, since ExecStop= and ExecStopPost= may run long.
        """
        self._wanted = False
        state = await self._state()
        until = asyncio.get_running_loop().time() + _KILL_TIMEOUT_S
        while state.observation().health != "stopped":
            if asyncio.get_running_loop().time() > until:
                raise ResourceError(f"{self.unit} is {state.active} ({state.sub}) after SIGKILL: systemctl status")
            # A unit without processes, or already gone, cannot be killed: the state decides.
            with contextlib.suppress(CallError):
                if state.job != "stop":
                    await self._manager("StopUnit", "ss", self.unit, "replace")
            with contextlib.suppress(CallError):
                await self._manager("KillUnit", "ssi", self.unit, "all", 9)
            state = await self._stopped_within(_KILL_AGAIN_S)

    async def probe(self) -> Observation:
        """Its state in systemd."""
        return (await self._state()).observation()

    async def monitor(self) -> Observation:
        """As `probe`; a deeper test is a resource of its own."""
        return await self.probe()

    async def ready(self) -> str:
        """Whether systemd has the unit."""
        return _unusable(self.unit, (await self._state()).load)

    async def watch(self, report: Report) -> None:
        """Report every change that was not asked for, by systemd's signals."""
        looking = asyncio.Event()

        def changed(message: Message | None) -> None:
            state = _changed_state(message) if message is not None else None
            if state is not None and state.active not in _ENDED:
                self._compare(state.observation(), report)
            elif state is not None or message is None:
                # Ended: perhaps for the blink of an eye, on the way to a restart. Or it is not known. To be asked.
                looking.set()

        while True:
            try:
                state = await self._state()
                async with self._bus().matching(*_signals("PropertiesChanged", state.path), changed):
                    # A lost bus: the connection is made again, and the state is looked at then.
                    while True:
                        looking.clear()
                        self._compare((await self._state()).observation(), report)
                        await looking.wait()
            except BusError as error:
                log.warning("systemd.not_watched", unit=self.unit, error=str(error))
                await asyncio.sleep(_WATCH_AGAIN_S)

    def guard_steps(self) -> tuple[dict[str, Any], ...]:
        """Kill and stop the unit, on the systemd that it is on. Raises ResourceError where the guard cannot reach
        that."""
        step = {"kind": "unit", "unit": self.unit}
        address = self._address if self._address != "SYSTEM" else os.environ.get("DBUS_SYSTEM_BUS_ADDRESS", "")
        if not address:
            return (step,)
        kind, _, path = address.partition("=")
        if kind != "unix:path":
            raise ResourceError(f"{self.unit}: the guard cannot reach the bus {address}: give it as unix:path=…")
        return (step | {"bus": path},)

    def _compare(self, seen: Observation, report: Report) -> None:
        if self._wanted is None:
            self._wanted = seen.health == "running"
            if not self._wanted:
                report(seen)
        elif self._wanted and seen != self._last:
            log.warning("systemd.changed", unit=self.unit, health=seen.health, detail=seen.detail)
            report(seen)
        self._last = seen

    def _bus(self) -> Bus:
        # systemd sends signals only while someone has subscribed.
        return Bus.shared(self._address, new_method_call(_MANAGER, "Subscribe"))

    async def _manager(self, method: str, signature: str, *arguments: Any) -> tuple[Any, ...]:
        return await self._bus().call(new_method_call(_MANAGER, method, signature, arguments))

    async def _state(self) -> State:
        (units,) = await self._manager("ListUnitsByNames", "as", [self.unit])
        if not units:
            raise ResourceError(f"{self.unit} is not a valid name of a unit")
        _, _, load, active, sub, _, path, _, job, _ = units[0]
        return State(load, active, sub, job, path)

    async def _stopped_within(self, timeout_s: float) -> State:
        """Its state as soon as it is stopped, else after `timeout_s`."""
        until = asyncio.get_running_loop().time() + timeout_s
        while True:
            state = await self._state()
            if asyncio.get_running_loop().time() >= until or state.observation().health == "stopped":
                return state
            await asyncio.sleep(_STOPPED_POLL_S)

    async def _job(self, method: str) -> str:
        """Queue a job and wait for its end; its result, "unknown" when the bus was lost meanwhile."""
        results: dict[str, str] = {}
        news = asyncio.Event()
        lost = False

        def removed(message: Message | None) -> None:
            nonlocal lost
            if message is None:
                lost = True
            else:
                _, path, _, result = message.body
                results[path] = result
            news.set()

        async with self._bus().matching(*_signals("JobRemoved", _PATH), removed):
            try:
                (job,) = await self._manager(method, "ss", self.unit, "replace")
            except CallError as error:
                raise ResourceError(f"{self.unit}: {error}") from None
            while job not in results and not lost:
                news.clear()
                await news.wait()
        while lost and (await self._state()).job:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_AGAIN_S)
        return results.get(job, "unknown")

    def _not_started(self, result: str, state: State) -> str:
        if result == "done" and state.active == "inactive":
            return f"{self.unit} was started and has ended: a oneshot service needs RemainAfterExit=yes"
        return f"{self.unit}: start {result}, it is {state.active} ({state.sub}): journalctl -u {self.unit}"

    def _write_env(self, env: Mapping[str, str]) -> None:
        lines = "".join(f"{name}={value}\n" for name, value in env.items())
        text = f"# Written by hactl before each start of {self.unit}.\n{lines}"
        try:
            self._env_file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._env_file, text, durable=False)
        except OSError as error:
            raise ResourceError(f"cannot write {self._env_file}: {error.strerror}") from None


def _unusable(unit: str, load: str) -> str:
    """Why a unit that is loaded so cannot be started; "": it can."""
    match load:
        case "loaded":
            return ""
        case "not-found":
            return f"there is no unit {unit} on this node: install it, or fix the name"
        case "masked":
            return f"{unit} is masked: systemctl unmask {unit}"
    return f"{unit} cannot be loaded ({load}): systemctl status {unit}"


def _changed_state(message: Message) -> State | None:
    """The state in a PropertiesChanged signal of a unit; None when it tells of something else."""
    if message.body[0] != _UNIT:
        return None
    properties = {name: value for name, (_, value) in message.body[1].items()}
    if "ActiveState" not in properties:
        return None
    # Of the job the signal has the number alone, and a signal comes before and after each.
    return State("loaded", properties["ActiveState"], properties.get("SubState", ""), "", "")


def _signals(member: str, path: str) -> tuple[str, Callable[[Message], bool]]:
    """The match rule for a signal of systemd's, and whether a message is one."""

    def matches(message: Message) -> bool:
        fields = message.header.fields
        return bool(fields.get(HeaderFields.path) == path and fields.get(HeaderFields.member) == member)

    return f"type='signal',sender='{_NAME}',path='{path}',member='{member}'", matches
