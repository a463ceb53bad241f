"""The daemon's API, on a unix socket for the command line. The daemon listens on no network: what is served there comes
from `publish.py`, by a process of its own (`hactl/http/`).

JSON in and out. Errors: `{"error": …, "kind": …}` with 400 (`bad`: wrong request, or no such thing), 409
(`refused`), 425 (`wait`: with `wait_ms`), 503 (`store`: outcome unknown, look and try again).
"""

from __future__ import annotations

import asyncio
import copy
import functools
import json
import pwd
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from election.records import RecordError
from election.store import StoreError, WatchBatch, WatchClosed
from election.view import View
from hactl.daemon import cleanups, drains, event_log, health_store, operations
from hactl.daemon.daemon_view import DaemonView
from hactl.daemon.publish import publish
from hactl.decide import status
from hactl.decide.health import NodeHealth
from hactl.model.cluster import ClusterSpec
from hactl.serving.http import http_gate
from hactl.serving.limits import Limits
from hactl.serving.sockets import group_id, remove_socket, unix_listener, until_removed

log = structlog.get_logger()

# A question that waits for a change looks this often, and answers after this long at the latest.
LOOK_S = 0.01
WAIT_S = 5.0

HEALTH_TIMEOUT_S = 0.5

# Commands, and whoever follows the events.
LIMITS = Limits(connections=64, idle_s=30, per_second=100.0, burst=40.0)


async def serve(daemon: DaemonView) -> None:
    """Serve until cancelled."""
    api = Api(daemon)
    path = daemon.config.api_socket
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_serve_commands(path, daemon.config.socket_group, api))
            tasks.create_task(publish(daemon))
            tasks.create_task(until_removed(path, daemon.config.publish_socket))
    finally:
        remove_socket(path)


async def _serve_commands(path: str, group: str, api: Api) -> None:
    if group and group_id(group) is None:
        log.info("socket_for_root_only", socket=path, group=group, reason="no such group")
    gate = http_gate(api.app(), LIMITS, lambda problem: log.warning("not_accepted", socket=path, problem=problem))
    try:
        await gate.accept_from(unix_listener(path, group))
    finally:
        await gate.close()


class Api:
    """The answers."""

    def __init__(self, daemon: DaemonView) -> None:
        self.daemon = daemon

    def app(self) -> Starlette:
        """All of it."""
        routes = [
            Route("/v1/status", self.status),
            Route("/v1/groups/{group}", self.group),
            Route("/v1/events", self.events),
            Route("/v1/timeline", self.timeline),
            Route("/v1/failover", self.failover, methods=["POST"]),
            Route("/v1/failover/withdraw", self.withdraw, methods=["POST"]),
            Route("/v1/node/standby", self.standby, methods=["POST"]),
            Route("/v1/node/online", self.online, methods=["POST"]),
            Route("/v1/group/cleanup", self.cleanup, methods=["POST"]),
            Route("/v1/service/drain", self.drain, methods=["POST"]),
            Route("/v1/service/undrain", self.undrain, methods=["POST"]),
            Route("/v1/service/draining", self.draining),
            Route("/v1/fence/confirm", self.confirm, methods=["POST"]),
            Route("/v1/fence", self.fence, methods=["POST"]),
            Route("/v1/fence/test", self.fence_test, methods=["POST"]),
            Route("/v1/healthz", self.healthz),
        ]
        return Starlette(routes=routes, exception_handlers=dict.fromkeys(_ERRORS, _failed))

    # --- reading ---------------------------------------------------------------------------------------------

    async def status(self, request: Request) -> Response:
        """The status document. With `seen`, the `mark` of an earlier one: waits for another."""
        await self._changed(request, lambda: status.mark(self.daemon.state.view))
        return JSONResponse(await self.document())

    async def document(self) -> dict[str, Any]:
        """The status document of this moment, with its `mark`."""
        daemon = self.daemon
        health = await self._health()
        state, now = daemon.state, daemon.now()
        local = status.local_facts(
            state,
            now,
            haproxy=self._haproxy(),
            events_dropped=daemon.history.dropped,
            started=datetime.fromtimestamp(daemon.started_wall, UTC).isoformat(timespec="seconds"),
            watchdog=daemon.watchdog.status,
            asking_problem=daemon.asking_problem,
            access=daemon.etcd_access.facts(),
        )
        found = status.status(
            state.view, state.cluster, state.node, local=local, observer=state.observer, now=now, health=health
        )
        return {"mark": status.mark(state.view), **found}

    async def group(self, request: Request) -> Response:
        """One group, with the operator's wish to move it. With `seen`: waits for a change of it."""
        name, state = request.path_params["group"], self.daemon.state
        spec = state.cluster.group(name) if state.cluster else None
        if spec is None:
            raise operations.NoSuchError(f"no group `{name}`")

        def look() -> dict[str, Any]:
            state = self.daemon.state
            found = status.group_status(state.view, state.cluster, spec, state.observer, state.node, self.daemon.now())
            return {"group": found, "move": status.move_status(name, state.view)}

        await self._changed(request, lambda: _mark(look()))
        found = look()
        return JSONResponse({"mark": _mark(found), "revision": self.daemon.state.view.revision, **found})

    async def events(self, request: Request) -> Response:
        """The newest `n` entries of the cluster's history; with `follow`, a line for each that comes."""
        limit = _number(request, "n", 50)
        daemon = self.daemon
        if not request.query_params.get("follow"):
            entries, _ = await daemon.blocking(event_log.read, daemon.store, daemon.keys, limit)
            return JSONResponse({"events": [entry.as_dict() for entry in entries]})
        entries, start = await daemon.blocking(event_log.read, daemon.store, daemon.keys, limit)
        return StreamingResponse(self._follow(entries, start), media_type="application/x-ndjson")

    async def timeline(self, request: Request) -> Response:
        """The newest `n` takeovers, of the group `group` or of all; this node's own where the store is away."""
        group, limit = request.query_params.get("group", ""), _number(request, "n", 20)
        daemon = self.daemon
        try:
            entries, _ = await daemon.blocking(event_log.read, daemon.store, daemon.keys, event_log.KEPT)
        except StoreError:
            entries = list(daemon.history.recent)
        return JSONResponse({"timelines": event_log.timelines(entries, group, limit)})

    async def healthz(self, request: Request) -> Response:
        """200 while this node takes part, else 503, with the phase."""
        state = self.daemon.state
        well = state.phase == "live" and state.session.time_left(self.daemon.now()) > 0
        return JSONResponse({"phase": state.phase, "live": well}, 200 if well else 503)

    # --- writing ---------------------------------------------------------------------------------------------

    async def failover(self, request: Request) -> Response:
        """`group`, `to`: wish that it moves."""
        asked, by = await self._asked(request, "group"), self._by(request)
        to = str(asked.get("to") or "")
        move, revision = await self._do(operations.failover, *self._known(), asked["group"], to, by)
        self._note("asked_failover", by, group=asked["group"], to=to)
        return JSONResponse({"id": move.id, "from": move.from_node, "to": move.to, "revision": revision})

    async def withdraw(self, request: Request) -> Response:
        """`group`, `id`: take a wish back."""
        asked = await self._asked(request, "group", "id")
        gone = await self._do(operations.withdraw, self.daemon.keys, asked["group"], asked["id"])
        if gone:
            self._note("withdrew_failover", self._by(request), group=asked["group"])
        return JSONResponse({"withdrawn": gone})

    async def standby(self, request: Request) -> Response:
        """`node`, `force`: have every group leave it. `check`: only whether that would be refused."""
        asked, by, known = await self._asked(request, "node"), self._by(request), self._known()
        force, check = asked.get("force") is True, asked.get("check") is True
        operation = functools.partial(operations.standby, force=force, check=check)
        groups = await self._do(operation, *known, asked["node"], by)
        if not check:
            self._note("asked_standby", by, on=asked["node"])
        return JSONResponse({"groups": groups})

    async def online(self, request: Request) -> Response:
        """`node`: end its standby."""
        asked = await self._asked(request, "node")
        changed = await self._do(operations.online, *self._known(), asked["node"])
        if changed:
            self._note("asked_online", self._by(request), on=asked["node"])
        return JSONResponse({"changed": changed})

    async def cleanup(self, request: Request) -> Response:
        """`group`, `node`: forget what failed, there or ("") anywhere."""
        asked, by = await self._asked(request, "group", "node"), self._by(request)
        nodes, unblocked = await self._do(cleanups.cleanup, *self._known(), asked["group"], asked["node"], by)
        self._note("asked_cleanup", by, group=asked["group"], on=asked["node"])
        return JSONResponse({"nodes": nodes, "unblocked": unblocked})

    async def drain(self, request: Request) -> Response:
        """`service`, `node`, `reason`, `force`: its servers there get no new connections."""
        asked, by, known = await self._asked(request, "service", "node"), self._by(request), self._known()
        service, node, reason = asked["service"], asked["node"], str(asked.get("reason") or "")
        operation = functools.partial(drains.drain, reason=reason, force=asked.get("force") is True)
        wish, new = await self._do(operation, *known, service, node, by)
        if new:
            self._note("asked_drain", by, service=service, on=node, reason=wish.reason)
        return JSONResponse({"by": wish.by, "at": wish.at, "reason": wish.reason, "changed": new})

    async def undrain(self, request: Request) -> Response:
        """`service`, `node`: they get new connections again."""
        asked = await self._asked(request, "service", "node")
        changed = await self._do(drains.undrain, *self._known(), asked["service"], asked["node"])
        if changed:
            self._note("asked_undrain", self._by(request), service=asked["service"], on=asked["node"])
        return JSONResponse({"changed": changed})

    async def draining(self, request: Request) -> Response:
        """`service`, `node`: what is left of the old connections."""
        service, node = (request.query_params.get(name, "") for name in ("service", "node"))
        return JSONResponse(await self._do(drains.progress, *self._known(), service, node))

    async def confirm(self, request: Request) -> Response:
        """`node`: the operator's word that its dead session runs nothing."""
        asked, by, state = await self._asked(request, "node"), self._by(request), self.daemon.state
        node = asked["node"]
        fence = state.view.fences.get(node)
        left = status.lease_left_ms(state.observer, node, fence.record, self.daemon.now()) if fence else 0.0
        sid = await self._do(operations.confirm, *self._known(), node, by, left)
        self._note("fence_confirmed", by, on=node, sid=sid)
        return JSONResponse({"sid": sid})

    async def fence(self, request: Request) -> Response:
        """`node`, `action`: have it fenced."""
        asked, by, known = await self._asked(request, "node", "action"), self._by(request), self._known()
        if asked["action"] not in ("", "off", "reboot", "on"):
            raise operations.NoSuchError("`action` must be off, reboot, on, or empty for what is configured")
        action = await self._do(operations.fence, *known, asked["node"], asked["action"], by)
        self._note("fence_asked", by, on=asked["node"], action=action)
        return JSONResponse({"action": action})

    async def fence_test(self, request: Request) -> Response:
        """Have every live node look at every fence device."""
        wish, nodes, limit_ms = await self._do(operations.fence_test, *self._known(), self._by(request))
        return JSONResponse({"id": wish.id, "nodes": nodes, "limit_ms": limit_ms})

    # --- parts -----------------------------------------------------------------------------------------------

    async def _do(self, operation: Callable[..., Any], *args: Any) -> Any:
        return await self.daemon.blocking(operation, self.daemon.store, *args)

    def _known(self) -> tuple[View, ClusterSpec | None]:
        """What is known now, for a thread: the daemon's own view changes under its hands."""
        view = copy.copy(self.daemon.state.view)
        for name in view.__slots__:
            if isinstance(value := getattr(view, name), dict):
                setattr(view, name, dict(value))
        return view, self.daemon.state.cluster

    def _note(self, event: str, by: str, **data: Any) -> None:
        self.daemon.history.note(event, {**data, "by": by}, self.daemon.now())

    def _by(self, request: Request) -> str:
        uid = request.client.host if request.client else None
        return f"{_user(int(uid)) if uid is not None else 'unknown'}@{self.daemon.config.node}"

    async def _asked(self, request: Request, *needed: str) -> dict[str, Any]:
        try:
            asked = await request.json()
        except ValueError:
            asked = None
        if not isinstance(asked, dict) or not all(isinstance(asked.get(name), str) for name in needed):
            raise operations.NoSuchError(f"the request must be a JSON object with {', '.join(needed)}")
        return asked

    async def _changed(self, request: Request, mark: Callable[[], str]) -> None:
        seen = request.query_params.get("seen")
        deadline = asyncio.get_running_loop().time() + min(_number(request, "wait", WAIT_S), WAIT_S)
        while seen == mark() and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(LOOK_S)

    def _haproxy(self) -> dict[str, Any] | None:
        manager = self.daemon.haproxy
        if manager is None:
            return None
        how = manager.status()
        return {
            "running": how.running,
            "pid": how.pid,
            "restarts": how.restarts,
            "reloads": dict(how.reloads),
            "error": how.error,
            "old_workers": how.old_workers,
        }

    async def _health(self) -> dict[str, NodeHealth]:
        """What every node says of its servers; without etcd, which is not waited for, this one."""
        daemon, found = self.daemon, {}
        own = daemon.health
        if not status.store_away(daemon.state):
            read = functools.partial(health_store.read, timeout_s=HEALTH_TIMEOUT_S)
            try:
                found = await daemon.blocking(read, daemon.store, daemon.keys)
            except StoreError as error:
                log.debug("health_not_read", problem=str(error))
        return {**found, daemon.config.node: own} if own is not None else found

    async def _follow(self, entries: list[event_log.Entry], start: int) -> AsyncIterator[str]:
        daemon, loop = self.daemon, asyncio.get_running_loop()
        news: asyncio.Queue[WatchBatch | WatchClosed] = asyncio.Queue()
        for entry in entries:
            yield json.dumps(entry.as_dict()) + "\n"
        watch = await daemon.blocking(
            daemon.store.watch,
            daemon.keys.event(""),
            start,
            lambda item: loop.call_soon_threadsafe(news.put_nowait, item),
        )
        try:
            while isinstance(item := await news.get(), WatchBatch):
                for change in item.changes:
                    found = None if change.deleted else event_log.parse(daemon.keys, change.kv)
                    if found is not None:
                        yield json.dumps(found.as_dict()) + "\n"
        finally:
            await asyncio.shield(daemon.blocking(watch.cancel))


@functools.lru_cache(256)
def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _mark(found: dict[str, Any]) -> str:
    return f"{hash(json.dumps(found, sort_keys=True)) & 0xFFFFFFFFFFFF:012x}"


def _number(request: Request, name: str, default: float) -> Any:
    text = request.query_params.get(name)
    try:
        return default if text is None else type(default)(text)
    except ValueError:
        raise operations.NoSuchError(f"`{name}` must be a number") from None


async def _failed(request: Request, error: Exception) -> Response:
    match error:
        case operations.NoSuchError():
            return JSONResponse({"error": str(error), "kind": "bad"}, 400)
        case operations.WaitError():
            return JSONResponse({"error": str(error), "kind": "wait", "wait_ms": error.wait_ms}, 425)
        case operations.RefusedError():
            return JSONResponse({"error": str(error), "kind": "refused"}, 409)
        case _:
            return JSONResponse({"error": str(error), "kind": "store"}, 503)


_ERRORS: tuple[type[Exception], ...] = (operations.RefusedError, StoreError, RecordError)
