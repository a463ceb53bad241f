"""The listeners: at addresses that may come and go without ending the process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from hactl.config.node import NODE_HOST
from hactl.serving.gate import Gate
from hactl.serving.sockets import tcp_listener

log = logging.getLogger("hactl-http")

RETRY_S = 5.0


def addresses(listen: str, node_address: str) -> tuple[str, ...]:
    """The addresses of `metrics_listen`. `node:PORT`: loopback, and the node's address as soon as that is known."""
    host, _, port = listen.rpartition(":")
    if not listen or host != NODE_HOST:
        return (listen,) if listen else ()
    own = f"[{node_address}]" if ":" in node_address else node_address
    return (f"127.0.0.1:{port}", *((f"{own}:{port}",) if own else ()))


class Listeners:
    """Listens at the addresses given to `listen_at` last."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._at: dict[str, asyncio.Task[None]] = {}

    def listen_at(self, wanted: Sequence[str]) -> None:
        """Start the new listeners, end those that are not wanted any more."""
        for listen in self._at.keys() - set(wanted):
            self._at.pop(listen).cancel()
        for listen in wanted:
            if listen not in self._at:
                self._at[listen] = asyncio.create_task(self._listen(listen))

    async def close(self) -> None:
        """End all of it."""
        self.listen_at(())
        await self._gate.close()

    async def _listen(self, listen: str) -> None:
        """A port that is taken, or an address that is not there yet, is tried again."""
        logged = ""
        while True:
            try:
                listener = tcp_listener(listen)
            except OSError as error:
                problem = error.strerror or str(error)
                if problem != logged:
                    log.error("cannot listen at %s: %s; trying again every %g s", listen, problem, RETRY_S)
                logged = problem
                await asyncio.sleep(RETRY_S)
                continue
            logged = ""
            log.info("listening at %s", listen)
            try:
                await self._gate.accept_from(listener)
            except OSError as error:
                log.error("listening at %s ended: %s", listen, error.strerror or error)
                await asyncio.sleep(RETRY_S)
