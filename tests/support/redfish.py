"""A Redfish service over TLS, as a management controller has: one computer, whose power takes a while to change."""

from __future__ import annotations

import base64
import hmac
import socket
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

USER, PASSWORD = "admin", "pass:word=1"
SYSTEM = "/redfish/v1/Systems/1"
_RESET = f"{SYSTEM}/Actions/ComputerSystem.Reset"
_GOES_TO = {"On": "On", "ForceOff": "Off"}
Mood = Literal["well", "refuses", "silent"]


class RedfishService:
    """`change_s`: how long the power takes to change; meanwhile its state is PoweringOff or PoweringOn. `mood`: the way
    a reset ends; with `silent`, no request is answered at all."""

    def __init__(self, place: Path, change_s: float = 0.0) -> None:
        self._certificate, self._key = place / "certificate.pem", place / "key.pem"
        make_certificate(self._certificate, self._key)
        self.change_s, self.mood = change_s, "well"
        self.resets: list[str] = []
        self._target, self._changes_at = "On", 0.0
        self._ending = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        routes = [
            Route("/redfish/v1", self._root),
            Route("/redfish/v1/Systems", self._systems),
            Route(SYSTEM, self._system),
            Route(_RESET, self._reset, methods=["POST"]),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes), log_level="critical", ssl_certfile=str(self._certificate),
            ssl_keyfile=str(self._key), lifespan="off", timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)

    @property
    def options(self) -> dict[str, str]:
        """A device's, but for the password."""
        port = str(self._socket.getsockname()[1])
        return {"ip": "127.0.0.1", "ipport": port, "username": USER, "ssl_insecure": "1", "systems_uri": SYSTEM}

    @property
    def state(self) -> str:
        """As ComputerSystem.PowerState."""
        if time.monotonic() >= self._changes_at:
            return self._target
        return f"Powering{self._target}"

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            time.sleep(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()

    def _refused(self, request: Request) -> Response | None:
        """Each request carries the user's name and password."""
        if self.mood == "silent":
            self._ending.wait()
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        wanted = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if kind == "Basic" and hmac.compare_digest(given, wanted):
            return None
        return JSONResponse({"error": {"code": "Base.1.8.NoValidSession", "message": "who are you?"}}, 401)

    def _root(self, request: Request) -> Response:
        return self._refused(request) or JSONResponse({"Systems": _link("/redfish/v1/Systems")})

    def _systems(self, request: Request) -> Response:
        return self._refused(request) or JSONResponse({"Members": [_link(SYSTEM)], "Members@odata.count": 1})

    def _system(self, request: Request) -> Response:
        reset = {"target": _RESET, "ResetType@Redfish.AllowableValues": list(_GOES_TO)}
        document = {**_link(SYSTEM), "PowerState": self.state, "Actions": {"#ComputerSystem.Reset": reset}}
        return self._refused(request) or JSONResponse(document)

    async def _reset(self, request: Request) -> Response:
        if refused := self._refused(request):
            return refused
        wanted: Any = (await request.json()).get("ResetType")
        if self.mood == "refuses" or wanted not in _GOES_TO:
            return JSONResponse({"error": {"code": "Base.1.8.ActionNotSupported", "message": "no"}}, 400)
        self.resets.append(wanted)
        self._target, self._changes_at = _GOES_TO[wanted], time.monotonic() + self.change_s
        return Response(status_code=204)


def _link(path: str) -> dict[str, str]:
    return {"@odata.id": path}


def make_certificate(certificate: Path, key: Path) -> None:
    """A certificate that nobody has signed, and its key, valid for two days."""
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    argv += ["-days", "2", "-subj", "/CN=bmc.example", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(argv, capture_output=True, timeout=30, check=True)
