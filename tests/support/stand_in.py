"""The daemon's API on a real socket, with the daemon's real state, which a test fills by way of the store."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import structlog

from election.clock import Instant
from election.keys import Keys
from election.records import CheckReport
from election.store import Store, WatchBatch
from hactl.config.node import NodeConfig
from hactl.daemon.api.routes import serve
from hactl.daemon.metrics import Metrics
from hactl.daemon.observe.etcd import EtcdObserver
from hactl.daemon.observe.etcd_access import EtcdAccess
from hactl.daemon.observe.watchdog import WatchdogFollower
from hactl.daemon.parts.history import History
from hactl.daemon.parts.last_known import LastKnown
from hactl.daemon.publish import publish
from hactl.decide import node as decide
from hactl.decide.state import NodeState
from hactl.haproxy.control.manager import HaproxyManager
from hactl.model.cluster import ClusterSpec
from hactl.model.events import Boot, GuardFacts
from hactl.status.health import NodeHealth
from hactl.supervise import Tasks
from tests.support.scene import KEYS, Scene
from tests.support.waiting import wait_until

DEADLINE_S = 10.0


def node_state(spec: ClusterSpec | None, node: str = "n2") -> NodeState:
    """The state of a daemon that has just begun, but for the configuration."""
    state = decide.new_state(KEYS, Boot(node, "m", "b", "nonce", GuardFacts("", None, False, (), 1), None, 0))
    state.cluster = spec
    return state


def now() -> Instant:
    """Both clocks."""
    return Instant(
        time.clock_gettime_ns(time.CLOCK_BOOTTIME) / 1e6, time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) / 1e6
    )


async def _no_spec() -> None:
    """No configuration was used here before."""


class StandIn:
    """The part of a daemon that the API needs: the decide side's state, kept up with the store by a watch, without
    decisions."""

    def __init__(self, scene: Scene, config: NodeConfig) -> None:
        self.config, self.store, self.keys = config, scene.store, Keys.of(config.cluster)
        self.state = node_state(scene.spec, config.node)
        self.state.phase = self.state.session.state = "live"
        self.state.session.valid_until = now().plus(3_600_000)
        self.state.guard_ready = True
        self.haproxy: HaproxyManager | None = None
        self.history = History(scene.store, self.keys, config.node)
        self.metrics = Metrics()
        self.history.attach(lambda: self.state, self.metrics.observe_timeline)
        self.started_wall = time.time()
        self.tasks, self.log_lines_lost = Tasks(), 0
        self.asking_problem = ""
        self.hooks = None
        self.checks: dict[str, CheckReport] = {}
        self.health: NodeHealth | None = None
        self.watchdog = WatchdogFollower("off", lambda _: None)
        self.etcd_access = EtcdAccess(config)
        self.etcd_observer = EtcdObserver(config, scene.store, lambda *_: None)
        self.last_known = LastKnown(config.state_dir, self.keys, _no_spec)

    def now(self) -> Instant:
        return now()

    async def blocking(self, call: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.to_thread(call, *args)

    query = blocking

    def follow(self, loop: asyncio.AbstractEventLoop) -> Any:
        """Keep the view up with the store."""
        snapshot = self.store.snapshot(self.keys.prefix, timeout_s=5)
        self._learn(self.state.view.load(snapshot))

        def deliver(event: object) -> None:
            if isinstance(event, WatchBatch):
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(lambda: self._learn(self.state.view.apply(event)))

        return self.store.watch(self.keys.prefix, snapshot.revision + 1, deliver)

    def _learn(self, changed: list[str]) -> None:
        """As the decide side has its observer look."""
        view, observer = self.state.view, self.state.observer
        for key in changed:
            kind, *names = self.keys.split(key)
            if kind == "fence":
                fence = view.fences.get(names[0])
                observer.on_fence(names[0], fence.record if fence else None, now())
        self.history.look(self.state, now())

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve, and write the history, until cancelled."""
        watch = self.follow(asyncio.get_running_loop())
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(serve(self))
                tasks.create_task(publish(self))
                tasks.create_task(self.history.run())
                await wait_until(Path(self.config.api_socket).exists, "the API is served", blocking=True)
                ready()
        finally:
            await asyncio.to_thread(watch.cancel)


@contextlib.contextmanager
def serving(scene: Scene, config: NodeConfig) -> Iterator[StandIn]:
    """Serve in a thread of its own inside the block."""
    started, kept, failed = threading.Event(), [], []

    async def main() -> None:
        stand_in = StandIn(scene, config)
        kept.append((stand_in, asyncio.get_running_loop(), asyncio.current_task()))
        with contextlib.suppress(asyncio.CancelledError):
            await stand_in.run(started.set)

    def thread() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            failed.append(error)
            started.set()

    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())  # output is what commands say
    runner = threading.Thread(target=thread, name="stand-in")
    runner.start()
    assert started.wait(DEADLINE_S), "the stand-in does not serve"
    if failed:
        raise failed[0]
    stand_in, loop, task = kept[0]
    try:
        yield stand_in
    finally:
        loop.call_soon_threadsafe(task.cancel)
        runner.join(DEADLINE_S)
        structlog.configure(**before)
        assert not runner.is_alive()
    if failed:
        raise failed[0]


__all__ = ["StandIn", "Store", "node_state", "now", "serving"]
