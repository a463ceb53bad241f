"""Listening sockets."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import grp
import os
import socket
from pathlib import Path

from hactl.serving.gate import Gate

# What the kernel keeps of those that nobody has accepted yet.
BACKLOG = 64
# How soon it is seen that a socket was removed.
LOOK_S = 1.0


def unix_listener(path: str, group: str) -> socket.socket:
    """A unix socket for root and, if there is such a group, `group`. A socket that an earlier daemon left is replaced;
    that no other daemon of this node runs was made sure of before."""
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
        if (gid := group_id(group)) is not None:
            os.chown(staged, -1, gid)
            Path(staged).chmod(0o660)
        listener.listen(BACKLOG)
        listener.setblocking(False)
        Path(staged).replace(path)  # nobody finds a socket that has not all its permissions, or does not listen
    except BaseException:
        listener.close()
        raise
    return listener


def remove_socket(path: str) -> None:
    """Nobody is to find it any more."""
    with contextlib.suppress(OSError):
        Path(path).unlink()


async def accept_at(path: str, listener: socket.socket, gate: Gate) -> None:
    """Let in who connects to the socket at `path`, until cancelled. Raises FileNotFoundError when its file was removed,
    and takes the file and all connections away at the end."""
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(gate.accept_from(listener))
            tasks.create_task(until_removed(path))
    finally:
        remove_socket(path)
        await gate.close()


async def until_removed(*paths: str) -> None:
    """Raise FileNotFoundError once one of these files is not there any more, or is another: who serves on it is to make
    it again."""
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


def group_id(group: str) -> int | None:
    """Its number; None: there is none, or none is named."""
    try:
        return grp.getgrnam(group).gr_gid if group else None
    except KeyError:
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
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
