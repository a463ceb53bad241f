"""A HAProxy of its own for a test, servers behind it, and a client that never stops asking."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hactl.haproxy.control.manager import HaproxyManager
from hactl.haproxy.events import HaproxyEvent
from hactl.haproxy.render.document import render
from hactl.haproxy.routing import Routing
from hactl.haproxy.settings import HaproxySettings
from hactl.model.cluster import ClusterSpec, NodeSpec
from hactl.resources.base import NodeContext
from tests.support.specs import haproxy_options, service_spec
from tests.support.waiting import wait_until

DEADLINE_S = 20.0
# As ETCD does for etcd: another HAProxy for the tests.
BINARY = os.environ.get("HAPROXY", "haproxy")
# Fast enough for a test, slow enough for a busy machine.
CHECK = {"inter_ms": 200, "fastinter_ms": 50, "downinter_ms": 100}
NODES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")


def free_port() -> int:
    """A port that nothing listens on at any address, below those that the kernel gives to clients meanwhile."""
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("", port))
            return port


@dataclass
class Lab:
    """One test's HAProxy. `a`, `b`, `c` are the nodes 127.0.0.1 to .3; the service's servers are real ones."""

    directory: Path
    context: NodeContext
    port: int = field(default_factory=free_port)
    server_port: int = field(default_factory=free_port)
    events: list[HaproxyEvent] = field(default_factory=list)
    managers: list[HaproxyManager] = field(default_factory=list)

    @property
    def settings(self) -> HaproxySettings:
        return HaproxySettings(str(self.directory / "run"), BINARY)

    def manager(self) -> HaproxyManager:
        made = HaproxyManager(self.settings, self.context, self.events.append)
        self.managers.append(made)
        return made

    def installed(self) -> str:
        """The file that HAProxy reads."""
        return Path(self.settings.config_file).read_text()

    def install(self, text: str) -> None:
        """Put a file there behind the manager's back."""
        Path(self.settings.config_file).write_text(text)

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def config(
        self,
        names: str = "abc",
        live: str = "abc",
        revision: int = 1,
        binds: tuple[str, ...] = (),
        drained: str = "",
        owner: str | None = None,
        mode: Literal["tcp", "http"] = "http",
        **options: Any,
    ) -> str:
        nodes = tuple(NodeSpec(name, NODES["abc".index(name)]) for name in names)
        bound = (f"127.0.0.1:{self.port}", *binds)
        service = service_spec("web", bound, self.server_port, mode, **{"check": CHECK, **options})
        cluster = ClusterSpec(
            "lab", nodes, services=(service,), haproxy=haproxy_options(log=[], nbthread=1, maxconn=500)
        )
        owners = {} if owner is None else {"vip": owner}
        routing = Routing(frozenset(live), frozenset(("web", name) for name in drained), owners)
        return render(cluster, routing, "a", self.settings, revision)

    @contextlib.asynccontextmanager
    async def servers(self, *names: str) -> Any:
        """Servers on the nodes that answer with their node's name."""
        async with contextlib.AsyncExitStack() as stack:
            running = {}
            for name in names:

                async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str = name) -> None:
                    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                        await reader.readuntil(b"\r\n\r\n")
                        writer.write(
                            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n" + name.encode()
                        )
                        await writer.drain()
                    writer.close()

                address = NODES["abc".index(name)]
                server = await asyncio.start_server(answer, address, self.server_port, backlog=200)
                running[name] = await stack.enter_async_context(server)
            yield running

    @contextlib.contextmanager
    def silent(self, name: str) -> Iterator[None]:
        """The node takes no notice of attempts to connect, as if it had no power: the kernel drops them where the
        queue of a listener is full."""
        address = (NODES["abc".index(name)], self.server_port)
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.create_server(address, backlog=0))
            for _ in range(3):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(listener.getsockname())
            yield

    async def ask(self) -> str:
        """One request through HAProxy on a connection of its own: the name of the node that answered. Raises
        OSError for anything but a good answer."""
        async with asyncio.timeout(DEADLINE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                writer.write(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
                answer = await reader.read()
            finally:
                writer.close()
        if not answer.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(f"answer {answer[:60]!r}")
        return answer.decode()[-1]

    def client(self) -> Client:
        return Client(self)


@dataclass
class Client:
    """Sends requests again and again, several at a time, until it is stopped."""

    lab: Lab
    answers: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    longest_gap_s: float = 0.0
    _last: float = 0.0
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> Client:
        self._last = time.monotonic()
        self._tasks = [asyncio.create_task(self._ask_for_ever()) for _ in range(3)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def more(self, count: int = 60) -> None:
        """Wait for so many more good answers."""
        wanted = len(self.answers) + count
        await wait_until(lambda: len(self.answers) >= wanted, f"{count} more answers; errors: {self.errors[-3:]}")

    async def _ask_for_ever(self) -> None:
        while True:
            try:
                self.answers.append(await self.lab.ask())
                now = time.monotonic()
                self.longest_gap_s = max(self.longest_gap_s, now - self._last)
                self._last = now
            except OSError as error:
                self.errors.append(repr(error))
            await asyncio.sleep(0.005)


def pids_of(lab: Lab) -> list[int]:
    """Every process of this lab's HAProxy: those whose command line names its configuration."""
    pids = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            pid = int(entry.name)
            if lab.settings.config_file.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                pids.append(pid)
    return pids


async def served_again(lab: Lab) -> None:
    """Wait until a request is answered."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                await lab.ask()
                return
            except OSError:
                await asyncio.sleep(0.01)


@contextlib.contextmanager
def nothing_left(lab: Lab) -> Iterator[None]:
    """Kills every process of the lab in the end, whatever happens."""
    try:
        yield
    finally:
        for pid in pids_of(lab):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + DEADLINE_S
        while pids_of(lab) and time.monotonic() < deadline:
            time.sleep(0.01)
        if lab.context.cgroup_root is not None:
            for directory in (Path(lab.context.cgroup_root, "%40haproxy"), Path(lab.context.cgroup_root)):
                with contextlib.suppress(OSError):
                    directory.rmdir()
