"""Carries out actions on resources, and watches over those that run.

Actions on one resource come one after another: a newer one cancels the one before it and waits for its end. Probes
wait for `settled`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from hactl.linux.errors import OperationError
from hactl.model import events
from hactl.model.effects import Act, Announce, StopAnnouncing
from hactl.model.resources import HaproxySpec, ResourceSpec
from hactl.resources.base import Announcing, Commands, NodeContext, Observation, Resource
from hactl.resources.factory import make
from hactl.supervise import describe, lacks

log = structlog.get_logger()

Name = tuple[str, str]

WATCH_AGAIN_S = 1.0
LOOK_TIMEOUT_S = 2.0
Post = Callable[[events.Event], None]


class Actions:
    """All resources of this node that anything was ever done with."""

    def __init__(
        self,
        context: NodeContext,
        cluster: str,
        post: Post,
        settled: asyncio.Event,
        balancer: Callable[[HaproxySpec], Resource],
    ) -> None:
        """`balancer` makes resources of kind `haproxy`."""
        self._balancer = balancer
        self._context, self._cluster, self._post, self._settled = context, cluster, post, settled
        self._resources: dict[Name, Resource] = {}
        self._acting: dict[Name, asyncio.Task[None]] = {}
        self._watching: dict[Name, asyncio.Task[None]] = {}

    def resource(self, group: str, spec: ResourceSpec) -> Resource:
        """The resource of this definition. Raises ResourceError."""
        resource = self._resources.get((group, spec.name))
        if resource is None or resource.spec != spec:
            resource = self._balancer(spec) if isinstance(spec, HaproxySpec) else make(spec, self._context, group)
            self._resources[group, spec.name] = resource
        return resource

    def carry_out(self, effect: Act | Announce | StopAnnouncing) -> None:
        """An action, or how the group's addresses are announced."""
        match effect:
            case Act():
                self.act(effect)
            case Announce():
                for resource in self._announcing(effect.group):
                    resource.announce()
            case StopAnnouncing():
                for resource in self._announcing(effect.group):
                    resource.stop_announcing()

    def act(self, act: Act) -> None:
        """Begin an action; Acted is posted when it has ended, within its timeout."""
        name = (act.group, act.resource.name)
        if (before := self._acting.get(name)) is not None:
            before.cancel()
        self._acting[name] = asyncio.create_task(self._act(act, before), name=f"{act.action} {'/'.join(name)}")

    def _announcing(self, group: str) -> list[Announcing]:
        resources = (resource for (name, _), resource in self._resources.items() if name == group)
        return [resource for resource in resources if isinstance(resource, Announcing)]

    async def look_again(self) -> None:
        """Look at the resources that are watched: their records on disk, for the next daemon, are written again."""
        for name in list(self._watching):
            with contextlib.suppress(OperationError, OSError, TimeoutError):
                async with asyncio.timeout(LOOK_TIMEOUT_S):
                    await self._resources[name].probe()

    async def close(self) -> None:
        """Stop watching; running resources go on."""
        tasks = [*self._acting.values(), *self._watching.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _act(self, act: Act, before: asyncio.Task[None] | None) -> None:
        """The decide side is told of every outcome: it waits for Acted without end."""
        if before is not None:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await before
        ok, health, detail = False, "failed", ""
        try:
            ok, health, detail = await self._try(act)
        except TimeoutError:
            detail = f"{self._hung(act)}not done within {act.timeout_ms / 1000:g} s"
        except OperationError as error:
            detail = str(error)
        except OSError as error:
            detail = describe(error)
        except Exception as error:  # a resource's own mistake must not take the daemon down
            log.exception("action_crashed", group=act.group, resource=act.resource.name, action=act.action)
            detail = describe(error)
        self._post(events.Acted(act.id, ok, health, detail))  # type: ignore[arg-type]

    async def _try(self, act: Act) -> tuple[bool, str, str]:
        if act.action in ("stop", "kill"):
            await self._unwatch((act.group, act.resource.name))
        elif act.action == "probe":
            await self._settled.wait()
        resource = self.resource(act.group, act.resource)
        async with asyncio.timeout(act.timeout_ms / 1000):
            ok, health, detail = await self._do(resource, act)
        if ok and health == "running":
            self._watch(act.group, resource)
        return ok, health, detail

    def _hung(self, act: Act) -> str:
        resource = self._resources.get((act.group, act.resource.name))
        named = resource.under_way if isinstance(resource, Commands) else ""
        return f"`{named}` hangs: " if named else ""

    async def _do(self, resource: Resource, act: Act) -> tuple[bool, str, str]:
        if act.action == "probe":
            seen = await resource.probe()
            return True, seen.health, seen.detail
        if act.action == "start":
            await resource.start(self._environment(act))
            return True, "running", ""
        await (resource.stop() if act.action == "stop" else resource.kill())
        return True, "stopped", ""

    def _environment(self, act: Act) -> dict[str, str]:
        return {
            **({"HACTL_BESIDE": " ".join(act.beside)} if act.beside else {}),
            "HACTL_CLUSTER": self._cluster,
            "HACTL_NODE": self._context.node,
            "HACTL_GROUP": act.group,
            "HACTL_RESOURCE": act.resource.name,
            "HACTL_EPOCH": str(act.epoch),
        }

    def _watch(self, group: str, resource: Resource) -> None:
        name = (group, resource.spec.name)
        if name not in self._watching:
            self._watching[name] = asyncio.create_task(
                self._watch_over(group, resource), name=f"watch {'/'.join(name)}"
            )

    async def _unwatch(self, name: Name) -> None:
        if (task := self._watching.pop(name, None)) is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch_over(self, group: str, resource: Resource) -> None:
        """Report what events and the periodic monitor show, until cancelled."""

        def report(seen: Observation) -> None:
            name = resource.spec.name
            if seen.detail:
                log.info("resource_seen", group=group, resource=name, health=seen.health, detail=seen.detail)
            self._post(events.Observed(group, name, seen.health, seen.detail, seen.put_right, seen.warned))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._events(resource, report))
            tasks.create_task(self._monitor(resource, report))

    async def _events(self, resource: Resource, report: Callable[[Observation], None]) -> None:
        while True:
            try:
                await resource.watch(report)
            except (OperationError, OSError) as error:
                log.warning("resource_watch_broken", resource=resource.spec.name, problem=describe(error))
            except Exception as error:
                log.exception("resource_watch_broken", resource=resource.spec.name, problem=describe(error))
            await asyncio.sleep(WATCH_AGAIN_S)

    async def _monitor(self, resource: Resource, report: Callable[[Observation], None]) -> None:
        """A monitor that fails for the daemon's lack of memory, say, or by its own mistake, has no result: that is a
        trouble of this node, not of the resource."""
        spec, tasks = resource.spec, self._context.tasks
        name = f"monitor of {spec.name}"
        while True:
            await asyncio.sleep(spec.monitor_interval_ms / 1000)
            try:
                async with asyncio.timeout(spec.monitor_timeout_ms / 1000):
                    report(await resource.monitor())
            except TimeoutError:
                report(Observation("failed", f"monitor: no answer within {spec.monitor_timeout_ms / 1000:g} s"))
            except Exception as error:
                if not isinstance(error, OperationError | OSError) or lacks(error):
                    tasks.failed(name, error)
                    continue
                report(Observation("failed", f"monitor: {error}"))
            tasks.well(name)
