"""The daemon's API, on unix sockets for the command line. The daemon listens on no network: what is served there comes
from `publish.py`, by a process of its own (`hactl/http/`).

Two sockets, so that the kernel says who may connect, by the credentials that the asking process has: no name service is
asked about groups, which may hang, and nothing that a stranger sends is looked at. `hactl.sock` is root's and
`operate_group`'s and takes everything; `read.sock` is `read_group`'s and takes questions only.

JSON in and out. Errors: `{"error": …, "kind": …}` with 400 (`bad`: wrong request, or no such thing), 403 (`forbidden`),
409 (`refused`), 413 (`bad`: too large), 425 (`wait`: with `wait_ms`), 429 and 503 (`busy`), 503 (`store`: outcome
unknown, look and try again), 500 (`internal`: a fault of hactl's).
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from election.records import RecordError
from election.store import StoreError
from election.view import View
from hactl.admin import cleanups, drains, event_log, operations
from hactl.daemon.api import callers, requests
from hactl.daemon.api.requests import asked
from hactl.daemon.api.status_document import StatusDocument, encode
from hactl.daemon.api.waiting import LOOK_S, Changes
from hactl.daemon.daemon_view import DaemonView
from hactl.daemon.parts.event_feed import EventFeed, Follower, TooManyError
from hactl.model.cluster import ClusterSpec
from hactl.serving.http import CHUNK, http_gate
from hactl.serving.limits import Limits
from hactl.serving.sockets import serve_at
from hactl.status import document as status

log = structlog.get_logger()

# Commands, and whoever follows the events: for each of the sockets.
LIMITS = Limits(connections=64, idle_s=30, per_second=100.0, burst=40.0)

Handler = Callable[[Request], Awaitable[Response]]


async def serve(daemon: DaemonView) -> None:
    """Serve until cancelled."""
    api, config = Api(daemon), daemon.config
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_serve(config.api_socket, config.operate_group, api.app()))
        tasks.create_task(_serve(config.read_socket, config.read_group, ReadOnly(api.app(), config.operate_group)))


async def _serve(path: str, group: str, app: Any) -> None:
    gate = http_gate(app, LIMITS, lambda problem: log.warning("not_accepted", socket=path, problem=problem))
    await serve_at(
        path, group, gate, lambda why: log.info("socket_for_root_only", socket=path, group=group, reason=why)
    )


class Answer(Response):
    """JSON, of anything. Sent in parts: many who get a large one at the same moment do not keep the loop, and one that
    reads none of it holds only a part of it in memory."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """As it is sent."""
        return content if isinstance(content, bytes) else encode(content)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = memoryview(self.body)
        for start in range(0, len(body) - CHUNK, CHUNK):
            await send({"type": "http.response.body", "body": body[start : start + CHUNK], "more_body": True})
            await asyncio.sleep(0)
        rest = body[(len(body) - 1) // CHUNK * CHUNK :] if body else body
        await send({"type": "http.response.body", "body": rest})


class ReadOnly:
    """The same, for questions alone."""

    def __init__(self, app: Any, group: str) -> None:
        self._app = app
        self._who = f"root, or a member of the group `{group}` (node.toml: operate_group)" if group else "root"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer."""
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD"):
            problem = f"you may look, and not change anything: be {self._who}"
            refused = Answer({"error": problem, "kind": "forbidden"}, 403, {"connection": "close"})
            await refused(scope, receive, send)
            return
        await self._app(scope, receive, send)


class Api:
    """The answers."""

    def __init__(self, daemon: DaemonView) -> None:
        self.daemon = daemon
        self._document, self._feed, self._changes = StatusDocument(daemon), EventFeed(daemon), Changes(self._mark)
        self._marked, self._marked_until = "", 0.0

    def app(self) -> Starlette:
        """All of it."""
        reading: dict[str, Handler] = {
            "/v1/status": self.status,
            "/v1/groups/{group}": self.group,
            "/v1/events": self.events,
            "/v1/timeline": self.timeline,
            "/v1/service/draining": self.draining,
            "/v1/healthz": self.healthz,
        }
        writing: dict[str, Handler] = {
            "/v1/failover": self.failover,
            "/v1/failover/withdraw": self.withdraw,
            "/v1/node/standby": self.standby,
            "/v1/node/online": self.online,
            "/v1/group/cleanup": self.cleanup,
            "/v1/service/drain": self.drain,
            "/v1/service/undrain": self.undrain,
            "/v1/fence/confirm": self.confirm,
            "/v1/fence": self.fence,
            "/v1/fence/test": self.fence_test,
        }
        routes = [Route(path, _answering(handler)) for path, handler in reading.items()]
        routes += [Route(path, _answering(handler), methods=["POST"]) for path, handler in writing.items()]
        return Starlette(routes=routes)

    # --- reading ---------------------------------------------------------------------------------------------

    async def status(self, request: Request) -> Response:
        """The status document. With `seen`, the `mark` of an earlier one: waits for another."""
        await self._changes.wait(self._mark, *_wait(request))
        return Answer(await self._document.encoded())

    def _mark(self) -> str:
        """Made once, however many wait for another one."""
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._marked_until:
            self._marked, self._marked_until = self.daemon.state.view.mark(), now_s + LOOK_S / 2
        return self._marked

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

        await self._changes.wait(lambda: _mark(look()), *_wait(request))
        found = look()
        return Answer({"mark": _mark(found), "revision": self.daemon.state.view.revision, **found})

    async def events(self, request: Request) -> Response:
        """The newest `n` entries of the cluster's history; with `follow`, a line for each that comes."""
        limit = _count(request, 50)
        if request.query_params.get("follow"):
            peer = request.client.host if request.client else ""
            return Following(self._feed, await self._feed.join(limit, peer))
        lines = (await self._feed.history()).lines
        return Answer(b'{"events":[%s]}' % b",".join(lines[-limit:] if limit else ()))

    async def timeline(self, request: Request) -> Response:
        """The newest `n` takeovers, of the group `group` or of all; this node's own where the store is away."""
        group, limit = request.query_params.get("group", ""), _count(request, 20)
        try:
            entries = (await self._feed.history()).entries
        except StoreError:
            entries = list(self.daemon.history.recent)
        return Answer({"timelines": event_log.timelines(entries, group, limit)})

    async def healthz(self, request: Request) -> Response:
        """200 while this node takes part, else 503, with the phase."""
        state = self.daemon.state
        well = state.phase == "live" and state.session.time_left(self.daemon.now()) > 0
        return Answer({"phase": state.phase, "live": well}, 200 if well else 503)

    async def draining(self, request: Request) -> Response:
        """`service`, `node`: what is left of the old connections."""
        service, node = (request.query_params.get(name, "") for name in ("service", "node"))
        return Answer(await self._do(drains.progress, *self._known(), service, node))

    # --- writing ---------------------------------------------------------------------------------------------

    async def failover(self, request: Request) -> Response:
        """`group`, `to`: wish that it moves."""
        it, by = await asked(request, requests.Failover), await self._by(request)
        move, revision = await self._do(operations.failover, *self._known(), it.group, it.to or "", by)
        self._note("asked_failover", by, group=it.group, to=it.to or "")
        return Answer({"id": move.id, "from": move.from_node, "to": move.to, "revision": revision})

    async def withdraw(self, request: Request) -> Response:
        """`group`, `id`: take a wish back."""
        it, by = await asked(request, requests.Withdraw), await self._by(request)
        gone = await self._do(operations.withdraw, self.daemon.keys, it.group, it.id)
        if gone:
            self._note("withdrew_failover", by, group=it.group)
        return Answer({"withdrawn": gone})

    async def standby(self, request: Request) -> Response:
        """`node`, `force`: have every group leave it. `check`: only whether that would be refused."""
        it, by = await asked(request, requests.Standby), await self._by(request)
        operation = functools.partial(operations.standby, force=it.force, check=it.check)
        groups = await self._do(operation, *self._known(), it.node, by)
        if not it.check:
            self._note("asked_standby", by, on=it.node)
        return Answer({"groups": groups})

    async def online(self, request: Request) -> Response:
        """`node`: end its standby."""
        it, by = await asked(request, requests.OfNode), await self._by(request)
        changed = await self._do(operations.online, *self._known(), it.node)
        if changed:
            self._note("asked_online", by, on=it.node)
        return Answer({"changed": changed})

    async def cleanup(self, request: Request) -> Response:
        """`group`, `node`: forget what failed, there or ("") anywhere."""
        it, by = await asked(request, requests.Cleanup), await self._by(request)
        nodes, unblocked = await self._do(cleanups.cleanup, *self._known(), it.group, it.node, by)
        self._note("asked_cleanup", by, group=it.group, on=it.node)
        return Answer({"nodes": nodes, "unblocked": unblocked})

    async def drain(self, request: Request) -> Response:
        """`service`, `node`, `reason`, `force`: its servers there get no new connections."""
        it, by = await asked(request, requests.Drain), await self._by(request)
        operation = functools.partial(drains.drain, reason=it.reason or "", force=it.force)
        wish, new = await self._do(operation, *self._known(), it.service, it.node, by)
        if new:
            self._note("asked_drain", by, service=it.service, on=it.node, reason=wish.reason)
        return Answer({"by": wish.by, "at": wish.at, "reason": wish.reason, "changed": new})

    async def undrain(self, request: Request) -> Response:
        """`service`, `node`: they get new connections again."""
        it, by = await asked(request, requests.Undrain), await self._by(request)
        changed = await self._do(drains.undrain, *self._known(), it.service, it.node)
        if changed:
            self._note("asked_undrain", by, service=it.service, on=it.node)
        return Answer({"changed": changed})

    async def confirm(self, request: Request) -> Response:
        """`node`: the operator's word that its dead session runs nothing."""
        it, by, state = await asked(request, requests.OfNode), await self._by(request), self.daemon.state
        fence = state.view.fences.get(it.node)
        left = status.lease_left_ms(state.observer, it.node, fence.record, self.daemon.now()) if fence else 0.0
        sid = await self._do(operations.confirm, *self._known(), it.node, by, left)
        self._note("fence_confirmed", by, on=it.node, sid=sid)
        return Answer({"sid": sid})

    async def fence(self, request: Request) -> Response:
        """`node`, `action`: have it fenced."""
        it, by = await asked(request, requests.Fence), await self._by(request)
        if it.action not in ("", "off", "reboot", "on"):
            raise operations.NoSuchError("`action` must be off, reboot, on, or empty for what is configured")
        action = await self._do(operations.fence, *self._known(), it.node, it.action, by)
        self._note("fence_asked", by, on=it.node, action=action)
        return Answer({"action": action})

    async def fence_test(self, request: Request) -> Response:
        """Have every live node look at every fence device."""
        wish, nodes, limit_ms = await self._do(operations.fence_test, *self._known(), await self._by(request))
        return Answer({"id": wish.id, "nodes": nodes, "limit_ms": limit_ms})

    # --- parts -----------------------------------------------------------------------------------------------

    async def _do(self, operation: Callable[..., Any], *args: Any) -> Any:
        return await self.daemon.asked(operation, self.daemon.store, *args)

    def _known(self) -> tuple[View, ClusterSpec | None]:
        """What is known now, for a thread."""
        return self.daemon.state.view.copy(), self.daemon.state.cluster

    def _note(self, event: str, by: str, **data: Any) -> None:
        self.daemon.history.note(event, {**data, "by": by}, self.daemon.now())

    async def _by(self, request: Request) -> str:
        return f"{await callers.name_of(request)}@{self.daemon.config.node}"


class Following(StreamingResponse):
    """Events, for as long as somebody reads them."""

    def __init__(self, feed: EventFeed, follower: Follower) -> None:
        super().__init__(follower.lines(), media_type="application/x-ndjson")
        self._feed, self._follower = feed, follower

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Until it ends on either side."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._feed.leave(self._follower)


def _answering(handler: Handler) -> Handler:
    """The handler; what it raises is an answer, too."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except Exception as error:
            status_code, problem, more = _problem(error)
            headers = {"connection": "close"} if status_code == 413 else None  # what is left of the body is not read
            return Answer({"error": problem, **more}, status_code, headers)

    return answer


def _problem(error: Exception) -> tuple[int, str, Mapping[str, Any]]:
    match error:
        case requests.TooLargeError():
            return 413, f"the request is larger than {requests.LARGEST_BODY} bytes", {"kind": "bad"}
        case TooManyError():
            return 503, "too many follow the events already: try again in a moment", {"kind": "busy"}
        case operations.NoSuchError():
            return 400, str(error), {"kind": "bad"}
        case operations.WaitError():
            return 425, str(error), {"kind": "wait", "wait_ms": error.wait_ms}
        case operations.RefusedError():
            return 409, str(error), {"kind": "refused"}
        case StoreError() | RecordError():
            return 503, str(error), {"kind": "store"}
        case _:
            log.error("api_failed", error=repr(error), exc_info=error)
            return 500, f"a fault of hactl's ({type(error).__name__}): its log has more", {"kind": "internal"}


def _mark(found: dict[str, Any]) -> str:
    return f"{hash(json.dumps(found, sort_keys=True)) & 0xFFFFFFFFFFFF:012x}"


def _wait(request: Request) -> tuple[str | None, float]:
    return request.query_params.get("seen"), _number(request, "wait", Changes.LONGEST_S)


def _count(request: Request, default: int) -> int:
    return int(max(0, min(event_log.KEPT, _number(request, "n", default))))


def _number(request: Request, name: str, default: float) -> Any:
    text = request.query_params.get(name)
    try:
        return default if text is None else type(default)(text)
    except ValueError:
        raise operations.NoSuchError(f"`{name}` must be a number") from None
