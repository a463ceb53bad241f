"""Asks this node's HAProxy for the health of its servers; tells the other nodes when that changes, and the history.

HAProxy is asked for little every ASK_S: `show servers state` is a tenth of `show stat`, and read in a tenth of the
time. Only when that shows something new, or while sessions are counted, it is asked for all, at most every FAST_S.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import structlog

from election.store import StoreError, StoreRefusedError
from fencing.linux.clock import utc_z
from hactl.admin import health_store
from hactl.daemon.daemon_view import DaemonView
from hactl.haproxy.control.runtime import ServerState, ask, old_sessions, parse_server_states
from hactl.haproxy.settings import HaproxyError
from hactl.status.health import NodeHealth, ProbeHealth, ServerHealth, plain_status
from hactl.status.health_events import HealthEvents
from hactl.status.services import with_roles

log = structlog.get_logger()

ASK_S, FAST_S = 2.0, 1.0
TIMEOUT_S = 1.0

# So many questions without an answer, one after the other, are told: one alone may be a machine that is busy.
UNANSWERED = 3

# Between two writes; and where nothing but details is new.
WRITE_S, DETAILS_S = 1.0, 30.0
RETRY_S = 5.0

_VERSION = re.compile(r"^Version: (\d[\d.]*)", re.MULTILINE)

Servers = Mapping[str, Mapping[str, ServerHealth]]
Note = Callable[[str, dict[str, Any]], None]


class HealthFollower:
    """`health`: this node's health document, as of the last look; None until HAProxy was looked at."""

    def __init__(self, daemon: DaemonView, note: Note) -> None:
        self._daemon, self._note = daemon, note
        self.health: NodeHealth | None = None
        self._probes: dict[str, ProbeHealth] = {}
        self._events = HealthEvents()
        self._news = asyncio.Event()
        self._rows: list[tuple[str, ...]] | None = None  # the last answer to `show servers state`
        self._version: tuple[int | None, str] = (None, "")  # of the HAProxy with this pid
        self._written: NodeHealth | None = None
        self._write_next = 0.0
        self._refused = False
        self._unanswered = 0

    def poke(self) -> None:
        """Something was done to HAProxy: look at once."""
        self._rows = None
        self._news.set()

    def probed(self, service: str, probe: ProbeHealth | None) -> None:
        """The outcome of a probe; None: this node does not probe the service (any more)."""
        before = self._probes.pop(service, None)
        if probe is not None:
            self._probes[service] = probe
        if (before and before.outcome) != (probe and probe.outcome):
            self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        await self._go_on()
        while True:
            self._news.clear()
            await self._look()
            self._note_changes()
            await self._tell()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._wait_s()):  # wait_for of Python 3.11 may lose a cancellation
                    await self._news.wait()

    def _wait_s(self) -> float:
        left = self._write_next - time.monotonic()
        if self._differs() and left > 0:
            return min(left, ASK_S)
        return FAST_S if self._counting() or self._events.pending() else ASK_S

    async def _go_on(self) -> None:
        """Resume from the previous daemon's document, so that its events are not repeated."""
        daemon = self._daemon
        try:
            document = await daemon.blocking(health_store.read_own, daemon.store, daemon.keys, daemon.config.node)
        except StoreError as error:
            log.debug("health_not_read", problem=str(error))
            return
        if document is not None:
            self._events.begin(document.services, document.probes, time.monotonic(), with_roles(daemon.state.cluster))
            self.health = replace(document, probes={})

    def _note_changes(self) -> None:
        if self.health is None or not self.health.running:
            return
        services, probes = self.health.services, self.health.probes
        roles = with_roles(self._daemon.state.cluster)
        for event, data in self._events.look(services, probes, time.monotonic(), roles):
            self._note(event, data)

    # --- asking ----------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        daemon = self._daemon
        manager, session_id = daemon.haproxy, daemon.state.session.session_id
        if manager is None:
            return
        status = manager.status()
        before = self.health or NodeHealth(daemon.config.node, session_id)
        services: Servers = before.services
        error = status.error
        if not status.running:
            services, self._rows = {}, None
        else:
            socket = manager.settings.stats_socket
            try:
                rows = _rows(await ask(socket, "show servers state", TIMEOUT_S))
                if rows != self._rows or self._counting():
                    states = parse_server_states(await ask(socket, "show stat -1 4 -1", TIMEOUT_S))
                    if not all(state.up and state.weight for state in states):
                        old = await old_sessions(manager.settings.master_socket, TIMEOUT_S)
                        states = [
                            replace(state, sessions=state.sessions + old[state.proxy, state.server]) for state in states
                        ]
                    services, self._rows = servers(states, before.services, time.time()), rows
                if self._version[0] != status.pid:
                    self._version = (status.pid, _version(await ask(socket, "show info", TIMEOUT_S)))
                self._unanswered = 0
            except HaproxyError as problem:
                self._unanswered += 1
                error = error or (str(problem) if self._unanswered >= UNANSWERED else "")
        version = self._version[1] if status.running else ""
        node, probes = daemon.config.node, dict(self._probes)
        self.health = NodeHealth(
            node, session_id, before.at, version, status.running, error, services, probes, status.file
        )  # fmt: skip

    def _counting(self) -> bool:
        """Whether there are sessions that should end."""
        services = self.health.services.values() if self.health else ()
        return any(server.counted and server.sessions for servers in services for server in servers.values())

    # --- telling ---------------------------------------------------------------------------------------------

    async def _tell(self) -> None:
        daemon, health = self._daemon, self.health
        state = daemon.state
        if health is None or state.phase != "live" or not self._differs() or time.monotonic() < self._write_next:
            return
        document = replace(health, session_id=state.session.session_id, at=utc_z())
        try:
            done = await daemon.blocking(
                health_store.write, daemon.store, daemon.keys, document, state.session.session_revision
            )
        except StoreError as error:
            self._on_write_failed(error)
            done = False
        self._write_next = time.monotonic() + (WRITE_S if done else RETRY_S)
        if done:
            self._written, self._refused = document, False

    def _on_write_failed(self, error: StoreError) -> None:
        if isinstance(error, StoreRefusedError) and not self._refused:
            self._refused = True
            log.warning("health_refused", problem=str(error), hint="etcd: allow /hactl-health/, see docs/install.md")
        else:
            log.debug("health_not_told", problem=str(error))

    def _differs(self) -> bool:
        """Whether the document must be written."""
        if self.health is None or self._written is None:
            return self.health is not None
        health = replace(self.health, at=self._written.at)
        if health == self._written:
            return False
        waited = time.monotonic() - self._write_next + WRITE_S
        return waited >= DETAILS_S or _without_details(health) != _without_details(self._written)


def servers(states: Iterable[ServerState], before: Servers, wall_s: float) -> dict[str, dict[str, ServerHealth]]:
    """HAProxy's view, by service and server. A status that is as it was `before` keeps its time: HAProxy says it
    in seconds ago, and forgets it at a reload."""
    services: dict[str, dict[str, ServerHealth]] = {}
    for state in states:
        status = plain_status(state.status)
        new = ServerHealth(status, state.weight)
        if not new.up:
            old = before.get(state.proxy, {}).get(state.server)
            since = old.since if old and old.since and old.status == status else int(wall_s) - state.changed_s
            check, detail = (state.check, state.detail) if new.down else ("", "")
            new = ServerHealth(status, state.weight, state.sessions, check, detail, since)
        services.setdefault(state.proxy, {})[state.server] = new
    return services


def _rows(text: str) -> list[tuple[str, ...]]:
    """Of each server in the answer to `show servers state` (management guide): proxy, server, operational and
    administrative state, weight, and the result of the last check."""
    rows = (line.split(None, 11) for line in text.split("\n") if line and line[0] != "#")
    return [(row[1], row[3], row[5], row[6], row[7], row[10]) for row in rows if len(row) > 11]


def _version(text: str) -> str:
    match = _VERSION.search(text)
    return match[1] if match else ""


def _without_details(health: NodeHealth) -> NodeHealth:
    """A copy without volatile fields, for comparison: the words of a failed check, the time of a probe."""
    services = {
        service: {name: replace(server, check="", detail="") for name, server in servers.items()}
        for service, servers in health.services.items()
    }
    probes = {service: replace(probe, ms=0.0, detail="") for service, probe in health.probes.items()}
    return replace(health, services=services, probes=probes)
