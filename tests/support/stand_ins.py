"""The services of a control plane on one node, played: one process for all of them.

`python stand_ins.py JSON`, which says `node`, `address`, `ports` (port and what is spoken there), `certificate` (for
`https`: certificate and key in one) and `master` (a file with the name of the node that has Redis' master):

http, https: whatever is asked for, 200 with the node's name as JSON
line:        the node's name, as soon as somebody connects
redis:       INFO tells the role, PING is answered, and any other word by the node's name
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import sys
from pathlib import Path
from typing import Any


class StandIns:
    """The services of one node."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._node, self._address = given["node"], given["address"]
        self._ports: dict[str, str] = given["ports"]
        self._certificate, self._master = given["certificate"], Path(given["master"])

    async def run(self) -> None:
        """Until the process is killed."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate)
        answers = {"http": self._http, "https": self._http, "line": self._line, "redis": self._redis}
        servers = [
            await asyncio.start_server(
                answers[kind], self._address, int(port), ssl=context if kind == "https" else None, backlog=512
            )
            for port, kind in self._ports.items()
        ]
        print("ready", flush=True)
        await asyncio.gather(*(server.serve_forever() for server in servers))

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = json.dumps({"node": self._node}).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(head + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            writer.close()

    async def _line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{self._node}\r\n".encode())
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()

    async def _redis(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while line := (await reader.readline()).strip().lower():
                writer.write(self._told(line.decode()).encode())
                await writer.drain()
        writer.close()

    def _told(self, said: str) -> str:
        if said == "ping":
            return "+PONG\r\n"
        if said == "quit":
            return "+OK\r\n"
        if said.startswith("info"):
            role = "master" if self._master.read_text() == self._node else "slave"
            text = f"# Replication\r\nrole:{role}\r\n"
            return f"${len(text)}\r\n{text}\r\n"
        return f"+{self._node}\r\n"


if __name__ == "__main__":
    asyncio.run(StandIns(json.loads(sys.argv[1])).run())
