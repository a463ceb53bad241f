"""Carries out actions on resources, and watches over those that run.

Actions on one resource come one after another: a newer one cancels the one before it and waits for its end. Probes
wait for `settled`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import structlog

from hactl.decide.reading import ReadState
from hactl.linux.errors import OperationError
from hactl.model import events
from hactl.model.cluster import ClusterSpec
from hactl.model.effects import Act, Announce, LeaveAlone, StopAnnouncing
from hactl.model.resources import HaproxySpec, PromoteSpec, ResourceSpec, runs_alike
from hactl.resources.base import Announcing, Commands, NodeContext, Observation, Resource
from hactl.resources.factory import make
from hactl.supervise import describe

log = structlog.get_logger()

Name = tuple[str, str]

WATCH_AGAIN_S = 1.0
LOOK_TIMEOUT_S = 2.0
Post = Callable[[events.Event], None]


class _Watch(NamedTuple):
    """A resource that is watched, as `spec` says. `env`: the variables of what is run for it."""

    task: asyncio.Task[None]
    resource: Resource
    spec: ResourceSpec
    env: Mapping[str, str]


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
        self._watching: dict[Name, _Watch] = {}
        self._cluster_spec: ClusterSpec | None = None
        self._alone: set[str] = set()

    def resource(self, group: str, spec: ResourceSpec) -> Resource:
        """The resource of this definition. One that differs in how it is watched is the same. Raises ResourceError."""
        resource = self._resources.get((group, spec.name))
        fits = resource is not None and runs_alike(resource.spec, spec)
        # Of a promoted role nothing but the definition is kept; by its score it may be asked in another way.
        if resource is None or not fits or (isinstance(spec, PromoteSpec) and spec != resource.spec):
            resource = self._balancer(spec) if isinstance(spec, HaproxySpec) else make(spec, self._context, group)
            self._resources[group, spec.name] = resource
        return resource

    def look(self, state: ReadState) -> None:
        """After every step of the decide side: resources may be configured to be watched in another way. Cheap."""
        if state.cluster is self._cluster_spec:
            return
        self._cluster_spec = state.cluster
        for (group, name), watch in list(self._watching.items()):
            run = state.here(group)
            spec = next((spec for spec in run.spec.resources if spec.name == name), None) if run else None
            if spec is not None and spec != watch.spec and runs_alike(spec, watch.spec):
                watch.task.cancel()
                self._begin_watch(group, watch.resource, spec, watch.env, started=False)

    def carry_out(self, effect: Act | Announce | StopAnnouncing | LeaveAlone) -> None:
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
            case LeaveAlone():
                self._leave_alone(effect.group, alone=effect.alone)

    def _leave_alone(self, group: str, *, alone: bool) -> None:
        """Watch nothing of the group, or again what is seen running: who watches puts things right."""
        if not alone:
            self._alone.discard(group)
            return
        self._alone.add(group)
        for name in [name for name in self._watching if name[0] == group]:
            self._watching.pop(name).task.cancel()

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
        tasks = [*self._acting.values(), *(watch.task for watch in self._watching.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _act(self, act: Act, before: asyncio.Task[None] | None) -> None:
        """The decide side is told of every outcome: it waits for Acted without end."""
        if before is not None:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await before
        try:
            seen = await self._try(act)
        except TimeoutError:
            problem = f"{self._hung(act)}not done within {act.timeout_ms / 1000:g} s"
        except OperationError as error:
            problem = str(error)
        except OSError as error:
            problem = describe(error)
        except Exception as error:  # a resource's own mistake must not take the daemon down
            log.exception("action_crashed", group=act.group, resource=act.resource.name, action=act.action)
            problem = describe(error)
        else:
            self._post(events.Acted(act.id, True, seen.health, seen.detail, seen.score))
            return
        self._post(events.Acted(act.id, False, "failed", problem))

    async def _try(self, act: Act) -> Observation:
        if act.action == "probe":
            await self._settled.wait()
        else:
            await self._unwatch((act.group, act.resource.name))
        resource = self.resource(act.group, act.resource)
        async with asyncio.timeout(act.timeout_ms / 1000):
            seen = await self._do(resource, act)
        if seen.health == "running":
            self._watch(act, resource)
        return seen

    def _hung(self, act: Act) -> str:
        resource = self._resources.get((act.group, act.resource.name))
        named = resource.under_way if isinstance(resource, Commands) else ""
        return f"`{named}` hangs: " if named else ""

    async def _do(self, resource: Resource, act: Act) -> Observation:
        if act.action == "probe":
            return await resource.probe()
        if act.action == "start":
            # Its promoted role may have it killed: what is started meanwhile would be killed, too.
            await self._context.turns.of(act.group, act.resource.name).no_kill()
            await resource.start(self._environment(act))
            return Observation("running")
        await (resource.stop() if act.action == "stop" else resource.kill())
        return Observation("stopped")

    def _environment(self, act: Act) -> dict[str, str]:
        return {
            **({"HACTL_BESIDE": " ".join(act.beside)} if act.beside else {}),
            "HACTL_CLUSTER": self._cluster,
            "HACTL_NODE": self._context.node,
            "HACTL_GROUP": act.group,
            "HACTL_RESOURCE": act.resource.name,
            "HACTL_EPOCH": str(act.epoch),
        }

    def _watch(self, act: Act, resource: Resource) -> None:
        if (act.group, act.resource.name) not in self._watching and act.group not in self._alone:
            started = act.action == "start"
            self._begin_watch(act.group, resource, act.resource, self._environment(act), started=started)

    def _begin_watch(
        self, group: str, resource: Resource, spec: ResourceSpec, env: Mapping[str, str], *, started: bool
    ) -> None:
        name = (group, spec.name)
        watching = self._watch_over(group, resource, spec, env, started=started)
        task = asyncio.create_task(watching, name=f"watch {'/'.join(name)}")
        self._watching[name] = _Watch(task, resource, spec, env)

    async def _unwatch(self, name: Name) -> None:
        if (watch := self._watching.pop(name, None)) is not None:
            watch.task.cancel()
            await asyncio.gather(watch.task, return_exceptions=True)

    async def _watch_over(
        self, group: str, resource: Resource, spec: ResourceSpec, env: Mapping[str, str], *, started: bool
    ) -> None:
        """Report what events and the periodic checks show, until cancelled."""
        from hactl.daemon.observe.health_checks import HealthChecks  # noqa: PLC0415 - when something runs

        def report(seen: Observation) -> None:
            if seen.detail:
                log.info("resource_seen", group=group, resource=spec.name, health=seen.health, detail=seen.detail)
            self._post(events.Observed(group, spec.name, seen.health, seen.detail, seen.put_right, seen.warned))

        checks = HealthChecks(group, resource, spec, report, self._context.tasks, env)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._events(resource, checks.seen))
            tasks.create_task(checks.run(started=started))

    async def _events(self, resource: Resource, report: Callable[[Observation], None]) -> None:
        while True:
            try:
                await resource.watch(report)
            except (OperationError, OSError) as error:
                log.warning("resource_watch_broken", resource=resource.spec.name, problem=describe(error))
            except Exception as error:
                log.exception("resource_watch_broken", resource=resource.spec.name, problem=describe(error))
            await asyncio.sleep(WATCH_AGAIN_S)
