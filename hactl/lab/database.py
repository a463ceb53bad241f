"""A stand-in for a database that may have one writer: `python -m hactl.lab.database NODE ADDRESS PORT FILE`.

A client sends lines `CLIENT NUMBER SENT`, SENT being its time (CLOCK_BOOTTIME, ms), and gets `NODE NUMBER` when the
write is in FILE. There it is a line `ACCEPTED NODE PEER CLIENT NUMBER SENT`; PEER is the address it came from, which is
that of a balancer. `python -m hactl.lab.database write NAME CLIENTS INTERVAL_MS ADDRESS:PORT…` are such clients, called
NAME0, NAME1 and so on: each writes all the time over one connection to each target, and opens another when that is cut
or silent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys

from hactl.lab.system import boottime_ms

# How long a write may take, and how long a client waits before it connects again.
ANSWER_S, AGAIN_S = 1.0, 0.01


class _Session(asyncio.Protocol):
    def __init__(self, node: str, file: int) -> None:
        self._node, self._file = node, file
        self._unfinished, self._peer = b"", ""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._peer = transport.get_extra_info("peername")[0]

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        for line in lines:
            os.write(self._file, f"{boottime_ms():.3f} {self._node} {self._peer} ".encode() + line + b"\n")
            self._transport.write(f"{self._node} ".encode() + line.split()[1] + b"\n")


async def serve(node: str, address: str, port: int, file: str) -> None:
    """Until it is killed."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    server = await asyncio.get_running_loop().create_server(lambda: _Session(node, descriptor), address, port)
    async with server:
        await server.serve_forever()


async def _write_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client: str, number: int) -> None:
    writer.write(f"{client} {number} {boottime_ms():.3f}\n".encode())
    async with asyncio.timeout(ANSWER_S):
        if not await reader.readline():
            raise ConnectionResetError


async def write(client: str, target: str, interval_s: float) -> None:
    """Until it is killed."""
    address, _, port = target.rpartition(":")
    number = 0
    while True:
        writer = None
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                reader, writer = await asyncio.open_connection(address, int(port))
            while True:
                number += 1
                await _write_on(reader, writer, client, number)
                await asyncio.sleep(interval_s)
        if writer is not None:
            writer.transport.abort()
        await asyncio.sleep(AGAIN_S)


async def write_all(name: str, clients: int, interval_s: float, targets: list[str]) -> None:
    """All of them."""
    pairs = [(f"{name}{number}", target) for number in range(clients) for target in targets]
    await asyncio.gather(*(write(client, target, interval_s) for client, target in pairs))


def main(argv: list[str]) -> None:
    """Entry point."""
    if argv[0] == "write":
        asyncio.run(write_all(argv[1], int(argv[2]), float(argv[3]) / 1000, argv[4:]))
    else:
        node, address, port, file = argv
        asyncio.run(serve(node, address, int(port), file))


if __name__ == "__main__":
    main(sys.argv[1:])
