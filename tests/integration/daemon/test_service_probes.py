"""Probes of services: which answers count, on real sockets; when probes are made, and their reports."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from election.memory_store import MemoryStore
from hactl.config.node import NodeConfig
from hactl.daemon.observe.service_probes import ServiceProbes, ask, is_local
from hactl.model.service_parts import Probe
from hactl.status.health import ProbeHealth
from tests.support.scene import CLUSTER, KEYS, Scene, spec
from tests.support.stand_in import StandIn

DEADLINE_S = 10.0
HTTP, TCP = Probe("http", timeout_ms=int(1000 * DEADLINE_S)), Probe("tcp", timeout_ms=int(1000 * DEADLINE_S))

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def served(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """ADDRESS:PORT where this answers."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def answering(answer: bytes, asked: list[bytes] | None = None) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if asked is not None:
            asked.append(head)
        writer.write(answer)
        writer.close()

    return serve


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts, and says nothing until it is left."""
    await reader.read()
    writer.close()


async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As HAProxy in mode tcp without a server."""
    writer.close()


def outcome(serve: Serve, probe: Probe, tls: ssl.SSLContext | None = None) -> str:
    """The outcome of the probe; "" when it completes."""

    async def main() -> str:
        async with served(serve, tls) as target:
            asked = await ask(target, probe)
            assert 0 < asked.seconds < DEADLINE_S + 5
            return asked.problem

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("answer", "expected", "problem"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "200-399", ""),
        (b"HTTP/1.0 302 Found\r\n\r\n", "200-399", ""),
        (b"HTTP/1.1 401 Unauthorized\r\n\r\n", "200,401", ""),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "200-399", "status 503, not 200-399"),
        (b"", "200-399", "the connection was closed without an answer"),
        (b"SSH-2.0-OpenSSH\r\n", "200-399", "no HTTP answer: b'SSH-2.0-OpenSSH\\r\\n'"),
        (b"x" * 200_000, "200-399", "no HTTP answer: its first line has no end"),
    ],
)
def test_http(answer: bytes, expected: str, problem: str) -> None:
    assert outcome(answering(answer), replace(HTTP, expect_status=expected)) == problem


def test_the_request_of_a_probe() -> None:
    asked: list[bytes] = []
    probe = replace(HTTP, path="/health", host="api.example.org")
    assert outcome(answering(b"HTTP/1.1 200 OK\r\n\r\n", asked), probe) == ""
    lines = asked[0].decode().split("\r\n")
    assert lines[:2] == ["GET /health HTTP/1.1", "Host: api.example.org"] and "Connection: close" in lines


def test_a_service_that_accepts_and_does_not_answer() -> None:
    assert outcome(silent, replace(HTTP, timeout_ms=300)) == "no answer within 0.3 s"


def test_tcp() -> None:
    assert outcome(silent, TCP) == ""
    assert outcome(closing, TCP) == "the connection was closed at once"


def test_nobody_listens() -> None:
    async def main() -> str:
        async with served(silent) as target:
            pass
        return (await ask(target, TCP)).problem

    assert "Connect call failed" in asyncio.run(main())


def test_tls_is_spoken_and_the_certificate_not_looked_at(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=other -keyout {key} -out {certificate}"
    subprocess.run(command.split(), check=True, capture_output=True, timeout=30)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    assert outcome(answering(b"HTTP/1.1 200 OK\r\n\r\n"), replace(HTTP, tls=True), tls) == ""
    assert outcome(silent, replace(HTTP, tls=True, timeout_ms=300)) == "no answer within 0.3 s"


def test_whether_an_address_is_local() -> None:
    assert is_local("127.0.0.1") and is_local("::1")
    assert not is_local("192.0.2.1") and not is_local("what")


# --- when, and what is told ---------------------------------------------------------------------------------------


class Told:
    """A node that probes one service, and its reports of it."""

    def __init__(self, target: str) -> None:
        self.said: asyncio.Queue[tuple[str, ProbeHealth | None]] = asyncio.Queue()
        probe = f'    probe: {{kind: http, interval: 100ms, timeout: 300ms, bind: "{target}"}}\n'
        self.scene = Scene(MemoryStore())
        self.scene.join("n1", "n2")
        self.stand_in = StandIn(self.scene, NodeConfig(cluster="demo", node="n2"))
        self.stand_in.state.cluster = spec(CLUSTER.replace('"10.0.0.30:5000"', f'"10.0.0.30:5000", "{target}"') + probe)
        self.learn()

    def learn(self) -> None:
        self.stand_in.state.view.load(self.scene.store.snapshot(KEYS.prefix, timeout_s=5))

    def probes(self) -> ServiceProbes:
        return ServiceProbes(
            self.stand_in, lambda *told: self.said.put_nowait(told), lambda tell: tell(self.stand_in.metrics)
        )

    async def until(self, outcome: str | None) -> ProbeHealth | None:
        """The next of this outcome, None: that nothing is said any more."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                service, probe = await self.said.get()
                assert service == "api"
                if (probe and probe.outcome) == outcome:
                    return probe


def test_a_service_that_stops_answering_and_answers_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hactl.daemon.observe.service_probes.is_local", lambda address: False)
    answer = [b"HTTP/1.1 200 OK\r\n\r\n"]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answering(answer[0])(reader, writer)

    async def main() -> None:
        async with served(serve) as target:
            told = Told(target)
            running = asyncio.create_task(told.probes().run())
            first = await told.until("completed")
            assert first is not None and first.ms > 0 and first.detail == ""
            answer[0] = b"HTTP/1.1 503 No\r\n\r\n"
            failed = await told.until("failed")
            assert failed is not None and failed.detail == "status 503, not 200-399"
            answer[0] = b"HTTP/1.1 200 OK\r\n\r\n"
            await told.until("completed")
            lines = told.stand_in.metrics.text().decode().splitlines()
            failures = next(line for line in lines if line.startswith('hactl_probe_failures_total{service="api"}'))
            assert float(failures.split()[1]) >= 2
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            assert await told.until(None) is None

    asyncio.run(main())


def test_a_node_that_has_the_address_does_not_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    local = [False]
    monkeypatch.setattr("hactl.daemon.observe.service_probes.is_local", lambda address: local[0])

    async def main() -> None:
        async with served(answering(b"HTTP/1.1 200 OK\r\n\r\n")) as target:
            told = Told(target)
            running = asyncio.create_task(told.probes().run())
            await told.until("completed")
            local[0] = True
            assert await told.until(None) is None
            local[0] = False
            await told.until("completed")
            told.scene.kill("n2")
            told.learn()
            assert await told.until(None) is None
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())


def test_a_service_that_has_no_probe_any_more_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hactl.daemon.observe.service_probes.is_local", lambda address: False)

    async def main() -> None:
        async with served(answering(b"HTTP/1.1 200 OK\r\n\r\n")) as target:
            told = Told(target)
            probes = told.probes()
            running = asyncio.create_task(probes.run())
            await told.until("completed")
            assert 'service="api"' in told.stand_in.metrics.text().decode()
            told.stand_in.state.cluster = spec()
            probes.look(told.stand_in.state)
            assert await told.until(None) is None
            assert "hactl_probe_seconds_count{" not in told.stand_in.metrics.text().decode()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())
