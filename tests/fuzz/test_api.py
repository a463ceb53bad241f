"""Requests to the daemon's socket: carried out, refused, or not understood; never a failure of the daemon."""

from __future__ import annotations

import asyncio
import random
from typing import Any
from urllib.parse import quote

from election.memory_store import MemoryStore
from hactl.config.node import NodeConfig
from hactl.daemon.api.routes import Api
from tests.fuzz.fuzzing import as_json, fuzzed, raw
from tests.support.scene import KEYS, Scene, at
from tests.support.stand_in import StandIn

BODIES: dict[str, dict[str, Any]] = {
    "failover": {"group": "vip", "to": "n2"},
    "failover/withdraw": {"group": "vip", "id": "x"},
    "node/standby": {"node": "n1", "force": True, "check": False},
    "node/online": {"node": "n1"},
    "service/drain": {"service": "api", "node": "n1", "reason": "why", "force": False},
    "service/undrain": {"service": "api", "node": "n1"},
    "fence/confirm": {"node": "n3"},
    "fence": {"node": "n3", "action": "off"},
    "fence/test": {},
}
WORDS = ("1", "-1", "nan", "inf", "1e999", "x", "", "9" * 5000, "\udc80", "é", "vip", "\x00", "1.5")


async def ask(app: Any, method: str, path: str, query: str = "", body: bytes = b"") -> int:
    """The status of the answer. Exceptions of the application are passed on."""
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode("utf-8", "surrogatepass"), "query_string": query.encode("ascii"),
        "root_path": "", "headers": [], "client": ("0", 0), "server": ("hactl", 0),
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return int(sent[0]["status"])


def _daemon() -> StandIn:
    scene = Scene(MemoryStore())
    scene.join("n1", "n2", "n3")
    daemon = StandIn(scene, NodeConfig(cluster="demo", node="n2"))
    daemon.state.view.load(scene.store.snapshot(KEYS.prefix, timeout_s=5))
    daemon.state.session.valid_until = at(1e12)
    return daemon


@fuzzed(200)
def test_bodies(rng: random.Random) -> None:
    async def main() -> None:
        app = Api(_daemon()).app()
        name, right = rng.choice(list(BODIES.items()))
        body = as_json(rng, right).encode("utf-8", "surrogatepass")
        for content in (body, raw(rng, body), b"[" * 100_000):
            assert await ask(app, "POST", f"/v1/{name}", "", content) in (200, 400, 409, 413, 425, 503)

    asyncio.run(main())


@fuzzed(100)
def test_questions(rng: random.Random) -> None:
    async def main() -> None:
        app = Api(_daemon()).app()
        path = rng.choice(
            ["status", "events", "timeline", f"groups/{rng.choice(WORDS)}", "service/draining", "healthz"]
        )
        names = ["n", "group", "wait", "service", "node"]
        query = "&".join(f"{name}={quote(rng.choice(WORDS), errors='surrogatepass')}" for name in rng.sample(names, 2))
        assert await ask(app, "GET", f"/v1/{path}", query) in (200, 400, 404, 409, 503)

    asyncio.run(main())
