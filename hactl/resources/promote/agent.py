"""The promoted role of an instance that an OCF agent drives, by the agent's own `promote`, `demote` and `monitor`.

Source: the OCF resource agent API 1.1, *promote*, *demote* and *Exit Status Codes*.
"""

from __future__ import annotations

from collections.abc import Mapping

from hactl.linux.aside import aside
from hactl.model.resources import OcfSpec
from hactl.resources.base import NodeContext, Observation, ResourceError
from hactl.resources.ocf import attribute_files, catalog, environment, exit_codes
from hactl.resources.ocf.attributes import promotion_score
from hactl.resources.ocf.outcome import Outcome
from hactl.resources.ocf.resource import Ocf
from hactl.resources.promote.role import RoleSeen, Score

_PASSED_ON = ("HACTL_CLUSTER", "HACTL_EPOCH")


class PromotedByAgent:
    """Its `instance` is another object than that by which its own group drives it: they meet in their turns alone."""

    def __init__(self, instance: OcfSpec, context: NodeContext, group: str) -> None:
        """`group`: of the instance."""
        self.instance = _Instance(instance, context, group)
        self._attributes = f"{context.state_dir}/ocf/attributes"
        self._known_as = environment.instance(group, instance.name)

    @property
    def under_way(self) -> str:
        """The action that runs now, or hung."""
        return self.instance.under_way

    async def promote(self, env: Mapping[str, str], timeout_ms: float) -> None:
        """Run the agent's `promote`."""
        self.instance.told({name: env[name] for name in _PASSED_ON if name in env})
        outcome = await self.instance.act("promote", timeout_ms)
        if outcome.code != exit_codes.SUCCESS:
            raise ResourceError(str(outcome))

    async def demote(self, seen: RoleSeen, timeout_ms: float) -> None:
        """Run the agent's `demote`: not on what is not promoted, which would be the cluster manager's mistake."""
        if seen.role.health == "stopped":
            return
        outcome = await self.instance.act("demote", timeout_ms)
        if outcome.code not in (exit_codes.SUCCESS, exit_codes.NOT_RUNNING):
            raise ResourceError(str(outcome))

    async def look(self, *, interval_ms: float = 0) -> RoleSeen:
        """Run `monitor`."""
        seen = await self.instance.role(interval_ms)
        health = "failed" if seen.code is None else exit_codes.promoted_health(seen.code, probe=interval_ms == 0)
        role = Observation(health, "" if health == "running" else str(seen), certain=health != "failed")
        return RoleSeen(role, seen.health)

    async def score(self, within_ms: float) -> Score:
        """What the agent has set by `crm_attribute`, at its last look. Negative: it must not be promoted."""
        attributes = await aside(self._attributes, attribute_files.read, self._attributes)
        score = promotion_score(attributes, self._known_as)
        if score is None:
            return Score(None, "its agent has set no promotion score")
        return Score(score) if score >= 0 else Score(None, f"its agent has set the promotion score {score}")

    async def ready(self) -> str:
        """Whether the agent can promote."""
        name = self.instance.spec.options.agent
        agent = await catalog.describe(name)
        if agent.metadata is None:
            return f"{name}: {agent.broken}" if agent.path else agent.broken
        return "" if agent.metadata.promotable else f"{name} cannot promote: it has no `promote` and `demote`"


class _Instance(Ocf):
    """With the actions of the promoted role."""

    def told(self, env: Mapping[str, str]) -> None:
        """More for the environment of its agent."""
        self._env.update(env)

    async def act(self, action: str, timeout_ms: float) -> Outcome:
        """Run this action."""
        return await self._run(action, timeout_ms)

    async def role(self, interval_ms: float) -> Outcome:
        """Run `monitor`, periodic ones as of the promoted role."""
        return await self._look(interval_ms=interval_ms, role="Promoted" if interval_ms else "")
