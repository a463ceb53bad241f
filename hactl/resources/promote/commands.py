"""The promoted role of an instance, by the operator's commands: `promote`, `demote`, `role`, `score`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hactl.linux.aside import aside
from hactl.linux.run import Completed, find_command, service_environment
from hactl.model.resources import PromoteOptions, PromoteSpec
from hactl.resources.action_runner import ActionRunner
from hactl.resources.base import NodeContext, Observation, Resource, ResourceError
from hactl.resources.promote.role import RoleSeen, Score

NEEDED = ("promote", "demote", "role")
_NOT_PROMOTED = 1
# What a document can hold as a whole number, whatever reads it.
_LARGEST = 2**53 - 1
_LONGEST = 40


class PromotedByCommands:
    """What a command leaves running is killed at its end."""

    def __init__(self, spec: PromoteSpec, instance: Resource, context: NodeContext, group: str) -> None:
        """`group`: the one that promotes it. Raises ResourceError when a command is missing."""
        self.instance, self._spec = instance, spec
        self._argv = _commands(spec.options)
        if missing := [name for name in NEEDED if name not in self._argv]:
            raise ResourceError(f"needs `{'`, `'.join(missing)}`")
        self._env = {"HACTL_RESOURCE": spec.name, "HACTL_NODE": context.node}
        self._env |= {"HACTL_GROUP": group} if group else {}
        self._runner = ActionRunner(f"{group}/{spec.name}" if group else spec.name, context)

    @property
    def under_way(self) -> str:
        """The command that runs now, or hung."""
        return self._runner.under_way

    async def promote(self, env: Mapping[str, str], timeout_ms: float) -> None:
        """Run `promote`, which must end with 0."""
        self._env.update(env)
        await self._must("promote", timeout_ms)

    async def demote(self, seen: RoleSeen, timeout_ms: float) -> None:
        """Run `demote`, which must end with 0: also on what `role` says not to be promoted, by a status with which a
        script that fails may end, too."""
        await self._must("demote", timeout_ms)

    async def look(self, *, interval_ms: float = 0) -> RoleSeen:
        """Run `role`. An instance that does not run has none."""
        seen = await self.instance.probe()
        because = f" ({seen.detail})" if seen.detail else ""
        if seen.health == "stopped":
            return RoleSeen(Observation("stopped", f"its instance does not run{because}"), seen.health)
        done = await self._run("role", self._spec.monitor_timeout_ms)
        if done.ok:
            return RoleSeen(Observation("running"), seen.health)
        if done.returncode == _NOT_PROMOTED and not done.timed_out:
            return RoleSeen(Observation("stopped", "it is not promoted"), seen.health)
        return RoleSeen(Observation("failed", f"role {done.describe()}{because}", certain=False), seen.health)

    async def score(self, within_ms: float) -> Score:
        """What `score` prints; without one, every instance that runs is as good as any other."""
        if "score" not in self._argv:
            return Score(0)
        done = await self._run("score", within_ms)
        if not done.ok:
            return Score(None, f"score {done.describe()}")
        text = done.stdout.strip()
        try:
            score = int(text)
        except ValueError:
            return Score(None, f"score printed `{text[:_LONGEST]}`, which is no whole number")
        return Score(min(score, _LARGEST)) if score >= 0 else Score(None, f"score is {score}")

    async def ready(self) -> str:
        """Whether its commands exist."""
        return "; ".join(await aside(self._spec.name, missing_commands, self._spec.options))

    async def _must(self, action: str, timeout_ms: float) -> None:
        done = await self._run(action, timeout_ms)
        if not done.ok:
            raise ResourceError(f"{action} {done.describe()}")

    async def _run(self, action: str, timeout_ms: float) -> Completed:
        env = service_environment(self._env)
        return await self._runner.run(action, self._argv[action], env, timeout_ms, leaves=False)


def missing_commands(options: PromoteOptions) -> list[str]:
    """The problems of the commands on this node."""
    problems = {name: find_command(argv[0]) for name, argv in _commands(options).items()}
    return [f"{name}: {problem}" for name, problem in problems.items() if problem]


def _commands(options: PromoteOptions) -> dict[str, Sequence[str]]:
    return {name: argv for name in (*NEEDED, "score") if (argv := getattr(options, name)) is not None}
