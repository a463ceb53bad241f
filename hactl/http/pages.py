"""The pages. Each is made of the daemon's last answer; nothing can be changed from here."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from hactl.http.source import Answer, DaemonSource
from hactl.model.serving_metrics import REFUSALS, SERVING
from hactl.serving.gate import Gate
from hactl.serving.http import CHUNK

TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Pages:
    """The application. `gate` is set when there is one."""

    def __init__(self, source: DaemonSource) -> None:
        self._source = source
        self.gate: Gate | None = None
        routes = [Route("/metrics", self.metrics), Route("/healthz", self.healthz), Route("/readyz", self.readyz)]
        self._app = Starlette(routes=routes)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer; a request with a body is not read."""
        if scope["type"] == "http" and any(name in _BODY and value != b"0" for name, value in scope["headers"]):
            refused = PlainTextResponse("no body is taken here\n", 413, {"connection": "close"})
            await refused(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def metrics(self, _request: Request) -> Response:
        """Prometheus' text format: the daemon's metrics, while it answers, and those of this process."""
        answer = await self._source.answer()
        own = ("\n".join(self._own(answer)) + "\n").encode()
        daemons = answer.last.metrics if answer.last and not answer.problem else b""
        length = {"content-length": str(len(own) + len(daemons))}
        return StreamingResponse(_chunks(own, daemons), media_type=TEXT, headers=length)

    async def healthz(self, _request: Request) -> Response:
        """200 while this node takes part, else 503, with the reason."""
        answer = await self._source.answer()
        phase = answer.last.phase if answer.last and not answer.problem else ""
        reason = self._reason(answer)
        return JSONResponse({"phase": phase, "live": not reason, "reason": reason}, 503 if reason else 200)

    async def readyz(self, _request: Request) -> Response:
        """200 while the daemon answers at all."""
        problem = (await self._source.answer()).problem
        return JSONResponse({"ready": not problem, "reason": problem}, 503 if problem else 200)

    def _reason(self, answer: Answer) -> str:
        """Why this node takes no part; "": it does."""
        last, now = answer.last, self._source.now()
        if answer.problem or last is None:
            since = f"; last heard of {last.age_s(now):.0f} s ago" if last else ""
            return f"the daemon does not answer: {answer.problem}{since}"
        if last.refused:
            return last.refused
        if last.phase != "live":
            return f"the daemon is {last.phase}"
        return "" if last.lease_left_s(now) > 0 else "this node's lease is over"

    def _own(self, answer: Answer) -> Iterator[str]:
        age = answer.last.age_s(self._source.now()) if answer.last else float("nan")
        refused = self.gate.refused if self.gate else {}
        values: dict[str, Mapping[str, float]] = {
            "hactl_up": {"": int(not answer.problem)},
            "hactl_snapshot_age_seconds": {"": age},
            "hactl_http_connections": {"": self.gate.slots.taken if self.gate else 0},
            "hactl_http_refused_total": {f'{{reason="{reason}"}}': refused.get(reason, 0) for reason in REFUSALS},
        }
        for metric in SERVING:
            yield f"# HELP {metric.name} {metric.help}"
            yield f"# TYPE {metric.name} {metric.kind}"
            yield from (f"{metric.name}{labels} {_number(value)}" for labels, value in values[metric.name].items())


_BODY = (b"content-length", b"transfer-encoding")


def _number(value: float) -> str:
    return "NaN" if math.isnan(value) else json.dumps(value)


async def _chunks(*parts: bytes) -> AsyncIterator[memoryview]:
    """Without a copy: all clients, slow ones too, read the same page of the daemon."""
    for part in parts:
        view = memoryview(part)
        for start in range(0, len(part), CHUNK):
            yield view[start : start + CHUNK]
