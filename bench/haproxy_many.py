"""Many services: how long it takes until a change of one server is in force. `python -m bench.haproxy_many FILE`

A process of its own, in a network namespace where its ports are free: HAProxy as the daemon drives it, with servers
that it can check. Writes its measurements into the file that it is given, as JSON, in ms.
"""

from __future__ import annotations

import asyncio
import json
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from hactl.config.load import parse_cluster
from hactl.haproxy.control.files import ConfigFiles
from hactl.haproxy.control.manager import HaproxyManager
from hactl.haproxy.render.document import render
from hactl.haproxy.routing import Routing
from hactl.haproxy.settings import HaproxySettings
from hactl.model.cluster import ClusterSpec
from hactl.resources.base import NodeContext

SERVICES, TIMES = 200, 10
NODES = {"a": "127.0.0.1", "b": "127.0.0.2", "c": "127.0.0.3"}
BIND, PORT = 20_000, 30_000
CHANGED = "service-100"
# Far apart, so that the cost of the checks is not measured.
CHECK = "{http: /healthcheck, inter: 10s}"


def cluster(more: str = "") -> ClusterSpec:
    """The configuration. `more`: settings of one of the services."""
    nodes = "".join(f"  - {{name: {name}, address: {address}}}\n" for name, address in NODES.items())
    services = "".join(
        f"  - {{name: service-{number:03}, binds: ['127.0.0.1:{BIND + number}'], port: {PORT + number}, mode: http, "
        f"check: {CHECK}{more if f'service-{number:03}' == CHANGED else ''}}}\n"
        for number in range(SERVICES)
    )
    text = (
        f"cluster: many\nnodes:\n{nodes}services:\n{services}haproxy: {{log: [], user: '', group: '', nbthread: 1}}\n"
    )
    return parse_cluster(text)


def answer_all() -> None:
    """The servers of all services."""
    selector = selectors.DefaultSelector()
    for number in range(SERVICES):
        listener = socket.create_server(("", PORT + number))
        selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            assert isinstance(key.fileobj, socket.socket)
            connection, _ = key.fileobj.accept()
            connection.recv(4096)
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
            connection.close()


class Bench:
    """HAProxy with all services, and the configurations between which it goes to and fro."""

    def __init__(self, directory: str) -> None:
        self.settings = HaproxySettings(f"{directory}/haproxy")
        self.manager = HaproxyManager(self.settings, NodeContext("a", directory, None))
        self.plain = cluster()
        self.everyone = Routing(frozenset(NODES))
        self.stall_ms = 0.0

    def text(self, spec: ClusterSpec, routing: Routing | None = None) -> str:
        """The wanted file."""
        return render(spec, routing or self.everyone, "a", self.settings, 1)

    async def begin(self) -> None:
        """HAProxy runs with all services."""
        result = await self.manager.ensure(self.text(self.plain))
        assert result.step == "start", result

    async def there_and_back(
        self, spec: ClusterSpec, routing: Routing | None = None, *, step: str, back: str = ""
    ) -> list[float]:
        """Change it, and change it back; how long each took, from the news to the last of HAProxy's answers. `step`,
        `back`: the expected steps."""
        times = []
        for wanted, by in (((spec, routing), step), ((self.plain, None), back or step)):
            began = time.perf_counter()
            result = await self.manager.ensure(self.text(*wanted))
            times.append((time.perf_counter() - began) * 1000)
            assert (result.step, result.error) == (by, ""), result
        return times

    async def watch_loop(self) -> None:
        """How long the daemon's loop, which holds the session, had no turn."""
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.002)
            self.stall_ms = max(self.stall_ms, (time.perf_counter() - began) * 1000 - 2)


async def measure(directory: str) -> dict[str, list[float]]:
    """Everything, `TIMES` times."""
    bench, times = Bench(directory), dict[str, list[float]]()
    began = time.perf_counter()
    bench.text(bench.plain)
    times["first render"] = [(time.perf_counter() - began) * 1000]
    await bench.begin()
    drained = Routing(bench.everyone.live, frozenset({(CHANGED, "b")}))
    away = Routing(frozenset({"a", "b"}))
    fewer, longer = cluster(", nodes: [a, b]"), cluster(", timeouts: {server: 61s}")
    files, text = ConfigFiles(bench.settings), bench.text(bench.plain)

    async def alone(call: Callable[[], Awaitable[object]]) -> list[float]:
        began = time.perf_counter()
        await call()
        return [(time.perf_counter() - began) * 1000]

    async def render_alone() -> None:
        bench.text(bench.plain, drained)

    kinds: dict[str, Callable[[], Awaitable[list[float]]]] = {
        "render": lambda: alone(render_alone),
        "haproxy -c": lambda: alone(lambda: files.validate(text)),
        "weight": lambda: bench.there_and_back(bench.plain, drained, step="runtime"),
        # HAProxy takes no server with `tcp-ut` at run time, so that one that is added is a reload.
        "server out": lambda: bench.there_and_back(fewer, step="runtime", back="reload"),
        "node": lambda: bench.there_and_back(bench.plain, away, step="runtime"),
        "reload": lambda: bench.there_and_back(longer, step="reload"),
    }
    watching = asyncio.create_task(bench.watch_loop())
    for name in [*kinds] * TIMES:
        bench.stall_ms = 0.0
        taken = await kinds[name]()
        times.setdefault(name, []).extend(taken[:1] if name == "server out" else taken)
        times.setdefault(f"{name}: stall", []).append(bench.stall_ms)
    watching.cancel()
    await bench.manager.stop()
    return times


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        answer_all()
    with subprocess.Popen([sys.executable, "-m", "bench.haproxy_many", "serve"]) as servers:
        try:
            with tempfile.TemporaryDirectory(prefix="hactl-") as place:
                Path(sys.argv[1]).write_text(json.dumps(asyncio.run(measure(place))))
        finally:
            servers.kill()
