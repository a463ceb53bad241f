"""Answers liveness queries of other nodes, never so many that the guard's own deadline waits.

Each wake-up serves a few datagrams and then pauses, so that a flood costs a few hundredths of a processor and no more.
Queries beyond the kernel's small queue are lost meanwhile: a lost query delays nothing.
"""

from __future__ import annotations

import select
import socket
import time
from collections import Counter, deque
from typing import NamedTuple

from election.clock import Instant
from fencing.guard import liveness
from fencing.guard.liveness import AskError
from fencing.guard.log import Journal
from fencing.guard.state import GuardState

_BATCH = 8
_PAUSE_S = 0.02
_QUEUE_BYTES = 16 * 1024
_NONCES = 512
_LOG_S = 60.0
# Not in Python's socket module; source: ip(7), ipv6(7). An address that is not there yet may be bound all the same.
_IP_FREEBIND, _IPV6_FREEBIND = 15, 78


class Listen(NamedTuple):
    """Where to listen, as whom, and the key; from the daemon, which has read them (no file is read here: the disk
    may hang). An empty key: not at all."""

    cluster: str
    node: str
    address: str
    port: int
    key: bytes


class LivenessResponder:
    """The socket, its pauses and its counters. Registers itself with the guard's `epoll`."""

    def __init__(self, epoll: select.epoll, journal: Journal) -> None:
        self._epoll, self._journal = epoll, journal
        self._setup: Listen | None = None
        self._socket: socket.socket | None = None
        self._closed_until: float | None = None
        self._nonces: deque[str] = deque(maxlen=_NONCES)
        self.dropped: Counter[str] = Counter()
        self._unsaid: Counter[str] = Counter()
        self._logged_at = -_LOG_S

    def listen(self, setup: Listen) -> str:
        """Listen there from now on; a new daemon that says the same changes nothing. Returns the problem, or ""."""
        if setup == self._setup:
            return ""
        self._close()
        if not setup.key:
            return ""
        try:
            self._socket = _bound(setup)
        except (OSError, OverflowError) as error:
            return f"cannot listen on {setup.address} port {setup.port}/udp: {error}"
        self._setup = setup
        self._epoll.register(self._socket.fileno(), select.EPOLLIN)
        self._journal.event("listening", address=setup.address, port=setup.port)
        return ""

    def fileno(self) -> int:
        """The socket; -1 where there is none."""
        return self._socket.fileno() if self._socket is not None else -1

    def wake_s(self, otherwise_s: float) -> float:
        """How long the main loop may sleep, given that it would for `otherwise_s`."""
        if self._closed_until is None:
            return otherwise_s
        return min(max(0.0, self._closed_until - time.monotonic()), otherwise_s)

    def reopen(self) -> None:
        """Listen again when the pause is over."""
        if self._closed_until is not None and time.monotonic() >= self._closed_until:
            self._closed_until = None
            if self._socket is not None:
                self._epoll.register(self._socket.fileno(), select.EPOLLIN)

    def serve(self, state: GuardState, now: Instant) -> None:
        """Answer some of the queries that have come."""
        if self._socket is None or self._setup is None or self._closed_until is not None:
            return
        for _ in range(_BATCH):
            try:
                packet, peer = self._socket.recvfrom(liveness.MAX_DATAGRAM + 1)
            except OSError:
                break
            try:
                reply = self._reply(self._setup, packet, state, now)
                self._socket.sendto(reply, peer)
            except AskError as error:
                self._drop(error.why)
            except OSError:
                self._drop("send")
        self._epoll.unregister(self._socket.fileno())
        self._closed_until = time.monotonic() + _PAUSE_S

    def _reply(self, setup: Listen, packet: bytes, state: GuardState, now: Instant) -> bytes:
        query = liveness.decode_query(setup.key, packet)
        if query.cluster != setup.cluster:
            raise AskError("cluster")
        if query.node != setup.node:
            raise AskError("node")
        # An honest node never sends the same query twice.
        if query.nonce in self._nonces:
            raise AskError("replay")
        self._nonces.append(query.nonce)
        return liveness.encode_reply(setup.key, liveness.answer(state, query, now))

    def _drop(self, why: str) -> None:
        self.dropped[why] += 1
        self._unsaid[why] += 1
        if time.monotonic() - self._logged_at >= _LOG_S:
            self._logged_at = time.monotonic()
            self._journal.event("questions_dropped", since_last=dict(self._unsaid), in_all=dict(self.dropped))
            self._unsaid.clear()

    def _close(self) -> None:
        if self._socket is not None:
            if self._closed_until is None:
                self._epoll.unregister(self._socket.fileno())
            self._socket.close()
        self._socket, self._setup, self._closed_until = None, None, None


def _bound(setup: Listen) -> socket.socket:
    """Raises OSError (also for a text that is no address: names are not looked up) and OverflowError (no port)."""
    family = socket.AF_INET6 if ":" in setup.address else socket.AF_INET
    socket.inet_pton(family, setup.address)
    made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _QUEUE_BYTES)
        v4, v6 = (socket.IPPROTO_IP, _IP_FREEBIND), (socket.IPPROTO_IPV6, _IPV6_FREEBIND)
        made.setsockopt(*(v4 if family == socket.AF_INET else v6), 1)
        made.bind((setup.address, setup.port))
    except BaseException:
        made.close()
        raise
    return made
