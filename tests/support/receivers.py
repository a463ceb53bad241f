"""Receivers of webhooks on loopback, well and unwell ones."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.ports import LOOPBACK


class Receiver(ThreadingHTTPServer):
    """Answers each POST with the next of `statuses`, the last one for good. `got`: the documents, `headers`: of the
    last request."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *statuses: int, slow_s: float = 0.0) -> None:
        super().__init__((LOOPBACK, 0), _Handler)
        self.statuses, self.slow_s = list(statuses or (200,)), slow_s
        self.got: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}
        self.stop = threading.Event()
        self.scheme = "http"

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{self.scheme}://localhost:{self.server_address[1]}/hook?a=b"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        server = self.server
        server.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        server.headers = dict(self.headers)
        server.stop.wait(server.slow_s)
        status = server.statuses.pop(0) if len(server.statuses) > 1 else server.statuses[0]
        with contextlib.suppress(OSError):
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", "/elsewhere")
            body = b"the receiver's words"
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def receiving(*statuses: int, slow_s: float = 0.0, certificate: Path | None = None) -> Iterator[Receiver]:
    """A receiver while the block runs. `certificate`: it speaks TLS with this one, whose key is beside it."""
    receiver = Receiver(*statuses, slow_s=slow_s)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        receiver.socket = context.wrap_socket(receiver.socket, server_side=True)
        receiver.scheme = "https"
    thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.stop.set()
        receiver.shutdown()
        thread.join()
        receiver.server_close()


@contextlib.contextmanager
def hanging() -> Iterator[str]:
    """The URL of a receiver that accepts connections and never answers."""
    with socket.create_server((LOOPBACK, 0), backlog=64) as listener:
        yield f"http://{LOOPBACK}:{listener.getsockname()[1]}/"


@contextlib.contextmanager
def babbling() -> Iterator[str]:
    """The URL of a receiver that sends without end, and never an answer."""
    with socket.create_server((LOOPBACK, 0), backlog=64) as listener:
        thread = threading.Thread(target=_babble, args=(listener,), daemon=True)
        thread.start()
        yield f"http://{LOOPBACK}:{listener.getsockname()[1]}/"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def _babble(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                while True:
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
