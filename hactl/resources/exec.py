"""Kind `exec`: a command of the operator's.

Either `command`: a foreground process, supervised (process.py); `ready`, polled after the start until it ends
with status 0; `monitor`, a deeper test. Or `start`, `stop`, `monitor` and, optionally, `kill`: commands that
do so (agents). All are lists of words, no shell. They get HACTL_GROUP, HACTL_RESOURCE, HACTL_NODE,
HACTL_EPOCH and HACTL_CLUSTER.

The exit status of an agent's `monitor`: 0 it runs; 3 (Linux Standard Base) or 7 (OCF) it does not
run; anything else: it is not well. After a `stop` that ended with 0, any status but 0 means stopped.

Processes that a `monitor` or `ready` leaves running when it ends are killed, else there would be one more each time.

Where an agent's commands run, and what becomes of the processes that they leave: action_runner.py.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hactl.linux.aside import aside
from hactl.linux.errors import OperationError
from hactl.linux.run import Completed, find_command, run, service_environment
from hactl.model.resources import ExecSpec
from hactl.resources.action_runner import ActionRunner
from hactl.resources.base import NodeContext, Observation, ResourceError
from hactl.resources.process import Supervised

_NOT_RUNNING = (3, 7)
_READY_POLL_S = 0.1
# Where its commands are looked for, which may be on a file system whose server is gone.
_LOOK_S = 2.0
# The daemon cancels a stop at its timeout; SIGKILL must come before that.
_TERM_SHARE = 0.8
_ACTIONS = ("command", "ready", "start", "stop", "kill", "monitor")

Report = Callable[[Observation], None]


class Process:
    """`exec` with `command`: a supervised process."""

    def __init__(self, spec: ExecSpec, context: NodeContext, group: str = "") -> None:
        """Raises ResourceError when the options are wrong."""
        self.spec = spec
        given = spec.options
        if given.command is None:
            raise ResourceError(f"{spec.name}: command is missing")
        self._ready, self._monitor = given.ready, given.monitor
        self._env = _base_env(spec, context, group)
        self._name = _full_name(spec, group)
        self.process = Supervised(self._name, given.command, context, env=self._env, cwd=given.cwd)
        self._started = asyncio.Event()
        self._stopping = False

    async def start(self, env: Mapping[str, str]) -> None:
        """Start the process; return when it runs, and `ready`, if there is one, ends with 0."""
        self._env.update(env)
        self._stopping = False
        await self.process.start(self._env)
        self._started.set()
        while self._ready and not (await self._run(self._ready)).ok:
            if not self.process.running():
                raise ResourceError(f"{self.spec.name}: {self.process.how_ended()} before it was ready")
            await asyncio.sleep(_READY_POLL_S)

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL when four fifths of the timeout are over; return when nothing of it lives."""
        self._stopping = True
        await self.process.stop(self.spec.stop_timeout_ms * _TERM_SHARE / 1000)

    async def kill(self) -> None:
        """SIGKILL; return when nothing of it lives."""
        self._stopping = True
        await self.process.kill()

    async def probe(self) -> Observation:
        """Whether it runs."""
        return self.process.observe()

    async def monitor(self) -> Observation:
        """Whether it runs and its `monitor` ends with 0."""
        seen = self.process.observe()
        if seen.health != "running" or self._monitor is None:
            return seen
        done = await self._run(self._monitor)
        return seen if done.ok else Observation("failed", f"monitor {done.describe()}", certain=False)

    async def ready(self) -> str:
        """Whether its commands exist."""
        return await _missing_commands(self._name, self.spec)

    async def watch(self, report: Report) -> None:
        """Report at once when the process ends by itself."""
        while True:
            await self.process.wait()
            if self.process.running():
                # Started again before this task had its turn.
                continue
            self._started.clear()
            if not self._stopping:
                seen = self.process.observe()
                report(Observation(seen.health, seen.detail or self.process.how_ended()))
            await self._started.wait()

    def guard_steps(self) -> tuple[dict[str, Any], ...]:
        """Kill its cgroup."""
        return self.process.guard_steps()

    async def _run(self, argv: Sequence[str]) -> Completed:
        env = service_environment(self._env)
        return await run(argv, timeout_s=self.spec.monitor_timeout_ms / 1000, env=env, leaves=False)


class Agent:
    """`exec` with `start`, `stop` and `monitor`: commands that start, stop and test something."""

    def __init__(self, spec: ExecSpec, context: NodeContext, group: str = "") -> None:
        """Raises ResourceError when the options are wrong."""
        self.spec = spec
        given = spec.options
        if given.start is None or given.stop is None or given.monitor is None:
            missing = [name for name in ("start", "stop", "monitor") if getattr(given, name) is None]
            raise ResourceError(f"{spec.name}: needs `command`, or `start`, `stop` and `monitor`; missing: {missing}")
        self._argv: dict[str, Sequence[str]] = {"start": given.start, "stop": given.stop, "monitor": given.monitor}
        self._argv["kill"] = given.kill or given.stop
        self._env = _base_env(spec, context, group)
        self._name = _full_name(spec, group)
        self._cwd = given.cwd
        self._runner = ActionRunner(self._name, context, self._cwd)

    @property
    def under_way(self) -> str:
        """The command that runs now, or hung."""
        return self._runner.under_way

    async def start(self, env: Mapping[str, str]) -> None:
        """Run `start`, which must end with 0; what it leaves running outlives the daemon."""
        self._env.update(env)
        env = service_environment(self._env)
        done = await self._runner.start("start", self._argv["start"], env, self.spec.start_timeout_ms)
        if not done.ok:
            raise ResourceError(f"{self.spec.name}: start {done.describe()}")

    async def stop(self) -> None:
        """Run `stop`, see by `monitor` that it is stopped, and kill what `start` left running and `stop` let live."""
        await self._end("stop")

    async def kill(self) -> None:
        """Run `kill` (else `stop`), kill what `start` left running, and see by `monitor` that it is stopped."""
        await self._end("kill")

    async def probe(self) -> Observation:
        """Run `monitor`."""
        done = await self._run("monitor", self.spec.monitor_timeout_ms)
        if done.ok:
            return Observation("running")
        if done.returncode in _NOT_RUNNING:
            return Observation("stopped", f"monitor {done.describe()}")
        return Observation("failed", f"monitor {done.describe()}", certain=False)

    async def monitor(self) -> Observation:
        """Run `monitor`."""
        return await self.probe()

    async def ready(self) -> str:
        """Whether its commands exist."""
        return await _missing_commands(self._name, self.spec)

    async def watch(self, report: Report) -> None:
        """Nothing tells of changes: `monitor` is asked at its interval."""
        await asyncio.Event().wait()

    def guard_steps(self) -> tuple[dict[str, Any], ...]:
        """Run `kill` and kill what `start` left running; the same rule as here says whether it is stopped."""
        kill, monitor = shlex.join(self._argv["kill"]), shlex.join(self._argv["monitor"])
        place = f"cd {shlex.quote(self._cwd)}; " if self._cwd else ""
        sweep, swept = self._runner.guard_sweep()
        script = (
            f"{place}{kill}; killed=$?; {sweep}{monitor}; seen=$?; {swept} && "
            "{ [ $seen -eq 3 ] || [ $seen -eq 7 ] || { [ $killed -eq 0 ] && [ $seen -ne 0 ]; }; }"
        )
        step = {"kind": "command", "argv": ["/bin/sh", "-c", script], "timeout_ms": self.spec.stop_timeout_ms}
        return (step | {"verify": None, "env": dict(self._env)},)

    async def _end(self, action: str) -> None:
        # A daemon that was killed alone has left its `start` running.
        await self._runner.end_start()
        done = await self._run(action, self.spec.stop_timeout_ms)
        if action == "kill":
            await self._runner.kill_left()
        await self._see_stopped(action, done)
        if await self._runner.kill_left():
            # The killed processes may have started it again after the look.
            await self._see_stopped(action, done)

    async def _see_stopped(self, action: str, done: Completed) -> None:
        seen = await self._run("monitor", self.spec.monitor_timeout_ms)
        if seen.timed_out:
            raise ResourceError(f"{self.spec.name}: not known to be stopped: monitor {seen.describe()}")
        if seen.returncode in _NOT_RUNNING or (done.ok and not seen.ok):
            return
        still = "it still runs" if seen.ok else f"monitor {seen.describe()}"
        raise ResourceError(f"{self.spec.name}: {action} {done.describe()}; {still}")

    async def _run(self, action: str, timeout_ms: float) -> Completed:
        env, leaves = service_environment(self._env), action != "monitor"
        return await self._runner.run(action, self._argv[action], env, timeout_ms, leaves=leaves)


def make(spec: ExecSpec, context: NodeContext, group: str = "") -> Process | Agent:
    """The resource for the options. Raises ResourceError when they are wrong."""
    return Process(spec, context, group) if spec.options.command is not None else Agent(spec, context, group)


def check_options(spec: ExecSpec) -> list[str]:
    """The problems of the options on this node: commands that do not exist."""
    try:
        make(spec, NodeContext("check", "/nonexistent", None))
    except OperationError as error:
        return [str(error)]
    commands = {name: argv for name in _ACTIONS if (argv := getattr(spec.options, name))}
    problems = {name: find_command(argv[0], None, spec.options.cwd) for name, argv in commands.items()}
    return [f"{spec.name}: {name}: {problem}" for name, problem in problems.items() if problem]


async def _missing_commands(name: str, spec: ExecSpec) -> str:
    try:
        async with asyncio.timeout(_LOOK_S):
            return "; ".join(await aside(name, check_options, spec))
    except TimeoutError:
        return f"{spec.name}: the file system of its commands does not answer"


def _full_name(spec: ExecSpec, group: str) -> str:
    """Unique on the node: a resource's name is so within its group only."""
    return f"{group}/{spec.name}" if group else spec.name


def _base_env(spec: ExecSpec, context: NodeContext, group: str) -> dict[str, str]:
    """The variables known before a start, for a probe or a stop by a daemon that did not start it."""
    known = {"HACTL_RESOURCE": spec.name, "HACTL_NODE": context.node}
    return {**known, "HACTL_GROUP": group} if group else known
