"""The daemon's connection to its guard, on the event loop: no call blocks it, and the guard's death is seen
at once (docs/protocol.md, *Session* 5: a dead guard ends the daemon)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import struct
from collections.abc import Sequence
from typing import Any

from election.clock import Instant
from fencing.guard import client, wire
from fencing.guard.client import Answer, GuardError, GuardSpec
from fencing.guard.responder import Listen
from fencing.guard.state import StopStep


class GuardLink:
    """A connection made by `open_link`. `lost` is done, with the reason, once the guard is gone.

    Each request returns the guard's Answer (look at `ok`) and raises GuardError when the guard is gone or
    does not answer within `timeout_s`.
    """

    def __init__(self, link: socket.socket, timeout_s: float, cgroup: str | None = None) -> None:
        """`cgroup`: the daemon's own, for the guard to kill; None: it has none."""
        link.setblocking(False)
        self._socket, self._timeout_s, self._cgroup = link, timeout_s, cgroup
        self._numbers = itertools.count(1)
        self._pending: dict[int, asyncio.Future[Answer]] = {}
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(link, self._read)

    async def adopt(self) -> Answer:
        """Be the daemon that the guard serves; `status` holds the session, deadline and names it has."""
        return await self._ask("adopt", **client.adopt_fields(self._cgroup))

    async def begin(
        self, session_id: str, stop_budget_ms: float, self_fence_lead_ms: float, valid_until: Instant
    ) -> Answer:
        """Have the guard hold a new session."""
        fields = client.deadline_fields(session_id, stop_budget_ms, self_fence_lead_ms, valid_until)
        return await self._ask("begin", **fields)

    async def extend(
        self, session_id: str, stop_budget_ms: float, self_fence_lead_ms: float, valid_until: Instant
    ) -> Answer:
        """The session was renewed."""
        fields = client.deadline_fields(session_id, stop_budget_ms, self_fence_lead_ms, valid_until)
        return await self._ask("extend", **fields)

    async def register(self, name: str, steps: Sequence[StopStep]) -> Answer:
        """Name a resource that is about to be started; it may be started only once this has come back `ok`."""
        return await self._ask("register", name=name, steps=list(steps))

    async def unregister(self, name: str) -> Answer:
        """It was seen stopped."""
        return await self._ask("unregister", name=name)

    async def listen(self, setup: Listen) -> Answer:
        """Have the guard answer its peers there; not `ok` where it cannot, or is of a version that does not."""
        return await self._ask("listen", **client.listen_fields(setup))

    async def fence(self, reason: str) -> Answer:
        """Have the guard take this node down by the way it was started with."""
        return await self._ask("fence", reason=reason[: wire.MAX_NAME])

    async def status(self) -> Answer:
        """The guard's state."""
        return await self._ask("status")

    async def close(self, *, end: bool = False) -> None:
        """Leave the guard; it goes on guarding. `end`: have it end if it holds nothing, so that
        the next daemon starts one of its own version and settings."""
        if end and not self.lost.done():
            pid, _, _ = struct.unpack("3i", self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGTERM)
        self._end("closed")
        self._socket.close()

    async def _ask(self, op: str, **fields: Any) -> Answer:
        if self.lost.done():
            raise GuardError(self.lost.result())
        number = next(self._numbers)
        try:
            packet = client.request_packet(number, op, **fields)
        except wire.WireError as error:
            return Answer(number, False, str(error), None)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._pending[number] = answer
        try:
            async with asyncio.timeout(self._timeout_s):
                await asyncio.get_running_loop().sock_sendall(self._socket, packet)
                return await answer
        except TimeoutError:
            raise GuardError(f"the guard did not answer {op} within {self._timeout_s:g} s") from None
        except OSError as error:
            raise GuardError(f"the guard is gone: {error.strerror}") from None
        finally:
            self._pending.pop(number, None)

    def _read(self) -> None:
        """There is a packet, or the guard is gone."""
        try:
            packet = self._socket.recv(wire.MAX_MESSAGE)
            if not packet:
                self._end("the guard has died")
                return
            answer = client.parse_answer(packet)
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, GuardError) as error:
            self._end(f"the guard is gone: {error}")
            return
        waiting = self._pending.get(answer.number) if answer.number is not None else None
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def _end(self, reason: str) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        if not self.lost.done():
            self.lost.set_result(reason)
        for waiting in self._pending.values():
            if not waiting.done():
                waiting.set_exception(GuardError(reason))


async def open_link(spec: GuardSpec, timeout_s: float = 1.0) -> GuardLink:
    """Connect to the guard of `spec`, starting it when none answers. Raises GuardError."""
    link = await asyncio.to_thread(client.connect_or_spawn, spec, timeout_s)
    return GuardLink(link, timeout_s, spec.daemon_cgroup)
