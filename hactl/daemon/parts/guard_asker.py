"""Asks peers' guards whether they hold their session's deadline, and tells this node's own where it is asked
(docs/protocol.md, *Asking the guard*).

An answer puts a suspicion off and nothing else: a query or an answer that is lost costs a node that would have come
back by itself, never safety.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import structlog

from fencing.guard import liveness
from fencing.guard.client import GuardError
from fencing.guard.liveness import AskError, LivenessQuery
from fencing.guard.responder import Listen
from hactl.config.cluster_key import read_key
from hactl.config.errors import ConfigErrors
from hactl.config.node import NodeConfig
from hactl.daemon.guard_link import GuardLink
from hactl.decide.reading import ReadState
from hactl.model.events import GuardReplied

log = structlog.get_logger()

# Questions that may still be answered; and answers looked at for one wake-up of the loop.
_PENDING = 256
_BATCH = 16


class GuardAsker:
    """The asking side, on the running event loop. `on_reply` gets each reply, once for each query.

    `problem`: why no guard is asked and this node's own does not answer, "" where all is well.
    """

    def __init__(self, config: NodeConfig, on_reply: Callable[[GuardReplied], None]) -> None:
        self._config, self._on_reply = config, on_reply
        self._pending: OrderedDict[str, LivenessQuery] = OrderedDict()
        self._sockets: dict[int, socket.socket] = {}
        self._address: str | None = None
        self._moved = asyncio.Event()
        self.problem = ""
        self._key = self._read_key()

    def ask(self, node: str, address: str, session_id: str) -> None:
        """Send the query; does not wait, and does not say when it cannot be sent."""
        if self._key is None:
            return
        query = LivenessQuery(self._config.cluster, node, session_id, os.urandom(liveness.NONCE_BYTES).hex())
        try:
            packet = liveness.encode_query(self._key, query)
            self._socket(address).sendto(packet, (address, self._config.guard_port))
        except (OSError, AskError) as error:
            log.debug("guard_not_asked", node=node, address=address, error=str(error))
            return
        self._pending[query.nonce] = query
        while len(self._pending) > _PENDING:
            self._pending.popitem(last=False)

    def look(self, state: ReadState) -> None:
        """After every step: whether this node has another address now."""
        if state.cluster is not None and (address := state.cluster.address(self._config.node)) != self._address:
            self._address = address
            self._moved.set()

    async def answer(self, guard: GuardLink) -> None:
        """Have this node's guard answer on its address, until cancelled."""
        while True:
            await self._moved.wait()
            self._moved.clear()
            await self.answer_at(guard, self._address or "")

    async def answer_at(self, guard: GuardLink, address: str) -> None:
        """Have this node's guard answer on its address, as configured; "" where it has none any more."""
        config, key = self._config, (self._key or b"") if address else b""
        setup = Listen(config.cluster, config.node, address or "0.0.0.0", config.guard_port, key)
        try:
            problem = (await guard.listen(setup)).problem
        except GuardError as error:
            problem = str(error)
        if self._key is not None:
            self.problem = f"this node's guard does not answer: {problem}" if problem else ""
        if problem:
            log.warning("guard_does_not_listen", address=address, port=config.guard_port, problem=problem)

    def close(self) -> None:
        """No answer comes after this."""
        for sock in self._sockets.values():
            asyncio.get_running_loop().remove_reader(sock.fileno())
            sock.close()
        self._sockets.clear()

    def _read_key(self) -> bytes | None:
        path = self._config.cluster_key
        try:
            key = read_key(Path(path))
            self.problem = "" if key is not None else f"there is no {path}"
        except ConfigErrors as error:
            key, self.problem = None, "; ".join(str(problem) for problem in error.problems)
        if key is None:
            log.info("guards_not_asked", reason=self.problem, hint="hactl key create, once for all nodes")
        return key

    def _socket(self, address: str) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        socket.inet_pton(family, address)  # a name would be looked up, which takes its time
        if family not in self._sockets:
            made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            asyncio.get_running_loop().add_reader(made.fileno(), self._readable, made)
            self._sockets[family] = made
        return self._sockets[family]

    def _readable(self, source: socket.socket) -> None:
        for _ in range(_BATCH):
            try:
                packet = source.recv(liveness.MAX_DATAGRAM + 1)
            except OSError:
                return
            self._received(packet)

    def _received(self, packet: bytes) -> None:
        try:
            reply = liveness.decode_reply(self._key or b"", packet)
        except AskError as error:
            log.debug("guard_answer_dropped", why=error.why)
            return
        if self._pending.get(reply.nonce) != LivenessQuery(reply.cluster, reply.node, reply.session_id, reply.nonce):
            log.debug("guard_answer_dropped", why="unasked")
            return
        del self._pending[reply.nonce]
        log.debug(
            "guard_told",
            node=reply.node,
            sid=reply.session_id,
            holds=reply.holds,
            daemon=reply.daemon,
            left_ms=reply.left_ms,
        )
        self._on_reply(GuardReplied(reply.node, reply.session_id, reply.holds))
