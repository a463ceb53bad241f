"""A unit of this node's systemd.

Without `bus` it is on DBUS_SYSTEM_BUS_ADDRESS, else on this machine's systemd.

Over D-Bus (org.freedesktop.systemd1(5)): a start or stop is done when its job is, and a unit's end is known
by a signal. The unit must not be enabled: hactl starts it, not the boot. Its variables HACTL_* are
written to `<state_dir>/env/<unit>` before each start, for an `EnvironmentFile=-` in the unit.

A drop-in (`hactl/resources/systemd/drop_in.py`) keeps everything else from starting it where the file
`<state_dir>/owned/<unit>` is not. That file is there from before hactl's start until before its stop.

A unit whose processes live on after its end (KillMode=process, SendSIGKILL=no) is not stopped; nor is one whose
companions run: what a socket, timer or path has started, the units of a target.

When the machine goes down, systemd stops the unit by itself, at the same time as hactl. That is no failure; hactl's own
stop then waits for systemd's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog
from jeepney import Message

from hactl.linux.atomic_write import write_atomically
from hactl.linux.dbus import BusError, CallError
from hactl.linux.drop_ins import DropIn
from hactl.linux.errors import OperationError
from hactl.linux.systemd import ENDED, UNIT, Systemd, UnitState, job_removed, properties_changed
from hactl.model.resources import SystemdSpec
from hactl.resources.base import NodeContext, Observation, ResourceError
from hactl.resources.systemd import boot, drop_in
from hactl.resources.systemd.companions import companions

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
    """One unit, with its companions."""

    def __init__(self, spec: SystemdSpec, context: NodeContext) -> None:
        self.spec = spec
        self.context = context
        unit = spec.options.unit
        self.unit = unit if "." in unit else f"{unit}.service"
        self._systemd = Systemd(spec.options.bus or "")
        plain = self.unit.replace("/", "-")
        self._env_file = Path(context.state_dir, "env", plain)
        self.guard_at_boot = spec.options.guard_at_boot
        # Other units that are resources of their own: none of them is a companion.
        self.others: frozenset[str] = frozenset()
        self.marker = Path(context.state_dir, "owned", plain)
        self._companions: list[str] = []
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
        self._mark()
        self._last = observation(state)
        if self._last.health != "running":
            self._write_env(env)
            await self._have_drop_ins()
            # A unit that failed too often is refused by its start limit; how often to try is hactl's matter.
            await self._forget_failures(self.unit)
            result = await self._job("StartUnit", self.unit)
            state = await self._state()
            self._last = observation(state)
            if result not in ("done", "unknown") or self._last.health != "running":
                raise ResourceError(self._not_started(result, state))
        await self._find_companions()
        self._wanted = True

    async def stop(self) -> None:
        """Stop the unit, then its companions; return when they are stopped and not about to be started again."""
        self._wanted = False
        self._unmark()
        await self._find_companions(more=True)
        for unit in self._all:
            if (state := await self._state(unit)).stopped:
                continue
            result = await self._job("StopUnit", unit)
            state = await self._state(unit)
            if not state.stopped:
                why = observation(state).detail or "active"
                raise ResourceError(f"{unit}: stop {result}, but it is {why}; what starts it (socket, timer)?")
        if (seen := (await self._look())[1]).health != "stopped":
            raise ResourceError(f"{self.unit}: {seen.detail}")

    async def kill(self) -> None:
        """SIGKILL to all its processes; return when it is stopped.

        The stop job comes first: a unit that is killed before it, and has Restart=, is up again before the
        stop, which then goes the slow way. Again and again, since ExecStop= and ExecStopPost= may run long.
        """
        self._wanted = False
        self._unmark()
        await self._find_companions(more=True)
        states, seen = await self._look()
        killed = seen.health != "stopped"
        until = asyncio.get_running_loop().time() + _KILL_TIMEOUT_S
        while seen.health != "stopped":
            if asyncio.get_running_loop().time() > until:
                raise ResourceError(f"{self.unit} after SIGKILL: {seen.detail or seen.health}: systemctl status")
            for unit, state in zip(self._all, states, strict=True):
                await self._kill_now(unit, state)
            states, seen = await self._stopped_within(_KILL_AGAIN_S)
        for unit in self._all if killed else ():
            await self._forget_failures(unit)  # it has not failed: it was killed

    async def probe(self) -> Observation:
        """Its state in systemd, and whether processes of it live on after its end."""
        await self._find_companions()
        if self._wanted and not self.marker.exists():
            self._mark()  # adopted from a version that made none, or removed with all of `run_dir`
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

        def another_changed(message: Message | None) -> None:
            if message is None or _changed_state(message) is not None:
                news.put_nowait(None)

        while True:
            try:
                await self._find_companions()
                async with contextlib.AsyncExitStack() as matches:
                    for unit in self._all:
                        signal = properties_changed((await self._state(unit)).path)
                        handler = changed if len(self._all) == 1 else another_changed
                        await matches.enter_async_context(self._systemd.bus.matching(signal, handler))
                    # A lost bus: the connection is made again, and the state is looked at then.
                    seen: Observation | None = None
                    while True:
                        await self._compare(seen or await self.probe(), report)
                        seen = await news.get()
            except BusError as error:
                log.warning("systemd.not_watched", unit=self.unit, error=str(error))
                await asyncio.sleep(_WATCH_AGAIN_S)

    def guard_steps(self) -> tuple[dict[str, Any], ...]:
        """Kill and stop the unit and its companions, on the systemd that it is on; and nothing starts it again. Raises
        ResourceError where the guard cannot reach that."""
        steps = [{"kind": "unit", "unit": unit} for unit in self._all]
        if not (address := self._systemd.address):
            return (*steps, {"kind": "unlink", "path": os.path.normpath(self.marker)})
        kind, _, path = address.partition("=")
        if kind != "unix:path":
            raise ResourceError(f"{self.unit}: the guard cannot reach the bus {address}: give it as unix:path=…")
        return tuple(step | {"bus": path} for step in steps)

    async def drop_ins(self) -> list[DropIn]:
        """The drop-ins that it needs: its own and its companions'; none for the units of another machine."""
        if self._systemd.address or not self.context.drop_ins.usable:
            return []
        state = await self._state()
        await self._find_companions()
        lasting, marker = self.guard_at_boot, str(self.marker)
        oneshot = await self._systemd.get(state.path, "Service", "Type") == "oneshot"
        names = [state.id or self.unit, *self._companions]
        texts = [
            drop_in.text(name, self.spec.name, marker, companion=name in self._companions, oneshot=oneshot)
            for name in names
        ]
        return [DropIn(name, text, lasting) for name, text in zip(names, texts, strict=True)]

    async def knows_drop_ins(self) -> bool:
        """Whether systemd has loaded its drop-in. Where the unit itself is not there, this cannot be seen."""
        state = await self._state()
        paths = await self._systemd.get(state.path, "Unit", "DropInPaths") or ()
        own = {str(self.context.drop_ins.file(wanted)) for wanted in await self.drop_ins()}
        return state.load != "loaded" or not own or bool(own & set(paths))

    async def id(self) -> str:
        """Its name in systemd, where the configured one is an alias."""
        return (await self._state()).id or self.unit

    async def boot_starters(self) -> str:
        """What else would start it at boot, or does so now, and what to do about that; "" for nothing."""
        if self.guard_at_boot:
            return ""
        await self._find_companions()
        return boot.told(await boot.starters(self._systemd, self._all, self.others))

    def disown(self) -> None:
        """Its group is another node's, and it does not run here: nothing may start it."""
        if not self._wanted:
            self._unmark()

    @property
    def _all(self) -> list[str]:
        return [self.unit, *self._companions]

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

    async def _state(self, unit: str = "") -> UnitState:
        if not (states := await self._systemd.states(unit or self.unit)):
            raise ResourceError(f"{unit or self.unit} is not a valid name of a unit")
        return states[0]

    async def _look(self) -> tuple[list[UnitState], Observation]:
        states = await self._systemd.states(*self._all)
        if len(states) != len(self._all):
            raise ResourceError(f"{self.unit} is not a valid name of a unit")
        if states[0].stopped:
            for unit, state in zip(self._all, states, strict=True):
                if left := await self._left(unit, state):
                    return states, Observation("failed", left)
            return states, observation(states[0])
        if self.unit.endswith(".target") and observation(states[0]).health == "running":
            for unit, state in zip(self._all, states, strict=True):
                if state.active == "failed":
                    return states, Observation("failed", f"{unit}, a part of {self.unit}, has failed")
        return states, observation(states[0])

    async def _left(self, unit: str, state: UnitState) -> str:
        """What is left of a unit that should be stopped; "" for nothing."""
        if not state.stopped:
            return f"{self.unit} is stopped, but {unit} is {observation(state).detail or 'active'}"
        if (cgroup := await self._systemd.remains(unit, state)) is None:
            return ""
        pids = ", ".join(map(str, cgroup.pids()[:5]))
        named = "" if unit == self.unit else f"{unit}: "
        return f"{named}systemd says {state.active}, but processes live on: {pids}"

    async def _find_companions(self, *, more: bool = False) -> None:
        """`more`: beside those that were there before, of which systemd may know no more."""
        if not self.unit.endswith(".service"):
            found = await companions(self._systemd, self.unit, (await self._state()).path, self.others)
            kept = [unit for unit in self._companions if unit not in found and unit not in self.others]
            self._companions = found + (kept if more else [])

    async def _have_drop_ins(self) -> None:
        """Before a start. Without them it can be started all the same: they keep others from it."""
        try:
            await self.context.drop_ins.ensure(await self.drop_ins(), self._systemd.reload)
        except (OSError, OperationError) as error:
            log.warning("systemd.drop_in_missing", unit=self.unit, error=str(error))

    async def _kill_now(self, unit: str, state: UnitState) -> None:
        # A unit without processes, or already gone, cannot be killed: the state decides.
        with contextlib.suppress(CallError):
            if state.job != "stop" and not state.stopped:
                await self._systemd.call("StopUnit", "ss", unit, "replace")
        with contextlib.suppress(CallError):
            await self._systemd.call("KillUnit", "ssi", unit, "all", 9)
        if (cgroup := await self._systemd.remains(unit, state)) is not None:
            cgroup.kill()

    async def _forget_failures(self, unit: str) -> None:
        with contextlib.suppress(CallError):
            await self._systemd.call("ResetFailedUnit", "s", unit)

    def _mark(self) -> None:
        """It is to run here: from now on it may be started."""
        try:
            self.marker.parent.mkdir(parents=True, exist_ok=True)
            self.marker.touch()
        except OSError as error:
            raise ResourceError(f"cannot write {self.marker}: {error.strerror}") from None

    def _unmark(self) -> None:
        try:
            self.marker.unlink(missing_ok=True)
        except OSError as error:  # the stop does not depend on it
            log.warning("systemd.marker_left", unit=self.unit, error=str(error))

    async def _stopped_within(self, timeout_s: float) -> tuple[list[UnitState], Observation]:
        """As `_look`, as soon as it is stopped, else after `timeout_s`."""
        until = asyncio.get_running_loop().time() + timeout_s
        while True:
            states, seen = await self._look()
            if asyncio.get_running_loop().time() >= until or seen.health == "stopped":
                return states, seen
            await asyncio.sleep(_STOPPED_POLL_S)

    async def _job(self, method: str, unit: str) -> str:
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
                (job,) = await self._systemd.call(method, "ss", unit, "replace")
            except CallError as error:
                raise ResourceError(f"{unit}: {error}") from None
            while job not in results and not lost:
                news.clear()
                await news.wait()
        while lost and (await self._state(unit)).job:  # noqa: ASYNC110
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


def same_unit(unit: str, id_: str, other: str, resource: str) -> str:
    """Two names of one unit, each in a resource."""
    called = f"{unit} is {id_}" if unit != id_ else f"{other} is {unit}"
    return f"{called}, which resource `{resource}` has, too: let one resource have it"


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
