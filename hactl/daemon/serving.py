"""uvicorn inside the daemon's loop: no signal handlers, no ticking, and who is at the other end of a unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import os
import pwd
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

log = structlog.get_logger()

_UCRED = struct.Struct("3i")


class PeerProtocol(H11Protocol):
    """HTTP whose `client` is the user at the other end (unix(7), SO_PEERCRED): (name, uid)."""

    def connection_made(self, transport: Any) -> None:
        """Look once, when it is made: the credentials are those of that moment."""
        super().connection_made(transport)
        end = transport.get_extra_info("socket")
        if end is not None and end.family == socket.AF_UNIX:
            _, uid, _ = _UCRED.unpack(end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
            self.client = (_user(uid), uid)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


class _Server(uvicorn.Server):
    """A server that leaves the daemon's signals alone and sleeps while nobody asks."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield

    async def main_loop(self) -> None:
        """Until cancelled."""
        await asyncio.Event().wait()


async def serve_on(listener: socket.socket, app: Any) -> None:
    """Serve `app` on a socket until cancelled; closes it."""
    config = uvicorn.Config(
        app,
        http=PeerProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="warning",
        access_log=False,
        date_header=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    try:
        await server.serve(sockets=[listener])
    finally:
        if server.started:
            await server.shutdown(sockets=[listener])
        listener.close()


def unix_listener(path: str, group: str) -> socket.socket:
    """The socket of the command line: root's and, if there is such a group, `group`'s. A socket that an earlier
    daemon left is replaced; that no other daemon of this node runs was made sure of before."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    staged = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        Path(staged).unlink()
    before = os.umask(0o177)
    try:
        listener.bind(staged)
    finally:
        os.umask(before)
    if group and (gid := _gid(group)) is not None:
        os.chown(staged, -1, gid)
        Path(staged).chmod(0o660)
    listener.listen(64)
    listener.setblocking(False)
    Path(staged).replace(path)  # nobody finds a socket that has not all its permissions, or does not listen
    return listener


def _gid(group: str) -> int | None:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        log.info("socket_for_root_only", group=group, reason="no such group")
        return None


def tcp_listener(listen: str) -> socket.socket:
    """ADDRESS:PORT. Raises OSError."""
    host, _, port = listen.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((host.strip("[]"), int(port)))
        listener.listen(64)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
