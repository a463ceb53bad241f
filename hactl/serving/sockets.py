"""Listening sockets."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

from hactl.serving.gate import Gate
from hactl.serving.names import NAMES

# So many connections wait in the kernel until they are accepted.
BACKLOG = 64
# How soon the removal of a socket is seen.
LOOK_S = 1.0


async def serve_at(path: str, group: str, gate: Gate, root_only: Callable[[str], None]) -> None:
    """Serve at the socket `path` for root and the members of `group`, until cancelled. Raises FileNotFoundError when
    its file was removed. `root_only` is called with the reason when it is for root only, as it also is until a slow
    name service answers."""
    gid, known = None, True
    try:
        gid = await NAMES.group_id(group) if group else None
    except TimeoutError:
        known = False
    if group and gid is None:
        root_only("no such group" if known else "the name service does not answer")
    listener = unix_listener(path, gid)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(gate.accept_from(listener))
            tasks.create_task(until_removed(path))
            if not known:
                tasks.create_task(_give_late(path, group))
    finally:
        remove_socket(path)
        await gate.close()


async def _give_late(path: str, group: str) -> None:
    if (gid := await NAMES.group_id(group, None)) is not None:
        _give(path, gid)


def _give(path: str, gid: int) -> None:
    os.chown(path, -1, gid)
    Path(path).chmod(0o660)


def unix_listener(path: str, gid: int | None) -> socket.socket:
    """A unix socket for root and, if there is one, the group with this number. A socket that an earlier daemon left is
    replaced: the caller has made sure that no other daemon of this node runs."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    staged = f"{path}.new"
    try:
        with contextlib.suppress(FileNotFoundError):
            Path(staged).unlink()
        before = os.umask(0o177)
        try:
            listener.bind(staged)
        finally:
            os.umask(before)
        if gid is not None:
            _give(staged, gid)
        listener.listen(BACKLOG)
        listener.setblocking(False)
        Path(staged).replace(path)  # once it has its permissions, and listens
    except BaseException:
        listener.close()
        raise
    return listener


def remove_socket(path: str) -> None:
    """Remove its file, if it is there."""
    with contextlib.suppress(OSError):
        Path(path).unlink()


async def until_removed(*paths: str) -> None:
    """Raise FileNotFoundError once one of these files is removed or replaced: the server must make it again."""
    made = [_inode(path) for path in paths]
    while True:
        await asyncio.sleep(LOOK_S)
        for path, inode in zip(paths, made, strict=True):
            if _inode(path) != inode:
                raise FileNotFoundError(errno.ENOENT, "the socket was removed by something, and is made again", path)


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino  # noqa: PTH116
    except OSError:
        return 0


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
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
