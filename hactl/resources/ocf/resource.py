"""Kind `ocf`: an OCF resource agent starts, stops and looks at the resource.

`start` must end with 0, and a `monitor` after it must say that it runs; after a `stop` a `monitor` must say that it
does not: what an agent sees counts, not what it says about its own work. Where the actions run, and what becomes of
the processes that they leave: `action_runner.py`. A kill ends these processes first, so that the agent's `stop` has
little to do, and does not wait for a `stop` that hangs although nothing runs any more.

The secret parameters are read from their files for each action, and taken out of all that the agent writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from fencing.agents.redact import Redactor, is_secret
from fencing.agents.secret_sources import SecretError, read_secret
from hactl.linux.aside import aside
from hactl.linux.run import MAX_OUTPUT, CommandError, Completed, service_environment
from hactl.model.events import Warned
from hactl.model.resources import OcfSpec
from hactl.resources.action_runner import ActionRunner
from hactl.resources.base import NodeContext, Observation, ResourceError
from hactl.resources.ocf import catalog, environment, exit_codes, parameters
from hactl.resources.ocf.outcome import Outcome

log = structlog.get_logger(__name__)

# The topic of a warning: the agent says that it runs, but not as well as it could.
DEGRADED = "degraded"
# How long a kill waits for the agent's `stop` alone; then it looks, too, whether anything runs still.
_PATIENCE_S = 0.3
# The guard gives `stop` this share of its time, the rest is for `monitor`.
_STOP_SHARE = 0.6
# Of what can be promoted this to each of `stop`, `demote` and the `stop` after it.
_DEMOTE_SHARE = 0.3
# After a start that cannot succeed here: how often the agent is asked whether it can now, and when it is tried again
# where the agent cannot be asked.
_ASK_AGAIN_S, _TRY_AGAIN_S = 60.0, 600.0
_LOOK_S = 2.0
# What these start is to live: there are agents that start their program by `promote`.
_LEAVING = ("start", "promote")
_LOGGED = ("start", "stop", "promote", "demote")
_QUIET = (exit_codes.SUCCESS, exit_codes.NOT_RUNNING, exit_codes.RUNNING_PROMOTED)

Report = Callable[[Observation], None]


class Ocf:
    """A resource with an OCF agent."""

    def __init__(self, spec: OcfSpec, context: NodeContext, group: str = "") -> None:
        self.spec = spec
        self._path = environment.agent_path(spec.options.agent, catalog.root())
        run_dir = f"{context.state_dir}/ocf"
        self._tmp = f"{run_dir}/tmp"
        self._env = environment.of_resource(spec, group, context.node, run_dir, catalog.root())
        self._runner = ActionRunner(f"{group}/{spec.name}" if group else spec.name, context, "/")
        self._promotable = spec.options.promoted_max > 0
        # Of an instance that can be promoted the agent's actions are taken in turns with those of its promoted role.
        self._turn = context.turns.of(group, spec.name) if self._promotable else None
        self._last: Observation | None = None
        self._secrets: dict[str, str] = {}
        self._tmp_made = False
        self._degraded = False
        # Why the last look, and the last start, say that it cannot run here; when the agent was asked about it.
        self._unfit_by_look, self._unfit_by_start, self._asked_at = "", "", 0.0

    @property
    def under_way(self) -> str:
        """The action that runs now, or hung."""
        return self._runner.under_way

    async def start(self, env: Mapping[str, str]) -> None:
        """Run `start`, and see by `monitor` that it runs; what it leaves running outlives the daemon."""
        self._last = None
        self._env.update(env)
        if problem := await self._look_for(catalog.problem_of, self.spec.options.agent):
            raise CommandError(f"{self.spec.name}: {problem}")
        if problem := await self._read_secrets():
            raise ResourceError(f"{self.spec.name}: {problem}")
        outcome = await self._run("start", self.spec.start_timeout_ms)
        if outcome.code != exit_codes.SUCCESS:
            self._note_start(outcome)
            raise ResourceError(f"{self.spec.name}: {outcome}")
        self._unfit_by_start = ""
        seen = await self._look(interval_ms=self.spec.monitor_interval_ms)
        if seen.health != "running":
            raise ResourceError(f"{self.spec.name}: start ended with exit status 0, but {seen}")

    async def stop(self) -> None:
        """Run `stop`, see by `monitor` that it is stopped, and kill what `start` left running and `stop` let live.
        What is promoted is demoted before."""
        self._last = None
        # A daemon that was killed alone has left its `start` running.
        await self._runner.end_start()
        await self._demote_promoted()
        await self._see_stopped(await self._run("stop", self.spec.stop_timeout_ms))

    async def kill(self) -> None:
        """Kill what `start` left running, run `stop`, and see by `monitor` that it is stopped. When `stop` hangs that
        is all that counts."""
        self._last = None
        with self._turn.kill() if self._turn is not None else contextlib.nullcontext():
            await self._kill()

    async def _kill(self) -> None:
        await self._runner.end_start()
        await self._runner.kill_left()
        stopping = asyncio.create_task(self._run("stop", self.spec.stop_timeout_ms))
        try:
            await asyncio.wait({stopping}, timeout=_PATIENCE_S)
            hangs = not stopping.done() and exit_codes.is_stopped(None, (await self._look()).code)
            if hangs and not stopping.done():
                log.warning("ocf.stop_hangs", resource=self._runner.name, problem="`stop` goes on though it is stopped")
                return
            stopped = await stopping
        finally:
            stopping.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await stopping
        if await self._demote_promoted():
            # An agent may refuse to stop what is promoted.
            stopped = await self._run("stop", self.spec.stop_timeout_ms)
        await self._see_stopped(stopped)

    async def probe(self) -> Observation:
        """Run `monitor` once (interval 0)."""
        return self._meanwhile or self._observation(await self._look())

    async def monitor(self) -> Observation:
        """Run `monitor` at its check level."""
        spec = self.spec
        if (last := self._meanwhile) is not None:
            return last
        seen = await self._look(interval_ms=spec.monitor_interval_ms, check_level=spec.options.check_level)
        return self._observation(seen)

    async def ready(self) -> str:
        """Whether the agent is here, takes the parameters as its metadata says, and did not say that it cannot run
        here; and whether the secrets can be read."""
        options = self.spec.options
        agent = await catalog.describe(options.agent)
        if agent.metadata is None:
            return f"{options.agent}: {agent.broken}" if agent.path else agent.broken
        if agent.metadata.lacks:
            return f"{options.agent} has no action {', '.join(agent.metadata.lacks)}"
        problems = parameters.check(options.agent, agent.metadata, options)
        if wrong := [problem for problem in problems if problem.refused and not problem.exposes]:
            return "; ".join(map(str, wrong))
        if problem := await self._read_secrets():
            return problem
        await self._ask_again(can_validate=agent.metadata.can("validate-all"))
        return self._unfit_by_start or self._unfit_by_look

    async def watch(self, report: Report) -> None:
        """Nothing tells of changes: `monitor` is asked at its interval."""
        await asyncio.Event().wait()

    async def validate(self) -> str:
        """Run `validate-all`; the problem, "" none."""
        await self._read_secrets()
        outcome = await self._run("validate-all", self.spec.monitor_timeout_ms)
        return "" if outcome.code in (exit_codes.SUCCESS, exit_codes.UNIMPLEMENTED) else str(outcome)

    def guard_steps(self) -> tuple[dict[str, Any], ...]:
        """As `kill`, but that the guard waits for a `stop` that hangs: it tries again, and takes the node down at its
        own deadline."""
        spec = self.spec
        agent, (sweep, swept) = shlex.quote(self._path), self._runner.guard_sweep()
        # In the foreground: so it is in the process group that the guard kills.
        limit_s = spec.stop_timeout_ms * (_DEMOTE_SHARE if self._promotable else _STOP_SHARE) / 1000
        limited = f"timeout --foreground -s KILL {limit_s:.3f} {agent}"
        stop = f"{limited} stop; stopped=$?; {sweep}OCF_RESKEY_CRM_meta_name=monitor {agent} monitor; seen=$?; "
        if self._promotable:
            codes = "|".join(map(str, exit_codes.PROMOTED))
            stop += f"case $seen in {codes}) OCF_RESKEY_CRM_meta_name=demote {limited} demote; {stop};; esac; "
        script = (
            f"{environment.secrets_script(spec.options.secrets)}{sweep}{stop}{swept} && "
            f"{{ [ $seen -eq {exit_codes.NOT_RUNNING} ] || "
            f"{{ [ $stopped -eq 0 ] && [ $seen -eq {exit_codes.NOT_INSTALLED} ]; }}; }}"
        )
        step = {"kind": "command", "argv": ["/bin/sh", "-c", script], "timeout_ms": spec.stop_timeout_ms}
        env = self._env | environment.of_action("stop", spec.stop_timeout_ms)
        return (step | {"verify": None, "env": env},)

    @property
    def _meanwhile(self) -> Observation | None:
        """While an action on the promoted role is under way: the last look. None: look."""
        return self._last if self._turn is not None and self._turn.taken else None

    async def _demote_promoted(self) -> bool:
        """Demote it if it is promoted; whether it was."""
        if not self._promotable or (await self._look()).code not in exit_codes.PROMOTED:
            return False
        await self._run("demote", self.spec.stop_timeout_ms)
        return True

    async def _see_stopped(self, stopped: Outcome) -> None:
        await self._must_be_stopped(stopped)
        if await self._runner.kill_left():
            log.warning("ocf.processes_killed", resource=self._runner.name, problem="`stop` let processes live")
            # The killed processes may have started it again after the look.
            await self._must_be_stopped(stopped)

    async def _must_be_stopped(self, stopped: Outcome) -> None:
        seen = await self._look()
        if exit_codes.is_stopped(stopped.code, seen.code):
            return
        raise ResourceError(f"{self.spec.name}: not known to be stopped: {stopped}; {seen}")

    async def _look(self, *, interval_ms: float = 0, check_level: int = 0, role: str = "") -> Outcome:
        timeout_ms = self.spec.monitor_timeout_ms
        return await self._run("monitor", timeout_ms, interval_ms=interval_ms, check_level=check_level, role=role)

    def _observation(self, seen: Outcome) -> Observation:
        if seen.code is not None:
            self._unfit_by_look = str(seen) if exit_codes.is_hopeless(seen.code) else ""
        was, self._degraded = self._degraded, seen.code in exit_codes.DEGRADED
        warned = Warned(DEGRADED, str(seen) if self._degraded else "") if was or self._degraded else None
        detail = "" if seen.health == "running" else str(seen)
        self._last = Observation(seen.health, detail, certain=seen.health != "failed")
        return replace(self._last, warned=warned)

    async def _run(
        self, action: str, timeout_ms: float, *, interval_ms: float = 0, check_level: int = 0, role: str = ""
    ) -> Outcome:
        if action != "start":
            await self._read_secrets()
        hidden = [value for name, value in self.spec.options.parameters.items() if is_secret(name)]
        redactor = Redactor([*self._secrets.values(), *hidden])
        env = service_environment(
            self._env
            | {f"OCF_RESKEY_{name}": value for name, value in self._secrets.items()}
            | environment.of_action(action, timeout_ms, interval_ms, check_level, role)
        )
        if action == "start" or not self._tmp_made:
            await self._look_for(_make_directory, self._tmp)
            self._tmp_made = True
        argv = [self._path, action]
        async with self._turn.take() if self._turn is not None else contextlib.nullcontext():
            if action in _LEAVING:
                done = await self._runner.start(action, argv, env, timeout_ms)
            else:
                done = await self._runner.run(action, argv, env, timeout_ms, leaves=False)
        outcome = Outcome.of(action, _without_secrets(done, redactor), probe=interval_ms == 0)
        if action in _LOGGED or outcome.code not in _QUIET:
            log.info("ocf.action", resource=self._runner.name, action=action, outcome=str(outcome))
        return outcome

    async def _read_secrets(self) -> str:
        """Read the secrets anew; the problem, "" none. One that cannot be read stays as it was read last, so that what
        runs can be looked at and stopped all the same."""
        problems = []
        for name, path in self.spec.options.secrets.items():
            try:
                self._secrets[name] = await self._look_for(read_secret, path)
            except SecretError as error:
                problems.append(str(error))
        return "; ".join(problems)

    async def _look_for(self, look: Callable[[str], str], path: str) -> str:
        """A look at files, which may be on a file system whose server is gone."""
        try:
            async with asyncio.timeout(_LOOK_S):
                return await aside(self._runner.name, look, path)
        except TimeoutError:
            raise ResourceError(f"{self.spec.name}: the file system of {path} does not answer") from None

    def _note_start(self, outcome: Outcome) -> None:
        if outcome.code is not None and exit_codes.is_hopeless(outcome.code):
            self._unfit_by_start, self._asked_at = str(outcome), asyncio.get_running_loop().time()

    async def _ask_again(self, *, can_validate: bool) -> None:
        """After a start that could not succeed here: whether it could now."""
        now = asyncio.get_running_loop().time()
        wait_s = _ASK_AGAIN_S if can_validate else _TRY_AGAIN_S
        if not self._unfit_by_start or now - self._asked_at < wait_s:
            return
        self._asked_at = now
        if not can_validate or not await self.validate():
            self._unfit_by_start = ""


def _make_directory(path: str) -> str:
    """For the agents' own files. A full disk is theirs to report."""
    with contextlib.suppress(OSError):
        Path(path).mkdir(mode=0o755, parents=True, exist_ok=True)
    return path


def _without_secrets(done: Completed, redactor: Redactor) -> Completed:
    stdout, stderr = (redactor.clean(text, cut=len(text) >= MAX_OUTPUT) for text in (done.stdout, done.stderr))
    return replace(done, stdout=stdout, stderr=stderr)
