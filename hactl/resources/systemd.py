"""Kind `systemd`: a unit of this node's systemd.

Without `bus` it is on DBUS_SYSTEM_BUS_ADDRESS, else on this machine's systemd.

Over D-Bus (org.freedesktop.systemd1(5)): a start or stop is done when its job is, and a unit's end is known
by a signal. The unit must not be enabled: hactl starts it, not the boot. Its variables HACTL_* are
written to `<state_dir>/env/<unit>` before each start, for an `EnvironmentFile=-` in the unit.

A unit whose processes live on after its end (KillMode=process, SendSIGKILL=no) is not stopped.

When the machine goes down, systemd stops the unit by itself, at the same time as hactl. That is no failure; hactl's own
stop then waits for systemd's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog
from jeepney import Message

from hactl.linux.atomic_write import write_atomically
from hactl.linux.dbus import BusError, CallError
from hactl.linux.systemd import ENDED, UNIT, Systemd, UnitState, job_removed, properties_changed
from hactl.model.resources import SystemdSpec
from hactl.resources.base import NodeContext, Observation, ResourceError

log = structlog.get_logger(__name__)

_RUNNING = ("active", "reloading", "refreshing")
_KILL_AGAIN_S = 0.2
_KILL_TIMEOUT_S = 10.0
_STOPPED_POLL_S = 0.01
_LOOK_AGAIN_S = 0.2
_WATCH_AGAIN_S = 1.0

Report = Callable[[Observation], None]


def observation(state: UnitState) -> Observation:
    """A unit's state in hactl's terms."""
    if state.active in _RUNNING:
        return Observation("running")
    if state.stopped:
        return Observation("stopped", "" if state.active == "inactive" else "systemd calls it failed")
    return Observation("failed", f"systemd says {state.active} ({state.sub})" + (f", {state.job}" if state.job else ""))


class Unit:
    """One unit."""

    def __init__(self, spec: SystemdSpec, context: NodeContext) -> None:
        self.spec = spec
        self.context = context
        unit = spec.options.unit
        self.unit = unit if "." in unit else f"{unit}.service"
        self._systemd = Systemd(spec.options.bus or "")
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
        self._last = observation(state)
        if self._last.health != "running":
            self._write_env(env)
            # A unit that failed too often is refused by its start limit; how often to try is hactl's matter.
            with contextlib.suppress(CallError):
                await self._systemd.call("ResetFailedUnit", "s", self.unit)
            result = await self._job("StartUnit")
            state = await self._state()
            self._last = observation(state)
            if result not in ("done", "unknown") or self._last.health != "running":
                raise ResourceError(self._not_started(result, state))
        self._wanted = True

    async def stop(self) -> None:
        """Stop the unit; return when it is stopped and not about to be started again."""
        self._wanted = False
        if not (await self._state()).stopped:
            result = await self._job("StopUnit")
            state = await self._state()
            if not state.stopped:
                why = observation(state).detail or "active"
                raise ResourceError(f"{self.unit}: stop {result}, but it is {why}; what starts it (socket, timer)?")
        if (seen := await self.probe()).health != "stopped":
            raise ResourceError(f"{self.unit}: {seen.detail}")

    async def kill(self) -> None:
        """SIGKILL to all its processes; return when it is stopped.

        The stop job comes first: a unit that is killed before it, and has Restart=, is up again before the
        stop, which then goes the slow way. Again and again, since ExecStop= and ExecStopPost= may run long.
        """
        self._wanted = False
        state, seen = await self._look()
        until = asyncio.get_running_loop().time() + _KILL_TIMEOUT_S
        while seen.health != "stopped":
            if asyncio.get_running_loop().time() > until:
                raise ResourceError(f"{self.unit} is {state.active} ({state.sub}) after SIGKILL: systemctl status")
            # A unit without processes, or already gone, cannot be killed: the state decides.
            with contextlib.suppress(CallError):
                if state.job != "stop" and not state.stopped:
                    await self._systemd.call("StopUnit", "ss", self.unit, "replace")
            with contextlib.suppress(CallError):
                await self._systemd.call("KillUnit", "ssi", self.unit, "all", 9)
            if (cgroup := await self._systemd.remains(self.unit, state)) is not None:
                cgroup.kill()
            state, seen = await self._stopped_within(_KILL_AGAIN_S)

    async def probe(self) -> Observation:
        """Its state in systemd, and whether processes of it live on after its end."""
        return (await self._look())[1]

    async def monitor(self) -> Observation:
        """As `probe`; a deeper test is a resource of its own."""
        seen = await self.probe()
        return Observation("running") if await self._is_taken_down(seen) else seen

    async def ready(self) -> str:
        """Whether systemd has the unit."""
        return _unusable(self.unit, (await self._state()).load)

    async def watch(self, report: Report) -> None:
        """Report every change that was not asked for, by systemd's signals."""
        # None: ended, perhaps for the blink of an eye on the way to a restart; or not known. To be asked.
        news: asyncio.Queue[Observation | None] = asyncio.Queue()

        def changed(message: Message | None) -> None:
            state = _changed_state(message) if message is not None else None
            if state is not None:
                news.put_nowait(observation(state) if state.active not in ENDED else None)
            elif message is None:
                news.put_nowait(None)

        while True:
            try:
                state = await self._state()
                async with self._systemd.bus.matching(properties_changed(state.path), changed):
                    # A lost bus: the connection is made again, and the state is looked at then.
                    seen: Observation | None = None
                    while True:
                        await self._compare(seen or await self.probe(), report)
                        seen = await news.get()
            except BusError as error:
                log.warning("systemd.not_watched", unit=self.unit, error=str(error))
                await asyncio.sleep(_WATCH_AGAIN_S)

    def guard_steps(self) -> tuple[dict[str, Any], ...]:
        """Kill and stop the unit, on the systemd that it is on. Raises ResourceError where the guard cannot reach
        that."""
        step = {"kind": "unit", "unit": self.unit}
        if not (address := self._systemd.address):
            return (step,)
        kind, _, path = address.partition("=")
        if kind != "unix:path":
            raise ResourceError(f"{self.unit}: the guard cannot reach the bus {address}: give it as unix:path=…")
        return (step | {"bus": path},)

    async def _compare(self, seen: Observation, report: Report) -> None:
        if self._wanted is None:
            self._wanted = seen.health == "running"
            if not self._wanted:
                report(seen)
        elif self._wanted and seen != self._last:
            if await self._is_taken_down(seen):
                log.info("systemd.goes_down", unit=self.unit, health=seen.health, detail=seen.detail)
                return
            log.warning("systemd.changed", unit=self.unit, health=seen.health, detail=seen.detail)
            report(seen)
        self._last = seen

    async def _is_taken_down(self, seen: Observation) -> bool:
        """Whether it does not run because systemd stops it, as everything else on this machine."""
        return bool(seen.health != "running" and self._wanted and await self._systemd.stops_everything())

    async def _state(self) -> UnitState:
        if not (states := await self._systemd.states(self.unit)):
            raise ResourceError(f"{self.unit} is not a valid name of a unit")
        return states[0]

    async def _look(self) -> tuple[UnitState, Observation]:
        state = await self._state()
        if state.stopped and (cgroup := await self._systemd.remains(self.unit, state)) is not None:
            pids = ", ".join(map(str, cgroup.pids()[:5]))
            return state, Observation("failed", f"systemd says {state.active}, but processes live on: {pids}")
        return state, observation(state)

    async def _stopped_within(self, timeout_s: float) -> tuple[UnitState, Observation]:
        """As `_look`, as soon as it is stopped, else after `timeout_s`."""
        until = asyncio.get_running_loop().time() + timeout_s
        while True:
            state, seen = await self._look()
            if asyncio.get_running_loop().time() >= until or seen.health == "stopped":
                return state, seen
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

        async with self._systemd.bus.matching(job_removed(), removed):
            try:
                (job,) = await self._systemd.call(method, "ss", self.unit, "replace")
            except CallError as error:
                raise ResourceError(f"{self.unit}: {error}") from None
            while job not in results and not lost:
                news.clear()
                await news.wait()
        while lost and (await self._state()).job:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_AGAIN_S)
        return results.get(job, "unknown")

    def _not_started(self, result: str, state: UnitState) -> str:
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


def _changed_state(message: Message) -> UnitState | None:
    """The state in a PropertiesChanged signal of a unit; None when it tells of something else."""
    if message.body[0] != UNIT:
        return None
    properties = {name: value for name, (_, value) in message.body[1].items()}
    if "ActiveState" not in properties:
        return None
    # Of the job the signal has the number alone, and a signal comes before and after each.
    return UnitState("loaded", properties["ActiveState"], properties.get("SubState", ""), "", "")
