"""The probe `tcp`: a connection; or a question, and an answer in which a pattern is found."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

from hactl.model.probes import TcpCheck
from hactl.probes.outcome import ProbeError, check_found, shown

MAX_ANSWER = 4096
# How long the end of a TLS connection may take.
_TLS_END_S = 0.5


async def ask(check: TcpCheck, host: str) -> str:
    """Ask once, and say what came; it is for the caller to end it at its deadline. Raises ProbeError, OSError."""
    async with connected(host, check.port) as (reader, writer):
        if check.expect is None:
            return "connected"
        if check.send:
            writer.write(check.send.encode())
        answer = await _answer(reader, check.expect)
        check_found(check.expect, answer, "the answer")
        return f"answered {shown(answer)}"


async def _answer(reader: asyncio.StreamReader, expect: str) -> bytes:
    """What was sent until the pattern is found, until the end, or MAX_ANSWER of it."""
    answer = b""
    while len(answer) < MAX_ANSWER:
        part = await reader.read(MAX_ANSWER - len(answer))
        if not part and not answer:
            raise ProbeError("the connection was closed without an answer")
        answer += part
        if not part:
            break
        with contextlib.suppress(ProbeError):
            check_found(expect, answer, "the answer")
            break
    return answer


@contextlib.asynccontextmanager
async def connected(
    host: str, port: int, tls: ssl.SSLContext | None = None, name: str | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection that is closed afterwards, whatever happens; at once, where something did. `name`: that the
    certificate must have. Raises OSError, ssl.SSLError."""
    more = {"ssl": tls, "server_hostname": name, "ssl_shutdown_timeout": _TLS_END_S} if tls else {}
    reader, writer = await asyncio.open_connection(host, port, limit=MAX_ANSWER, **more)  # type: ignore[arg-type]
    try:
        yield reader, writer
    except BaseException:
        writer.transport.abort()
        raise
    writer.close()
