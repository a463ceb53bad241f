"""Publishes a snapshot for the process that serves it on the network: a connection to this socket is a request. It
costs nothing without requests, and is made anew at most once a second, however many there are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from election.clock import Instant
from hactl import __version__
from hactl.daemon.daemon_view import DaemonView
from hactl.daemon.observe.loop_times import times_of_running_loop
from hactl.decide.node_health import own_checks
from hactl.decide.reading import ReadState
from hactl.haproxy.control.runtime import ServerState
from hactl.haproxy.settings import HaproxyError
from hactl.model.snapshot import Snapshot, encode
from hactl.serving.gate import Gate, Served
from hactl.serving.limits import Limits
from hactl.serving.sockets import serve_at
from hactl.status.services import with_roles

log = structlog.get_logger()

# The reader is one process; connections of its earlier requests may be left.
LIMITS = Limits(connections=4, write_s=2.0)

KEPT_S = 1.0
HAPROXY_TIMEOUT_S = 0.3


async def publish(daemon: DaemonView) -> None:
    """Until cancelled."""
    path, group = daemon.config.publish_socket, daemon.config.http_group
    publisher = Publisher(daemon)
    gate = Gate(
        LIMITS,
        lambda peer, on_end: _Reader(publisher.snapshot, peer, on_end),
        lambda problem: log.warning("not_accepted", socket=path, problem=problem),
    )
    await serve_at(
        path, group, gate, lambda why: log.info("socket_for_root_only", socket=path, group=group, reason=why)
    )


class Publisher:
    """Makes snapshots."""

    def __init__(self, daemon: DaemonView) -> None:
        self._daemon = daemon
        self._made: asyncio.Task[bytes] | None = None
        self._made_s = 0.0

    async def snapshot(self) -> bytes:
        """The newest, a second old at most."""
        now_s = asyncio.get_running_loop().time()
        if self._made is None or (self._made.done() and (_failed(self._made) or now_s - self._made_s >= KEPT_S)):
            self._made_s = now_s
            self._made = asyncio.create_task(self._make())
        return await asyncio.shield(self._made)

    async def _make(self) -> bytes:
        """The loop's own data is read here; all that takes long is on a thread."""
        daemon, servers = self._daemon, await self._servers()
        state, now = daemon.state, daemon.now()
        daemon.metrics.collect(state, now, daemon.history.dropped, daemon.watchdog.status)
        daemon.metrics.collect_certificates(daemon.etcd_access.certificates)
        daemon.metrics.collect_troubles(state, daemon.tasks.failures, daemon.log_lines_lost)
        daemon.metrics.collect_hooks(daemon.hooks.status() if daemon.hooks else ())
        daemon.metrics.collect_checks({**own_checks(state), **daemon.checks})
        daemon.metrics.collect_loop(times_of_running_loop())
        daemon.metrics.collect_etcd(daemon.etcd_observer.latest)
        health, roles = daemon.health, with_roles(state.cluster)
        old_workers = daemon.haproxy.status().old_workers if daemon.haproxy else 0
        about = _about(state, now)

        def finish() -> bytes:
            daemon.metrics.collect_services(servers, health, roles, old_workers)
            return encode(Snapshot(**about, metrics=daemon.metrics.text()))

        return await asyncio.to_thread(finish)

    async def _servers(self) -> list[ServerState]:
        manager = self._daemon.haproxy
        if manager is None or not manager.status().running:
            return []
        try:
            return await manager.server_states(HAPROXY_TIMEOUT_S)
        except HaproxyError as error:
            log.debug("haproxy_not_asked", problem=str(error))
            return []


def _about(state: ReadState, now: Instant) -> dict[str, Any]:
    session = state.session
    return {
        "version": __version__,
        "node": state.node,
        "address": state.cluster.address(state.node) if state.cluster else "",
        "phase": state.phase,
        "refused": state.refused,
        "taken": (now.boot, now.raw),
        "valid_until": tuple(session.valid_until) if session.time_left(now) > 0 and session.valid_until else None,
    }


def _failed(task: asyncio.Task[bytes]) -> bool:
    return task.cancelled() or task.exception() is not None


class _Reader(Served):
    """A connection: gets a snapshot, and ends. Its input is not read."""

    def __init__(self, snapshot: Callable[[], Any], _peer: str, on_end: Callable[[Served], None]) -> None:
        self._snapshot, self._on_end = snapshot, on_end
        self._transport: asyncio.Transport | None = None
        self._late: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.pause_reading()
        self._late = asyncio.get_running_loop().call_later(LIMITS.write_s, self.abort)
        self._task = asyncio.create_task(self._answer())

    def connection_lost(self, exc: Exception | None) -> None:
        if self._late is not None:
            self._late.cancel()
        if self._task is not None:
            self._task.cancel()
        self._on_end(self)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def _answer(self) -> None:
        assert self._transport is not None
        try:
            self._transport.write(await self._snapshot())
        except Exception as error:
            log.error("not_published", error=repr(error), exc_info=error)
        self._transport.close()
