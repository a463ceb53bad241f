"""The daemon's API over its unix socket: just enough HTTP, since the standard library's takes long to import."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from hactl.cli.common import BAD_INPUT, FAILED, CliError, sudo_user

CONNECT_S = 1.0


class NoDaemonError(Exception):
    """No daemon answers: nothing was asked, or nothing but a question was."""


class NotAllowedError(CliError):
    """This user may not connect to the daemon."""

    def __init__(self, path: str) -> None:
        super().__init__(f"you may not use {path}: be root, or a member of its group", FAILED)


class WaitError(CliError):
    """Not yet; `wait_ms`: ask again then."""

    def __init__(self, message: str, wait_ms: float) -> None:
        super().__init__(message, FAILED)
        self.wait_ms = wait_ms


def get(path: str, target: str, timeout_s: float) -> dict[str, Any]:
    """The answer to GET. Raises NoDaemonError, CliError."""
    try:
        return _answer(_exchange(path, _head("GET", target), timeout_s))
    except TimeoutError:
        raise NoDaemonError(f"the daemon does not answer within {timeout_s:g} s") from None


def post(path: str, target: str, body: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
    """The answer to POST. Raises NoDaemonError when nothing was asked, CliError."""
    content = json.dumps(body).encode()
    try:
        return _answer(_exchange(path, _head("POST", target, len(content)) + content, timeout_s))
    except TimeoutError:
        raise CliError(
            f"the daemon does not answer within {timeout_s:g} s; whether it was done is unknown: see `hactl status`"
        ) from None


def stream(path: str, target: str) -> Iterator[dict[str, Any]]:
    """The lines of an answer that has no end, until it ends. Raises NoDaemonError, CliError."""
    with _connected(path, None) as connection:
        connection.sendall(_head("GET", target))
        with connection.makefile("rb") as file:
            head = [file.readline()]
            while (header := file.readline()) not in (b"\r\n", b""):
                head.append(header)
            if b" 200 " not in head[0]:
                _answer(b"".join(head) + b"\r\n" + file.read())
            for line in file:
                with contextlib.suppress(ValueError, RecursionError):  # of a daemon that ends just now: half a line
                    if isinstance(found := json.loads(line), dict):
                        yield found


def _head(method: str, target: str, length: int = 0) -> bytes:
    # HTTP/1.0: the answer ends with the connection, without chunks.
    more = f"Content-Length: {length}\r\n" if length else ""
    if sudo := sudo_user():
        more += f"Hactl-Sudo-User: {quote(sudo)}\r\n"
    return f"{method} {target} HTTP/1.0\r\nHost: hactl\r\n{more}\r\n".encode()


def _connected(path: str, timeout_s: float | None) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(CONNECT_S)
    try:
        connection.connect(path)
    except PermissionError:
        connection.close()
        raise NotAllowedError(path) from None
    except OSError as error:
        connection.close()
        raise NoDaemonError(f"{path}: {error.strerror or error}") from None
    connection.settimeout(timeout_s)
    return connection


def _exchange(path: str, request: bytes, timeout_s: float) -> bytes:
    with _connected(path, timeout_s) as connection:
        answer = bytearray()
        try:
            # Who is refused is told so before all of the request was read.
            with contextlib.suppress(BrokenPipeError):
                connection.sendall(request)
            while chunk := connection.recv(262144):
                answer += chunk
        except ConnectionError as error:
            if not answer:
                raise TimeoutError(str(error)) from None  # it ended under our hands: no answer will come
        return bytes(answer)


def _answer(raw: bytes) -> dict[str, Any]:
    head, _, body = raw.partition(b"\r\n\r\n")
    words = head.split(None, 2)
    try:
        status = int(words[1])
        found = json.loads(body) if b"application/json" in head else {}
        if not isinstance(found, dict):
            raise ValueError("is no object")
    except (IndexError, ValueError, RecursionError):
        raise CliError(f"the daemon's answer is not understood: {raw[:200]!r}") from None
    if status == 200:
        return found
    version = ": is it of another version?" if status == 404 else "; its log may have more"
    problem = str(found.get("error") or f"the daemon answers with HTTP status {status}{version}")
    kind, wait_ms = found.get("kind"), found.get("wait_ms")
    if kind == "wait" and isinstance(wait_ms, int | float):
        raise WaitError(problem, float(wait_ms))
    raise CliError(problem, BAD_INPUT if kind == "bad" else FAILED)
