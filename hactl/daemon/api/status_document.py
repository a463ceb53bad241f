"""The status document of this moment, made away from the loop: with hundreds of services it takes longer than the loop
may wait. A request that comes while one is being made waits for the next one, which is made for all of them."""

from __future__ import annotations

import asyncio
import copy
import functools
from typing import Any

import msgspec
import structlog

from election.store import StoreError
from fencing.linux.clock import utc
from hactl.admin import health_store
from hactl.daemon.api.shared import Shared
from hactl.daemon.daemon_view import DaemonView
from hactl.daemon.observe import loop_times
from hactl.status import document as status
from hactl.status.health import NodeHealth
from hactl.status.local import local_facts

log = structlog.get_logger()

HEALTH_TIMEOUT_S = 0.5


class StatusDocument:
    """Makes it."""

    def __init__(self, daemon: DaemonView) -> None:
        self._daemon = daemon
        self._made = Shared(self._make)

    async def encoded(self) -> bytes:
        """The document as JSON, made of the present state or a later one."""
        return await self._made.get()

    async def _make(self) -> bytes:
        health = await self._health()
        daemon, now = self._daemon, self._daemon.now()
        state = daemon.state
        local = local_facts(
            state,
            now,
            haproxy=self._haproxy(),
            events_dropped=daemon.history.dropped,
            started=utc(daemon.started_wall),
            watchdog=daemon.watchdog.status,
            asking_problem=daemon.asking_problem,
            access=daemon.etcd_access.facts(),
            loop=loop_times.facts(),
            checks=daemon.checks,
        )
        last = daemon.last_known
        known = state.view if state.view.listed else last.view or state.view
        make = functools.partial(
            status.status, known.copy(), state.cluster or last.spec, state.node, local=local,
            observer=copy.deepcopy(state.observer), now=now, health=health,
            etcd=daemon.etcd_observer.document(), stale_ms=last.stale_ms(state),
        )  # fmt: skip
        mark = state.view.mark()
        return await asyncio.to_thread(lambda: encode({"mark": mark, **make()}))

    def _haproxy(self) -> dict[str, Any] | None:
        manager = self._daemon.haproxy
        if manager is None:
            return None
        haproxy = manager.status()
        return {
            "running": haproxy.running,
            "pid": haproxy.pid,
            "restarts": haproxy.restarts,
            "reloads": dict(haproxy.reloads),
            "error": haproxy.error,
            "old_workers": haproxy.old_workers,
        }

    async def _health(self) -> dict[str, NodeHealth]:
        """Every node's view of its servers; without etcd, which is not waited for, this node's."""
        daemon, healths = self._daemon, {}
        own = daemon.health
        if not daemon.state.store_away:
            read = functools.partial(health_store.read, timeout_s=HEALTH_TIMEOUT_S)
            try:
                healths = await daemon.query(read, daemon.store, daemon.keys)
            except StoreError as error:
                log.debug("health_not_read", problem=str(error))
        return {**healths, daemon.config.node: own} if own is not None else healths


def encode(document: Any) -> bytes:
    """As JSON, with any content."""
    try:
        return msgspec.json.encode(document)
    except (UnicodeEncodeError, TypeError):
        return msgspec.json.encode(_clean(document))


def _clean(value: Any) -> Any:
    match value:
        case dict():
            return {_clean(str(name)): _clean(element) for name, element in value.items()}
        case list() | tuple():
            return [_clean(element) for element in value]
        case str():
            return value.encode(errors="backslashreplace").decode()
        case bool() | int() | float() | None:
            return value
        case _:
            return _clean(str(value))
