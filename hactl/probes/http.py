"""The probe `http`: a GET request, and the status and body of its answer."""

from __future__ import annotations

import asyncio
import functools
import ssl
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import h11

from fencing.agents.secret_sources import SecretError, read_secret
from hactl.linux.aside import aside
from hactl.model.probes import HttpCheck
from hactl.probes.outcome import ProbeError, check_found
from hactl.probes.tcp import connected

MAX_BODY = 16 * 1024
_READ = 4096


async def ask(check: HttpCheck) -> str:
    """Ask once, and say what came; it is for the caller to end it at its deadline. Raises ProbeError, OSError."""
    url = urlsplit(check.url)
    address = "127.0.0.1" if url.hostname == "localhost" else url.hostname or ""
    tls = await aside(f"authorities {check.ca or 'of the system'}", _context, check) if url.scheme == "https" else None
    request = h11.Request(method="GET", target=_target(url), headers=await _headers(check, url))
    name = check.host.partition(":")[0] if check.host else address
    async with connected(address, url.port or (443 if tls else 80), tls, name) as (reader, writer):
        client = h11.Connection(h11.CLIENT)
        writer.write(client.send(request) or b"")
        writer.write(client.send(h11.EndOfMessage()) or b"")
        try:
            return await _answer(check, client, reader)
        except h11.RemoteProtocolError as error:
            raise ProbeError(f"no HTTP answer: {error}") from None


async def _answer(check: HttpCheck, client: h11.Connection, reader: asyncio.StreamReader) -> str:
    status, body = 0, b""
    while True:
        match client.next_event():
            case h11.NEED_DATA:
                if not (data := await reader.read(_READ)) and not status:
                    raise ProbeError("the connection was closed without an answer")
                client.receive_data(data)
                continue
            case h11.Response(status_code=status):
                if status not in check.status:
                    raise ProbeError(f"status {status}, not {' or '.join(map(str, check.status))}")
                if check.body is None:
                    return f"status {status}"
            case h11.Data(data=data):
                body += data
            case h11.EndOfMessage() | h11.PAUSED | h11.ConnectionClosed():
                break
        if len(body) >= MAX_BODY:
            break
    check_found(check.body or "", body[:MAX_BODY], "the body")
    return f"status {status}, with `{check.body}`"


def _target(url: SplitResult) -> str:
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


async def _headers(check: HttpCheck, url: SplitResult) -> list[tuple[str, str]]:
    headers = {"Host": check.host or url.netloc, "User-Agent": "hactl", "Accept": "*/*", "Connection": "close"}
    headers |= check.headers
    for name, path in check.header_files.items():
        try:
            headers[name] = await aside(path, read_secret, path)
        except SecretError as error:
            raise ProbeError(f"header {name}: {error}") from None
    return list(headers.items())


def _context(check: HttpCheck) -> ssl.SSLContext:
    """What connections by TLS are made with; a file with authorities is read again when it is another. On a thread:
    the authorities of the system take 20 ms to load, and a file system may not answer."""
    if check.ca is None:
        return _made(None, check.verify, 0)
    try:
        changed = Path(check.ca).stat().st_mtime_ns
        return _made(check.ca, check.verify, changed)
    except FileNotFoundError:
        raise ProbeError(f"there is no file {check.ca} (`ca`)") from None
    except ssl.SSLError:
        raise ProbeError(f"{check.ca} (`ca`) has no certificates in PEM") from None


@functools.lru_cache(maxsize=64)
def _made(ca: str | None, verify: bool, changed: int) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
