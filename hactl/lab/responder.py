"""A small HTTP server with one fixed answer, for the lab's own services; cheap, for hundreds of requests a second."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping

_LIMIT = 65536


class _Connection(asyncio.Protocol):
    def __init__(self, answer: bytes) -> None:
        self._answer, self._pending = answer, b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._pending += data
        while (end := self._pending.find(b"\r\n\r\n")) >= 0:
            head, self._pending = self._pending[:end].lower(), self._pending[end + 4 :]
            self._transport.write(self._answer)
            if b"connection: close" in head or b"http/1.0" in head:
                self._transport.close()
                return
        if len(self._pending) > _LIMIT:
            self._transport.abort()


async def serve(address: str, port: int, body: Mapping[str, object]) -> asyncio.Server:
    """Answer every request with `body` as JSON. The address may be one that this node does not hold yet."""
    text = json.dumps(dict(body)).encode() + b"\n"
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
    answer = head.encode() + text
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    loop = asyncio.get_running_loop()
    return await loop.create_server(
        lambda: _Connection(answer), address, port, family=family, backlog=512, reuse_address=True
    )
