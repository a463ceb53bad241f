"""Requests to the API as bytes, also such as our client would not send; the routes that change something."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Sequence
from typing import Any

WRITING = (
    "failover", "failover/withdraw", "node/standby", "node/online", "service/drain", "service/undrain", "fence/confirm",
    "fence",
)  # fmt: skip


def ask(path: str, request: bytes, *, more: Sequence[bytes] = ()) -> tuple[int, dict[str, Any]]:
    """Send the request, then `more` of it; the status and the document of the answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(path)
        try:
            connection.sendall(request)
            for chunk in more:
                connection.sendall(chunk)
        except (BrokenPipeError, ConnectionResetError):
            pass
        raw = b""
        with contextlib.suppress(ConnectionResetError):  # the daemon did not read all, and says so after its answer
            while chunk := connection.recv(65536):
                raw += chunk
    head, _, body = raw.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)
