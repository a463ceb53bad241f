"""The connections that are accepted, on real sockets: never the last descriptors, never more than there are places,
none without end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from hactl.serving import gate as gate_module
from hactl.serving.gate import Gate, peer_of
from hactl.serving.http import CHUNK, http_gate
from hactl.serving.limits import Limits
from hactl.serving.sockets import tcp_listener, unix_listener
from tests.support.waiting import wait_until

DEADLINE_S = 10.0
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = b"x" * (8 << 20)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the method and the client of the request, or more than any buffer holds."""
    body = (
        LARGE
        if scope["path"] == "/large"
        else LARGE[:CHUNK]
        if scope["path"] == "/middling"
        else f"{scope['method']} {scope['client'][0]}".encode()
    )
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for start in range(0, len(body), CHUNK):
        await send({"type": "http.response.body", "body": body[start : start + CHUNK], "more_body": True})
    await send({"type": "http.response.body"})


@contextlib.asynccontextmanager
async def served(limits: Limits) -> AsyncIterator[tuple[Gate, int]]:
    """The gate, and the port."""
    troubles: list[str] = []
    gate = http_gate(app, limits, troubles.append)
    listener = tcp_listener("127.0.0.1:0")
    port = listener.getsockname()[1]
    accepting = asyncio.create_task(gate.accept_from(listener))
    try:
        yield gate, port
    finally:
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)
        await gate.close()


async def connect(port: int, source: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))


async def ask(port: int, source: str = "127.0.0.1", request: bytes = GET) -> bytes:
    """The answer, to its end where the connection has one."""
    reader, writer = await connect(port, source)
    writer.write(request)
    try:
        async with asyncio.timeout(DEADLINE_S):
            return await reader.read(4096)
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


def test_it_answers_and_says_who_asked() -> None:
    async def main() -> None:
        async with served(Limits()) as (_, port):
            assert (await ask(port, "127.0.0.7")).endswith(b"GET 127.0.0.7")

    asyncio.run(main())


def test_one_peer_cannot_keep_another_out() -> None:
    async def main() -> None:
        async with served(Limits(connections=4, burst=100)) as (gate, port):
            idle = [await connect(port, "127.0.0.2") for _ in range(20)]
            await wait_until(lambda: gate.slots.taken == 4 and gate.refused["full"] == 16)
            assert (await ask(port, "127.0.0.3")).endswith(b"GET 127.0.0.3")
            assert b"503" in await idle[-1][0].read(20)
            for _, writer in idle:
                writer.transport.abort()
            await wait_until(lambda: gate.slots.taken == 0)

    asyncio.run(main())


def test_one_peer_has_its_rate_whatever_it_opens() -> None:
    async def main() -> None:
        async with served(Limits(per_second=0.001, burst=3)) as (gate, port):
            answers = [await ask(port) for _ in range(5)]
            assert [b"200 OK" in answer for answer in answers] == [True, True, True, False, False]
            assert b"429" in answers[-1] and gate.refused["rate"] == 2
            assert b"200 OK" in await ask(port, "127.0.0.9")

    asyncio.run(main())


def test_a_connection_that_is_kept_counts_for_every_request() -> None:
    async def main() -> None:
        async with served(Limits(per_second=0.001, burst=3)) as (_, port):
            reader, writer = await connect(port)
            writer.write(GET * 9)
            async with asyncio.timeout(DEADLINE_S):
                assert (await reader.read()).count(b"200 OK") == 3
            writer.close()

    asyncio.run(main())


@pytest.mark.parametrize("said", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nX: " + b"y" * 100])
def test_a_head_that_never_comes_is_not_waited_for(said: bytes) -> None:
    async def main() -> None:
        async with served(Limits(head_s=0.2)) as (gate, port):
            reader, writer = await connect(port)
            writer.write(said)
            async with asyncio.timeout(DEADLINE_S):
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
            writer.close()
            await wait_until(lambda: gate.slots.taken == 0)

    asyncio.run(main())


def test_a_head_that_trickles_in_has_no_more_time() -> None:
    async def main() -> None:
        async with served(Limits(head_s=0.3)) as (gate, port):
            reader, writer = await connect(port)
            writer.write(GET)  # a first request in time, then one a byte at a time
            await reader.readuntil(b"GET 127.0.0.1")
            async with asyncio.timeout(DEADLINE_S):
                with contextlib.suppress(ConnectionError):
                    while not reader.at_eof():
                        writer.write(b"G")
                        await asyncio.wait({asyncio.ensure_future(reader.read(1))}, timeout=0.02)
            await wait_until(lambda: gate.slots.taken == 0)
            writer.close()

    asyncio.run(main())


def test_a_head_that_is_too_large_is_refused() -> None:
    async def main() -> None:
        async with served(Limits()) as (_, port):
            request = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n"
            assert b"200" not in await ask(port, request=request)

    asyncio.run(main())


def test_a_peer_that_reads_nothing_is_not_waited_for() -> None:
    async def main() -> None:
        async with served(Limits(write_s=0.2)) as (gate, port):
            with socket.create_connection(("127.0.0.1", port)) as slow:
                slow.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
                await wait_until(lambda: gate.slots.taken == 1)
                await wait_until(lambda: gate.slots.taken == 0)

    asyncio.run(main())


def test_a_peer_that_reads_all_but_the_end_is_not_waited_for() -> None:
    """Little is left and the connection is closing: it was once kept for as long as its peer liked."""

    async def main() -> None:
        troubles: list[str] = []
        gate = http_gate(app, Limits(write_s=0.2), troubles.append)
        listener = tcp_listener("127.0.0.1:0")
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # the connections get that, too
        accepting = asyncio.create_task(gate.accept_from(listener))
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            slow.connect(("127.0.0.1", listener.getsockname()[1]))
            slow.sendall(b"GET /middling HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            await wait_until(lambda: gate.slots.taken == 1)
            await wait_until(lambda: gate.slots.taken == 0)
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)
        await gate.close()

    asyncio.run(main())


def test_an_idle_connection_ends() -> None:
    async def main() -> None:
        async with served(Limits(idle_s=0)) as (_, port):
            reader, writer = await connect(port)
            writer.write(GET)
            async with asyncio.timeout(DEADLINE_S):
                assert b"200 OK" in await reader.read()
            writer.close()

    asyncio.run(main())


@pytest.fixture
def few_descriptors() -> Iterator[int]:
    """So many more than are open."""
    used = max(int(path.name) for path in Path("/proc/self/fd").iterdir()) + 1
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 40, limits[1]))
    yield 40
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_the_last_descriptors_are_not_for_connections(few_descriptors: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "RESERVED_DESCRIPTORS", 10)

    async def main() -> None:
        async with served(Limits(connections=1000, burst=1000)) as (gate, port):
            clients = []
            with contextlib.suppress(OSError):
                while not gate.refused["descriptors"]:
                    clients.append(await connect(port))
            assert gate.refused["descriptors"] and not gate.refused["accept"]
            for descriptor in [os.open("/dev/null", os.O_RDONLY) for _ in range(3)]:
                os.close(descriptor)
            for _, writer in clients:
                writer.transport.abort()

    asyncio.run(main())


def test_a_kernel_that_refuses_is_not_asked_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "PAUSE_S", 0.1)
    troubles: list[str] = []

    async def main() -> None:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        gate = http_gate(app, Limits(), troubles.append)
        listener = tcp_listener("127.0.0.1:0")
        port = listener.getsockname()[1]
        client = socket.socket()
        accepting = asyncio.create_task(gate.accept_from(listener))
        await asyncio.sleep(0)
        resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, limits[1]))  # below it all are taken
        try:
            client.connect(("127.0.0.1", port))
            began = time.monotonic()
            while len(troubles) < 3:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
            assert time.monotonic() - began > 0.15
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        client.sendall(GET)
        client.setblocking(False)
        async with asyncio.timeout(DEADLINE_S):
            assert b"200 OK" in await asyncio.get_running_loop().sock_recv(client, 4096)
        client.close()
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)
        await gate.close()

    asyncio.run(main())
    assert set(troubles) == {"Too many open files"}


def test_the_peer_of_a_connection(tmp_path: Path) -> None:
    with (
        contextlib.closing(unix_listener(str(tmp_path / "s"), None)) as listener,
        socket.socket(socket.AF_UNIX) as connection,
    ):
        connection.connect(str(tmp_path / "s"))
        assert peer_of(listener.accept()[0]) == str(os.getuid())
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    with contextlib.closing(tcp_listener("[::]:0")) as listener:
        port = listener.getsockname()[1]
        listener.setblocking(True)
        for host, peer in (("127.0.0.1", "127.0.0.1"), ("::1", "0" * 16)):
            with socket.create_connection((host, port)):
                assert peer_of(listener.accept()[0]) == peer
