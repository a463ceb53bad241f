"""HTTP by uvicorn's protocol, with limits on a peer's requests, their time, and the time without reading."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from hactl.serving.gate import Gate, Served, refusal
from hactl.serving.limits import Limits

# An answer is sent in parts of this size, so that a peer that reads nothing holds no more of it in memory.
CHUNK = 32_768


def http_gate(app: Any, limits: Limits, trouble: Callable[[str], None]) -> Gate:
    """A gate behind which `app` (ASGI) answers HTTP. `client` in its scope is (the peer by `peer_of`, 0)."""
    config = uvicorn.Config(
        app,
        http=BoundedHttp,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="critical",
        access_log=False,
        date_header=False,
        server_header=False,
        timeout_keep_alive=limits.idle_s,
        h11_max_incomplete_event_size=limits.head_bytes,
    )
    config.load()
    state = ServerState()

    def connect(peer: str, on_end: Callable[[Served], None]) -> Served:
        return BoundedHttp(config, state, {}, gate=gate, peer=peer, on_end=on_end)

    gate = Gate(limits, connect, trouble)
    return gate


class BoundedHttp(H11Protocol, Served):
    """One connection. A request that is not all there in time, and a peer that takes nothing of its answer, end it."""

    def __init__(
        self, config: uvicorn.Config, server_state: ServerState, app_state: dict[str, Any], *, gate: Gate,
        peer: str, on_end: Callable[[Served], None],
    ) -> None:  # fmt: skip
        super().__init__(config, server_state, app_state)
        self._limits, self._gate, self._peer, self._on_end = gate.limits, gate, peer, on_end
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None
        self._aborted = False
        self._used = False  # a request was answered on it, and the next has not begun

    def connection_made(self, transport: Any) -> None:
        """The first request is to come in time."""
        super().connection_made(transport)
        self.client = (self._peer, 0)
        transport.max_size = self._limits.head_bytes  # how much is read at one time
        # The wait for the kernel's buffer is limited by write_s, also at the end of an answer: a peer that reads
        # nothing would keep a connection open that must close.
        transport.set_write_buffer_limits(high=0)
        self._reading = self.loop.call_later(self._limits.head_s, self.abort)
        if self._aborted:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Its place is free."""
        self._reading = _cancel(self._reading)
        self._writing = _cancel(self._writing)
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        self._on_end(self)

    def data_received(self, data: bytes) -> None:
        """The clock runs from a request's first byte until it is all there, however it trickles in."""
        if self._used and not self._gate.may_ask_again(self._peer):
            self.abort()
            return
        self._used = False
        super().data_received(data)
        if self.transport.is_closing():
            return
        if not self._partly_there():
            self._reading = _cancel(self._reading)
        elif self._reading is None:
            self._reading = self.loop.call_later(self._limits.head_s, self.abort)

    def on_response_complete(self) -> None:
        """Another request on this connection counts as another connection does."""
        if self.conn.trailing_data[0] and not self._gate.may_ask_again(self._peer):
            self.transport.close()
        self._used = not self.conn.trailing_data[0]
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """In the form of every other answer."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.write(refusal("400 Bad Request", "this is no HTTP request that can be understood", "bad"))
        self.transport.close()

    def pause_writing(self) -> None:
        """The peer takes nothing."""
        super().pause_writing()
        if self._writing is None:
            self._writing = self.loop.call_later(self._limits.write_s, self.abort)

    def resume_writing(self) -> None:
        """It does again."""
        super().resume_writing()
        self._writing = _cancel(self._writing)

    def abort(self) -> None:
        """Close it at once."""
        self._aborted = True
        if self.transport is not None:
            self.transport.abort()

    def _partly_there(self) -> bool:
        state = self.conn.their_state
        return state is h11.SEND_BODY or (state is h11.IDLE and bool(self.conn.trailing_data[0]))


def _cancel(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    if timer is not None:
        timer.cancel()
    return None
