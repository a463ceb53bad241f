"""The promoted role of this node's instance: it runs, where the instance is promoted.

The instance itself is its own group's, which starts, watches and restarts it. Here it is promoted and demoted, and
killed where nothing promoted may run here any more: its own group starts it anew, and not promoted.

Both drive it through objects of their own (`turns.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from hactl.linux.errors import OperationError
from hactl.model.resources import InstanceSpec, OcfSpec, PromoteSpec
from hactl.resources.base import NodeContext, Observation, Resource, ResourceError
from hactl.resources.promote.commands import PromotedByCommands
from hactl.resources.promote.role import Role, RoleSeen

# Of the time for a look this is for the role and the score.
_LOOK_SHARE = 0.9
_LEAST_MS = 100.0

Report = Callable[[Observation], None]


class Promote:
    """The promoted role on this node."""

    def __init__(
        self, spec: PromoteSpec, context: NodeContext, group: str, make: Callable[[InstanceSpec, str], Resource]
    ) -> None:
        """`make` makes an instance of a group. Raises ResourceError when the options are wrong."""
        instance, of_group = spec.options.instance, spec.options.group
        if instance is None:
            raise ResourceError(f"{spec.name}: {spec.options.of} is no resource that can be promoted")
        self.spec = spec
        self._make = partial(make, instance, of_group)
        self._turn = context.turns.of(of_group, instance.name)
        self._last: Observation | None = None
        self._role = _role(spec, instance, context, group, self._make)

    @property
    def under_way(self) -> str:
        """The action that runs now, or hung."""
        return self._role.under_way

    async def start(self, env: Mapping[str, str]) -> None:
        """Promote the instance; return when it is seen to be promoted. One that does not run is not started: that is
        its own group's to do."""
        seen = await self._look()
        if seen.role.health == "running":
            return
        if seen.instance != "running":
            raise ResourceError(f"{self.spec.name}: {self.spec.options.of} does not run here: {seen.role.detail}")
        with self._named():
            await self._role.promote(env, self.spec.start_timeout_ms)
        seen = await self._look()
        if seen.role.health != "running":
            raise ResourceError(f"{self.spec.name}: promote ended with exit status 0, but {seen.role.detail}")

    async def stop(self) -> None:
        """Demote the instance; return when it is seen not to be promoted."""
        seen = await self._look()
        if seen.instance == "stopped":
            return
        with self._named():
            await self._role.demote(seen, self.spec.stop_timeout_ms)
        seen = await self._look()
        if seen.role.health != "stopped":
            still = seen.role.detail or "it is still promoted"
            raise ResourceError(f"{self.spec.name}: demote ended with exit status 0, but {still}")

    async def kill(self) -> None:
        """Kill the instance; return when it is known to have stopped, whatever is under way with it."""
        self._last = None
        with self._turn.kill():
            await self._role.instance.kill()

    async def probe(self) -> Observation:
        """Whether the instance is promoted, and how good it would be."""
        if self._turn.taken and self._last is not None:
            # Its own group starts or stops it, which may take long.
            return replace(self._last, detail="its instance is being started or stopped")
        loop = asyncio.get_running_loop()
        until = loop.time() + self.spec.monitor_timeout_ms / 1000 * _LOOK_SHARE
        role, instance = await self._look()
        if instance != "running" or role.health == "failed":
            return role
        score = await self._role.score(max(_LEAST_MS, (until - loop.time()) * 1000))
        detail = role.detail if role.health == "running" or score.value is not None else score.why
        return replace(role, score=score.value, detail=detail)

    async def monitor(self) -> Observation:
        """Whether the instance is promoted."""
        return (await self._look(interval_ms=self.spec.monitor_interval_ms)).role

    async def ready(self) -> str:
        """Whether it could be promoted here: its commands, or its agent and the actions in it, are there."""
        return await self._role.ready()

    async def watch(self, report: Report) -> None:
        """With the instance its promoted role ends, and is reported at once."""

        def gone(seen: Observation) -> None:
            if seen.health != "running":
                words = f"{self.spec.options.of} does not run: {seen.detail or seen.health}"
                report(Observation(seen.health, words))

        # Another object, of which nobody has asked for a change yet: all changes are news to it.
        await self._make().watch(gone)

    def guard_steps(self) -> tuple[dict[str, Any], ...]:
        """Kill the instance."""
        return self._role.instance.guard_steps()

    async def _look(self, *, interval_ms: float = 0) -> RoleSeen:
        seen = await self._role.look(interval_ms=interval_ms)
        self._last = seen.role
        return seen

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OperationError as error:
            raise ResourceError(f"{self.spec.name}: {error}") from None


def _role(
    spec: PromoteSpec, instance: InstanceSpec, context: NodeContext, group: str, make: Callable[[], Resource]
) -> Role:
    if isinstance(instance, OcfSpec):
        from hactl.resources.promote.agent import PromotedByAgent  # noqa: PLC0415 - where there are agents

        return PromotedByAgent(instance, context, spec.options.group)
    return PromotedByCommands(spec, make(), context, group)
