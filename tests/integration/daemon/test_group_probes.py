"""A node asks the addresses of other nodes' groups, on real sockets, and says what it found when that changes."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from typing import Any

from msgspec.structs import replace as changed

from election.memory_store import MemoryStore
from hactl.config.node import NodeConfig
from hactl.daemon.observe.group_probes import GroupProbes
from hactl.model.events import Event, GroupProbed
from hactl.model.probes import HealthProbe, Rhythm, TcpCheck
from tests.integration.probes.servers import served, silent
from tests.support.scene import Scene
from tests.support.stand_in import StandIn

DEADLINE_S = 20.0


def in_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run it in an event loop."""

    @functools.wraps(test)
    def run() -> None:
        asyncio.run(test())

    return run


QUICK = Rhythm(interval_ms=50, timeout_ms=2000, fall=3)


class Prober:
    """n2; n1 has the group `vip`, whose address is asked at this port of 127.0.0.1."""

    def __init__(self, *ports: int, rhythm: Rhythm = QUICK) -> None:
        self.scene = Scene(MemoryStore())
        self.scene.join("n1", "n2", "n3")
        self.own("n1", 7)
        self.daemon = StandIn(self.scene, NodeConfig(cluster="demo", node="n2"))
        self.said: asyncio.Queue[GroupProbed] = asyncio.Queue()
        self.probes = GroupProbes(self.daemon, self._hear)
        self.ask(*ports, rhythm=rhythm)
        self.learn()

    def ask(self, *ports: int, rhythm: Rhythm = QUICK) -> None:
        group = self.scene.spec.groups[0]
        probes = tuple(HealthProbe(TcpCheck(port, "127.0.0.1"), rhythm) for port in ports)
        groups = (replace(group, probes=probes), *self.scene.spec.groups[1:])
        self.daemon.state.cluster = replace(self.scene.spec, groups=groups)
        self.probes.look(self.daemon.state)

    def own(self, node: str, epoch: int) -> None:
        self.scene.own("vip", node, epoch=epoch)

    def learn(self) -> None:
        self.daemon.state.view = self.scene.view

    def _hear(self, event: Event) -> None:
        assert isinstance(event, GroupProbed)
        self.said.put_nowait(event)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.probes.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.daemon.tasks.close()

    async def next(self) -> GroupProbed:
        async with asyncio.timeout(DEADLINE_S):
            return await self.said.get()

    async def quiet(self) -> None:
        await asyncio.sleep(10 * QUICK.interval_ms / 1000)
        assert self.said.empty()


@in_loop
async def test_well_failed_and_well_again() -> None:
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    prober = Prober(port)
    async with prober.running():
        assert await prober.next() == GroupProbed("vip", 7, True)
        await prober.quiet()  # once for each change
        server.close()
        assert await prober.next() == GroupProbed("vip", 7, False, f"tcp 127.0.0.1:{port}: Connection refused")
        await prober.quiet()
        server = await asyncio.start_server(silent, "127.0.0.1", port)
        assert await prober.next() == GroupProbed("vip", 7, True)
    server.close()


@in_loop
async def test_it_is_well_when_every_probe_is_and_failed_when_one_has() -> None:
    async with served(silent) as first, served(silent) as second:
        async with served(silent) as third:
            pass
        prober = Prober(first, second, rhythm=QUICK)
        async with prober.running():
            assert (await prober.next()).well
            prober.ask(first, third)
            failed = await prober.next()
            assert (failed.well, f"tcp 127.0.0.1:{third}" in failed.why) == (False, True)


@in_loop
async def test_each_ownership_is_looked_at_anew_and_ones_own_not_at_all() -> None:
    async with served(silent) as port:
        prober = Prober(port)
        async with prober.running():
            assert (await prober.next()).epoch == 7
            prober.own("n3", 8)
            prober.learn()
            assert await prober.next() == GroupProbed("vip", 8, True)
            prober.own("n2", 9)
            prober.learn()
            await prober.quiet()
            prober.own("n1", 10)
            prober.scene.kill("n1")
            prober.learn()
            await prober.quiet()


@in_loop
async def test_not_before_the_delay_after_the_start_is_over() -> None:
    async with served(silent) as port:
        prober = Prober(port, rhythm=changed(QUICK, start_delay_ms=700.0))
        loop = asyncio.get_running_loop()
        async with prober.running():
            began = loop.time()
            await prober.next()
            assert loop.time() - began >= 0.7
