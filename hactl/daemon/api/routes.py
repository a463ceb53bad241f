"""The daemon's API, on unix sockets for the command line. The daemon listens on no network: the pages there come
from `publish.py`, by a process of its own (`hactl/http/`).

Two sockets, so that the kernel says who may connect, by the credentials that the asking process has: no name service is
asked about groups, which may hang, and nothing that a stranger sends is looked at. `hactl.sock` is root's and
`operate_group`'s and takes everything; `read.sock` is `read_group`'s and takes questions only.

JSON in and out. Errors: `{"error": …, "kind": …}` with 400 (`bad`: wrong request, or no such thing), 403 (`forbidden`),
409 (`refused`; `harm`: it would hurt what runs, and is done with `force`), 413 (`bad`: too large), 425 (`wait`: with
`wait_ms`), 429 and 503 (`busy`), 503 (`store`: outcome unknown, look and try again), 500 (`internal`: a fault of
hactl's).
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
from hactl.admin import drains, event_log
from hactl.admin.actions import ACTIONS, Context, Left, carry_out
from hactl.admin.errors import BadInputError, HarmError, NoSuchError, RefusedError, WaitError
from hactl.admin.requests import Request as ActionRequest
from hactl.daemon.api import callers
from hactl.daemon.api.bodies import LARGEST_BODY, HookTest, TooLargeError, decoded
from hactl.daemon.api.status_document import StatusDocument, encode
from hactl.daemon.api.waiting import LOOK_S, Changes
from hactl.daemon.daemon_view import DaemonView
from hactl.daemon.parts.event_feed import EventFeed, Follower, TooManyError
from hactl.serving.http import CHUNK, http_gate
from hactl.serving.limits import Limits
from hactl.serving.sockets import serve_at
from hactl.status import document as status
from hactl.status.clones import clone_status
from hactl.status.explain import explain
from hactl.status.explain_clone import explain_clone
from hactl.status.local import lease_left_ms

log = structlog.get_logger()

# Commands, and followers of the events: for each of the sockets.
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
    """JSON, of anything. Sent in parts: many large ones at the same moment do not keep the loop, and a peer that
    reads none of it holds only a part of it in memory."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The body as it is sent."""
        return content if isinstance(content, bytes) else encode(content)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = memoryview(self.body)
        for start in range(0, len(body) - CHUNK, CHUNK):
            await send({"type": "http.response.body", "body": body[start : start + CHUNK], "more_body": True})
            await asyncio.sleep(0)
        last = body[(len(body) - 1) // CHUNK * CHUNK :] if body else body
        await send({"type": "http.response.body", "body": last})


class ReadOnly:
    """The same, for questions alone."""

    def __init__(self, app: Any, group: str) -> None:
        self._app = app
        self._allowed = f"root, or a member of the group `{group}` (node.toml: operate_group)" if group else "root"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer."""
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD"):
            problem = f"you may look, and not change anything: be {self._allowed}"
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
            "/v1/explain": self.explain,
            "/v1/events": self.events,
            "/v1/timeline": self.timeline,
            "/v1/service/draining": self.draining,
            "/v1/hooks": self.hooks,
            "/v1/healthz": self.healthz,
        }
        routes = [Route(path, _answering(handler)) for path, handler in reading.items()]
        for kind in ACTIONS:
            handler = _answering(functools.partial(self.act, kind))
            routes.append(Route(f"/v1/{kind.path}", handler, methods=["POST"]))
        routes.append(Route("/v1/hook/test", _answering(self.test_hook), methods=["POST"]))
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
        """One group, with the operator's request to move it. With `seen`: waits for a change of it."""
        name, state = request.path_params["group"], self.daemon.state
        spec = state.cluster.group(name) if state.cluster else None
        if spec is None:
            raise NoSuchError(f"no group `{name}`")

        def look() -> dict[str, Any]:
            state = self.daemon.state
            planned = state.plan() if state.cluster else None
            if spec.run == "all":
                group = clone_status(state.view, planned, spec)
            else:
                group = status.group_status(state.view, planned, spec, state.observer, state.node, self.daemon.now())
            return {"group": group, "move": status.move_status(name, state.view)}

        await self._changes.wait(lambda: _mark(look()), *_wait(request))
        content = look()
        return Answer({"mark": _mark(content), "revision": self.daemon.state.view.revision, **content})

    async def explain(self, request: Request) -> Response:
        """Why the group `group` is where it is."""
        name, state = request.query_params.get("group", ""), self.daemon.state
        spec = state.cluster.group(name) if state.cluster else None
        if spec is None:
            raise NoSuchError(f"no group `{name}`")
        planned = state.plan()
        if spec.run == "all":
            return Answer(explain_clone(planned, spec))
        known = status.group_status(state.view, planned, spec, state.observer, state.node, self.daemon.now())
        return Answer(explain(planned, spec, known["waiting"]))

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
        """`service`, `node`: the old connections that are left."""
        service, node = (request.query_params.get(name, "") for name in ("service", "node"))
        known = (self.daemon.store, self.daemon.state.view.copy(), self.daemon.state.cluster)
        return Answer(await self.daemon.query(drains.progress, *known, service, node))

    async def hooks(self, request: Request) -> Response:
        """The hooks, and how they are on this node."""
        return Answer(
            {"node": self.daemon.config.node, "hooks": self.daemon.hooks.status() if self.daemon.hooks else []}
        )

    # --- writing ---------------------------------------------------------------------------------------------

    async def act(self, kind: type[ActionRequest[Any]], request: Request) -> Response:
        """Carry out an operator's action."""
        action = await decoded(request, kind)
        by = f"{await callers.name_of(request)}@{self.daemon.config.node}"
        outcome = await self.daemon.query(carry_out, self._context(by), action)
        if outcome.event:
            self.daemon.history.note(outcome.event, outcome.data, self.daemon.now())
        return Answer(outcome.answer)

    async def test_hook(self, request: Request) -> Response:
        """Deliver an event to a hook, once, from this node."""
        asked = await decoded(request, HookTest)
        if self.daemon.hooks is None:
            raise NoSuchError(f"no hook `{asked.hook}`: the configuration in use has none")
        by = f"{await callers.name_of(request)}@{self.daemon.config.node}"
        return Answer(await self.daemon.hooks.test(asked.hook, by))

    def _context(self, by: str) -> Context:
        """The present state, for a thread."""
        daemon, state, now = self.daemon, self.daemon.state, self.daemon.now()
        left = {
            node: Left(lease_left_ms(state.observer, node, fence.record, now))
            for node, fence in state.view.fences.items()
        }
        return Context(daemon.store, state.view.copy(), state.cluster, by, left)


class Following(StreamingResponse):
    """Events, for as long as the peer reads them."""

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
    """The handler; its exceptions become answers, too."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except Exception as error:
            status_code, problem, more = _problem(error)
            headers = {"connection": "close"} if status_code == 413 else None  # the rest of the body is not read
            return Answer({"error": problem, **more}, status_code, headers)

    return answer


def _problem(error: Exception) -> tuple[int, str, Mapping[str, Any]]:
    match error:
        case TooLargeError():
            return 413, f"the request is larger than {LARGEST_BODY} bytes", {"kind": "bad"}
        case TooManyError():
            return 503, "too many follow the events already: try again in a moment", {"kind": "busy"}
        case BadInputError():
            return 400, str(error), {"kind": "bad"}
        case WaitError():
            return 425, str(error), {"kind": "wait", "wait_ms": error.wait_ms}
        case HarmError():
            return 409, str(error), {"kind": "harm"}
        case RefusedError():
            return 409, str(error), {"kind": "refused"}
        case StoreError() | RecordError():
            return 503, str(error), {"kind": "store"}
        case _:
            log.error("api_failed", error=repr(error), exc_info=error)
            return 500, f"a fault of hactl's ({type(error).__name__}): its log has more", {"kind": "internal"}


def _mark(content: dict[str, Any]) -> str:
    return f"{hash(json.dumps(content, sort_keys=True)) & 0xFFFFFFFFFFFF:012x}"


def _wait(request: Request) -> tuple[str | None, float]:
    return request.query_params.get("seen"), _number(request, "wait", Changes.LONGEST_S)


def _count(request: Request, default: int) -> int:
    return int(max(0, min(event_log.KEPT, _number(request, "n", default))))


def _number(request: Request, name: str, default: float) -> Any:
    text = request.query_params.get(name)
    try:
        return default if text is None else type(default)(text)
    except ValueError:
        raise NoSuchError(f"`{name}` must be a number") from None
