"""Accepting connections within limits: no more than there are places for, never the last descriptors of the process,
never as fast as it can go when the kernel refuses.

asyncio's own server accepts until there is nothing to accept, the backlog's worth at one go, and with no descriptor
left it logs as often, once a second. Here a few are taken at a time, between which the loop does its other work.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import struct
from collections import Counter
from collections.abc import Callable
from typing import Any

from hactl.serving.limits import Limits, Rates, Slots

# So many connections are accepted before the loop does something else.
AT_ONCE = 8

# Nothing is accepted for so long after the kernel refused: no descriptor, no memory.
PAUSE_S = 1.0

# The last descriptors are for the process's main work.
RESERVED_DESCRIPTORS = 64

_UCRED = struct.Struct("3i")


class Served(asyncio.Protocol):
    """A connection that was let in. It says so when it has ended."""

    def abort(self) -> None:
        """Close it at once."""
        raise NotImplementedError


class Gate:
    """Lets connections in, of one or several listeners that share the limits. `refused`: how many were not let in, by
    reason: `full`, `rate`, `descriptors`, `accept`. `trouble` is called when the kernel refuses to accept."""

    def __init__(
        self, limits: Limits, connect: Callable[[str, Callable[[Served], None]], Served], trouble: Callable[[str], None]
    ) -> None:
        self.limits = limits
        self.slots = Slots(limits.connections)
        self.refused: Counter[str] = Counter()
        self._connect, self._trouble = connect, trouble
        self._rates = Rates(limits.per_second, limits.burst)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._served: set[Served] = set()

    def may_ask_again(self, peer: str) -> bool:
        """Whether a connection may be used for another request."""
        return self._rates.take(peer, asyncio.get_running_loop().time())

    async def accept_from(self, listener: socket.socket) -> None:
        """Until cancelled; closes the listener."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        try:
            while True:
                loop.add_reader(listener, ready.set)
                await ready.wait()
                ready.clear()
                loop.remove_reader(listener)
                if not self._accept_some(listener):
                    await asyncio.sleep(PAUSE_S)
        finally:
            loop.remove_reader(listener)
            listener.close()

    async def close(self) -> None:
        """End every connection."""
        for connection in tuple(self._served):
            connection.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept_some(self, listener: socket.socket) -> bool:
        """False: not for a while."""
        for _ in range(AT_ONCE):
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return True
            except OSError as error:
                self.refused["accept"] += 1
                self._trouble(error.strerror or str(error))
                return False
            self._let_in(connection)
        return True

    def _let_in(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        peer = peer_of(connection)
        if reason := self._problem(connection, peer):
            self.refused[reason] += 1
            with connection, contextlib.suppress(OSError):
                connection.send(_REFUSALS[reason])
            return
        served = self._connect(peer, lambda connection: self._ended(peer, connection))
        self.slots.take(peer, served)
        self._served.add(served)
        task = asyncio.create_task(self._hand_over(connection, peer, served))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _problem(self, connection: socket.socket, peer: str) -> str:
        """Why it is not let in; "": it is."""
        if connection.fileno() >= _most_descriptors():
            return "descriptors"
        if not self._rates.take(peer, asyncio.get_running_loop().time()):
            return "rate"
        return "" if self.slots.make_room(peer) else "full"

    async def _hand_over(self, connection: socket.socket, peer: str, served: Served) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: served, connection)
        except (OSError, asyncio.CancelledError):
            self._ended(peer, served)
            connection.close()

    def _ended(self, peer: str, served: Served) -> None:
        self._served.discard(served)
        self.slots.give_back(peer, served)


def peer_of(connection: socket.socket) -> str:
    """The peer that the limits count: the user at the other end of a unix socket, an IPv4 address, an IPv6 /64."""
    if connection.family == socket.AF_UNIX:
        _, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        return str(uid)
    try:
        address = connection.getpeername()[0].partition("%")[0]
    except OSError:  # it has gone
        return ""
    if connection.family == socket.AF_INET:
        return str(address)
    packed = socket.inet_pton(socket.AF_INET6, address)
    mapped = packed[:12] == b"\0" * 10 + b"\xff\xff"
    return socket.inet_ntop(socket.AF_INET, packed[12:]) if mapped else packed[:8].hex()


def _most_descriptors() -> int:
    """Connections may use the descriptors below this one."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return limit - min(RESERVED_DESCRIPTORS, limit // 4)


def refusal(status: str, problem: str, kind: str) -> bytes:
    """A whole answer, where no application is asked."""
    body = f'{{"error":"{problem}","kind":"{kind}"}}'.encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return f"{head}connection: close\r\n\r\n".encode() + body


_BUSY = refusal("503 Service Unavailable", "too many connections at one time: try again in a moment", "busy")
_REFUSALS = {
    "full": _BUSY,
    "descriptors": _BUSY,
    "rate": refusal(
        "429 Too Many Requests", "too many requests from you in this second: try again in a moment", "busy"
    ),
}
