"""The order of the daemon's imports, and its work beside holding its session.

A daemon that comes after one that was killed must renew before the guard's deadline, which with the profile `fast` is
0.9 s away; half of its modules are not needed for that. So:

1. First the imports of `hactl.daemon.main`: settings, guard, etcd, the decide side. A module that is large, or brings
   a large library along, must not be among these (`tests/integration/daemon/test_stages.py`).
2. Once nothing hurries, the imports in this file: HAProxy, metrics, the API, fence agents. The kinds of resources
   are imported where they are first used (`hactl.resources.factory`); probes wait for `settled`, so that this is not
   before either.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from hactl.config.node import NodeConfig
from hactl.daemon.observe.loop_times import times_of_running_loop
from hactl.decide.phases import resumable
from hactl.decide.reading import ReadState
from hactl.linux.aside import aside
from hactl.model.cluster import ClusterSpec
from hactl.model.resources import HaproxySpec, ResourceSpec
from hactl.resources.base import NodeContext, Resource

if TYPE_CHECKING:
    from hactl.admin.event_log import Entry
    from hactl.daemon.daemon_view import DaemonView
    from hactl.daemon.guard_link import GuardLink
    from hactl.daemon.hooks.feed import Hooks
    from hactl.daemon.metrics import Metrics
    from hactl.daemon.observe.device_monitor import DeviceMonitor
    from hactl.daemon.observe.group_probes import GroupProbes
    from hactl.daemon.observe.health import HealthFollower
    from hactl.daemon.observe.node_health.observer import NodeHealth
    from hactl.daemon.observe.service_probes import ServiceProbes
    from hactl.daemon.parts.balancer import Balancer
    from hactl.daemon.parts.guard_asker import GuardAsker
    from hactl.haproxy.control.in_group import InGroupManager
    from hactl.haproxy.events import HaproxyEvent
    from hactl.model.effects import AskGuard
    from hactl.model.events import Event
    from hactl.status.health import ProbeHealth

# Without a store all is begun after this long.
WAIT_S = 2.0

# The parts are loaded and begun within this time: the times of the loop do not count meanwhile.
START_S = 5.0

# So many events are remembered for hooks, until it is known whether there are any.
EARLY = 100

Note = Callable[[str, dict[str, Any]], None]
# Source, problem ("": none), and what to do.
Trouble = Callable[[str, str, str], None]
Make = Callable[[str, ResourceSpec], Resource]


class SecondStage:
    """Metrics, HAProxy, the API, and the tests of the fence devices. `metrics` is there before the API is; earlier
    counts are not lost.

    `settled` is set, for good, when there is no session to be renewed in a hurry; `devices_configured` when there are
    devices to test, `probes_configured` when there are services to probe, `hooks_configured` when there are hooks,
    `units_configured` when there are units of systemd's,
    `checks_configured` when there are health checks.
    """

    metrics: Metrics

    def __init__(
        self,
        config: NodeConfig,
        context: NodeContext,
        note: Note,
        trouble: Trouble = lambda source, problem, todo: None,
    ) -> None:
        self.settled = asyncio.Event()
        self.balancer: Balancer | None = None
        self._balances = asyncio.Event()
        self._in_group: InGroupManager | None = None
        self.health: HealthFollower | None = None
        self._probes: ServiceProbes | None = None
        self.probes_configured = asyncio.Event()
        self._group_probes: GroupProbes | None = None
        self._groups_probed = asyncio.Event()  # there are groups to ask as a client does
        self._devices: DeviceMonitor | None = None
        self.asker: GuardAsker | None = None
        self.units_configured = asyncio.Event()
        self.devices_configured = asyncio.Event()  # the module that tests them is 2 MB, and there may be none
        self.hooks: Hooks | None = None
        self.hooks_configured = asyncio.Event()
        self.node_health: NodeHealth | None = None
        self.checks_configured = asyncio.Event()
        self._early: deque[Entry] = deque(maxlen=EARLY)
        self._config, self._context, self._note, self._trouble = config, context, note, trouble
        self._cluster: ClusterSpec | None = None  # that was looked at last
        self._counted: list[Callable[[Metrics], None]] | None = []

    def look(self, state: ReadState) -> None:
        """After every step."""
        if not _hurried(state):
            self.settled.set()
        if self.balancer is not None:
            self.balancer.changed(state)
        for part in (self._devices, self.asker, self._probes, self.hooks, self.node_health, self._group_probes):
            if part is not None:
                part.look(state)
        if state.cluster is not None and state.cluster is not self._cluster:
            self._cluster = state.cluster
            if state.cluster.fencing.devices:
                self.devices_configured.set()
            if any(resource.kind == "systemd" for group in state.cluster.groups for resource in group.resources):
                self.units_configured.set()
            if any(service.options.probe for service in state.cluster.services):
                self.probes_configured.set()
            if state.cluster.health:
                self.checks_configured.set()
            if any(group.probes for group in state.cluster.groups):
                self._groups_probed.set()
            if state.cluster.hooks:
                self.hooks_configured.set()
            else:
                self._early.clear()

    def told(self, entry: Entry) -> None:
        """An event, for the hooks."""
        if self.hooks is not None:
            self.hooks.take(entry)
        elif self._cluster is None or self._cluster.hooks:
            self._early.append(entry)

    def count(self, tell: Callable[[Metrics], None]) -> None:
        """Tell the metrics something."""
        if self._counted is None:
            tell(self.metrics)
        else:
            self._counted.append(tell)

    def ask(self, effect: AskGuard) -> None:
        """Ask a peer's guard."""
        if self.asker is not None:
            self.asker.ask(effect.node, effect.address, effect.session_id)

    async def run(self, daemon: DaemonView, guard: GuardLink, post: Callable[[Event], None], resource: Make) -> None:
        """Begin with every part, each for itself. `post` gets the answers of peers' guards, this node's readiness
        for groups, and observations of the resources that `resource` makes."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.settled.wait(), WAIT_S)
        self.settled.set()
        parts: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "start of HAProxy": lambda: self._balance(daemon, post),
            "health of servers": lambda: self._follow_health(daemon),
            "probes of services": lambda: self._probe_services(daemon),
            "hooks": lambda: self._deliver(daemon),
            "health checks": lambda: self._check_health(daemon, post),
            "probes of groups": lambda: self._probe_groups(daemon, post),
            "API": lambda: self._serve(daemon),
            "publishing": lambda: self._publish(daemon),
            "tests of fence devices": lambda: self._test_devices(daemon),
            "output of processes": self._bound_output,
            "questions to guards": lambda: self._ask_guards(daemon, guard, post),
            "look at resources": lambda: self._look_out(daemon, post, resource),
            "time of day": lambda: self._follow_time_of_day(post),
            "units of systemd": lambda: self._keep_units(daemon, post, resource),
        }
        for name, part in parts.items():
            self._context.tasks.keep(name, part)

    def run_dir_emptied(self) -> None:
        """HAProxy's files there must be made again."""
        if self.balancer is not None:
            self.balancer.again()

    def balancer_resource(self, spec: HaproxySpec) -> Resource:
        """HAProxy as a part of a group. It can be stopped at any time, and is started once HAProxy is begun with."""
        from hactl.daemon.parts.balancer_resource import BalancerResource  # noqa: PLC0415 - when it is wanted

        return BalancerResource(spec, self._haproxy_in_group(), self._await_balancer)

    async def close(self) -> None:
        """Leave HAProxy running."""
        if self.balancer is not None:
            await self.balancer.close()

    async def _balance(self, daemon: DaemonView, post: Callable[[Event], None]) -> None:
        await asyncio.to_thread(importlib.import_module, "hactl.daemon.parts.balancer")
        from hactl.daemon.parts.balancer import Balancer  # noqa: PLC0415 - now

        in_group = self._haproxy_in_group()
        if self.balancer is None:
            self.balancer = Balancer(
                in_group.settings,
                self._context,
                self._note_of_haproxy,
                in_group,
                lambda step: self.count(lambda metrics: metrics.observe_applied(step)),
                post,
                lambda event: self.count(lambda metrics: metrics.note(event, {})),
            )
        await self.balancer.begin()
        self.balancer.changed(daemon.state)
        self._balances.set()

    def _haproxy_in_group(self) -> InGroupManager:
        from hactl.haproxy.control.in_group import InGroupManager  # noqa: PLC0415 - when it is wanted
        from hactl.haproxy.settings import HaproxySettings  # noqa: PLC0415

        def on_event(event: HaproxyEvent) -> None:
            self._note_of_haproxy(f"haproxy_{event.kind}", {"detail": event.detail})
            if event.kind == "stopped" and self.balancer is not None:
                self.balancer.again()

        if self._in_group is None:
            settings = HaproxySettings(self._config.haproxy_dir, self._config.haproxy_binary, self._config.state_dir)
            self._in_group = InGroupManager(settings, self._context, on_event)
        return self._in_group

    async def _await_balancer(self) -> Balancer:
        await self._balances.wait()
        assert self.balancer is not None
        return self.balancer

    def _note_of_haproxy(self, event: str, data: dict[str, Any]) -> None:
        self._note(event, data)
        if self.health is not None:
            self.health.poke()

    async def _follow_health(self, daemon: DaemonView) -> None:
        await asyncio.to_thread(importlib.import_module, "hactl.daemon.observe.health")
        from hactl.daemon.observe.health import HealthFollower  # noqa: PLC0415 - now

        self.health = HealthFollower(daemon, self._note)
        await self.health.run()

    async def _probe_services(self, daemon: DaemonView) -> None:
        await self.probes_configured.wait()
        await asyncio.to_thread(importlib.import_module, "hactl.daemon.observe.service_probes")
        from hactl.daemon.observe.service_probes import ServiceProbes  # noqa: PLC0415 - now

        self._probes = ServiceProbes(daemon, self._probed, self.count)
        await self._probes.run()

    async def _probe_groups(self, daemon: DaemonView, post: Callable[[Event], None]) -> None:
        await self._groups_probed.wait()
        await asyncio.to_thread(importlib.import_module, "hactl.daemon.observe.group_probes")
        from hactl.daemon.observe.group_probes import GroupProbes  # noqa: PLC0415 - now

        self._group_probes = GroupProbes(daemon, post)
        await self._group_probes.run()

    def _probed(self, service: str, probe: ProbeHealth | None) -> None:
        if self.health is not None:
            self.health.probed(service, probe)

    async def _deliver(self, daemon: DaemonView) -> None:
        await self.hooks_configured.wait()
        await asyncio.to_thread(importlib.import_module, "hactl.daemon.hooks.feed")
        from hactl.daemon.hooks.feed import Hooks  # noqa: PLC0415 - now

        if self.hooks is None:
            context, config = self._context, self._config
            hooks = Hooks(
                config.node, config.state_dir, context.daemon_cgroup, lambda: daemon.state, daemon.tasks, self._note,
                self._trouble,
            )  # fmt: skip
            await hooks.begin()
            self.hooks = hooks
            hooks.look(daemon.state)
            while self._early:
                hooks.take(self._early.popleft())
        await self.hooks.run()

    async def _check_health(self, daemon: DaemonView, post: Callable[[Event], None]) -> None:
        await self.checks_configured.wait()
        await asyncio.to_thread(importlib.import_module, "hactl.daemon.observe.node_health.observer")
        from hactl.daemon.observe.node_health.observer import NodeHealth  # noqa: PLC0415 - now

        cgroup = self._context.daemon_cgroup
        self.node_health = NodeHealth(lambda: daemon.state, cgroup, daemon.tasks, post, self._trouble)
        await self.node_health.run()

    async def _serve(self, daemon: DaemonView) -> None:
        await asyncio.to_thread(importlib.import_module, "hactl.daemon.api.routes")
        from hactl.daemon.api import routes  # noqa: PLC0415 - now

        await routes.serve(daemon)

    async def _publish(self, daemon: DaemonView) -> None:
        await asyncio.to_thread(importlib.import_module, "hactl.daemon.api.routes")
        from hactl.daemon.metrics import Metrics  # noqa: PLC0415 - now
        from hactl.daemon.publish import publish  # noqa: PLC0415

        if self._counted is not None:
            self.metrics, counted, self._counted = Metrics(), self._counted, None
            for tell in counted:
                tell(self.metrics)
            _settle()
        await publish(daemon)

    async def _look_out(self, daemon: DaemonView, post: Callable[[Event], None], resource: Make) -> None:
        from hactl.daemon.observe.resources import Lookout  # noqa: PLC0415 - now

        await Lookout(lambda: daemon.state, resource, post).run()

    async def _follow_time_of_day(self, post: Callable[[Event], None]) -> None:
        from hactl.daemon.observe.time_of_day import follow_time_of_day  # noqa: PLC0415 - now

        await follow_time_of_day(post)

    async def _keep_units(self, daemon: DaemonView, post: Callable[[Event], None], resource: Make) -> None:
        if not await aside("systemd's drop-ins", self._context.drop_ins.any):  # of a configuration that had units
            await self.units_configured.wait()
        await asyncio.to_thread(importlib.import_module, "hactl.daemon.observe.units")
        from hactl.daemon.observe.units import UnitKeeper  # noqa: PLC0415 - now

        await UnitKeeper(lambda: daemon.state, resource, post, self._context).run()

    async def _bound_output(self) -> None:
        from hactl.linux.output_keeper import OutputKeeper  # noqa: PLC0415 - now

        def cut(process: str, gone: int) -> None:
            self.count(lambda metrics: metrics.observe_output_cut(process, gone))

        await OutputKeeper(f"{self._context.state_dir}/log", cut).run()

    async def _ask_guards(self, daemon: DaemonView, guard: GuardLink, post: Callable[[Event], None]) -> None:
        from hactl.daemon.parts.guard_asker import GuardAsker  # noqa: PLC0415 - now

        self.asker = GuardAsker(self._config, post)
        try:
            self.asker.look(daemon.state)
            await self.asker.answer(guard)
        finally:
            self.asker.close()

    async def _test_devices(self, daemon: DaemonView) -> None:
        await self.devices_configured.wait()
        await asyncio.to_thread(importlib.import_module, "hactl.daemon.observe.device_monitor")
        from hactl.daemon.observe.device_monitor import DeviceMonitor  # noqa: PLC0415 - now

        self._devices = DeviceMonitor(daemon, self._note, self.count, self._context.daemon_cgroup)
        await self._devices.run()


def _hurried(state: ReadState) -> bool:
    """Whether the last daemon's session may be there to go on with, and was not renewed yet."""
    if state.phase == "listing":
        return resumable(state)
    return state.phase == "live" and state.observer.last_own_renewal is None


def _settle() -> None:
    """The present objects stay: leave them out of garbage collection. A full one of all of them stops the loop for
    50 ms, and is triggered by a takeover as a rule."""
    gc.enable()
    gc.collect()
    gc.freeze()
    if (times := times_of_running_loop()) is not None:
        times.begin(START_S)
