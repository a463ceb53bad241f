"""The daemon's API over its unix socket: just enough HTTP, since the standard library's takes long to import."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote

from hactl.cli.common import BAD_INPUT, FAILED, CliError, sudo_user

CONNECT_S = 1.0
# While too many ask, a request is repeated for so long, after such waits.
BUSY_S, AGAIN_S = 3.0, 0.1

T = TypeVar("T")


class NoDaemonError(Exception):
    """No daemon answers, and nothing was changed."""


class NotAllowedError(CliError):
    """This user may not connect to the daemon."""

    def __init__(self, path: str) -> None:
        super().__init__(f"you may not use {path}: be root, or a member of its group", FAILED)


class WaitError(CliError):
    """Not yet; `wait_ms`: ask again then."""

    def __init__(self, message: str, wait_ms: float) -> None:
        super().__init__(message, FAILED)
        self.wait_ms = wait_ms


class HarmError(CliError):
    """It would hurt what runs; asked for again with `force`, it is done."""


class BusyError(CliError):
    """The daemon has not read the request: too many ask it. It may be asked again."""


def _patiently(ask: Callable[[], T]) -> T:
    """Ask again for a while where too many do: many watchers must not keep out an operator."""
    end = time.monotonic() + BUSY_S
    while True:
        try:
            return ask()
        except BusyError:
            if time.monotonic() >= end:
                raise
            time.sleep(AGAIN_S * (0.5 + os.urandom(1)[0] / 256))  # not all at the same moment


def get(path: str, target: str, timeout_s: float) -> dict[str, Any]:
    """The answer to GET. Raises NoDaemonError, CliError."""
    try:
        return _patiently(lambda: _answer(_exchange(path, _head("GET", target), timeout_s)))
    except TimeoutError:
        raise NoDaemonError(f"the daemon does not answer within {timeout_s:g} s") from None


def post(path: str, target: str, body: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
    """The answer to POST. Raises NoDaemonError when nothing was asked, CliError."""
    content = json.dumps(body).encode()
    try:
        request = _head("POST", target, len(content)) + content
        return _patiently(lambda: _answer(_exchange(path, request, timeout_s)))
    except TimeoutError:
        raise CliError(
            f"the daemon does not answer within {timeout_s:g} s; whether it was done is unknown: see `hactl status`"
        ) from None


def stream(path: str, target: str) -> Iterator[dict[str, Any]]:
    """The lines of an answer that has no end, until it ends. Raises NoDaemonError, CliError."""
    with _patiently(lambda: _begun(path, target)) as file, contextlib.suppress(ConnectionError):
        for line in file:
            with contextlib.suppress(ValueError, RecursionError):  # of a daemon that ends just now: half a line
                if isinstance(event := json.loads(line), dict):
                    yield event


def _begun(path: str, target: str) -> BinaryIO:
    """An answer without its head."""
    with _connected(path, None) as connection:
        with contextlib.suppress(BrokenPipeError):
            connection.sendall(_head("GET", target))
        file = connection.makefile("rb")  # which keeps the connection
    head, body = bytearray(), bytearray()
    try:
        while (line := file.readline()) not in (b"\r\n", b""):
            head += line
        while b" 200 " not in head.partition(b"\r\n")[0] and (chunk := file.read1()):
            body += chunk
    except ConnectionError as error:  # a refusal comes before all of the request was read
        if not head:
            file.close()
            raise NoDaemonError(f"{path}: {error.strerror}") from None
    if b" 200 " in head.partition(b"\r\n")[0]:
        return file
    with file:
        _answer(bytes(head + b"\r\n" + body))
    raise NoDaemonError(f"{path}: it ended before it answered")


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
    except OSError as error:
        connection.close()
        if isinstance(error, PermissionError):
            raise NotAllowedError(path) from None
        if isinstance(error, BlockingIOError):  # as many wait as the kernel keeps
            raise BusyError("too many ask the daemon at one time: try again in a moment", FAILED) from None
        raise NoDaemonError(f"{path}: {error.strerror or error}") from None
    connection.settimeout(timeout_s)
    return connection


def _exchange(path: str, request: bytes, timeout_s: float) -> bytes:
    with _connected(path, timeout_s) as connection:
        answer = bytearray()
        try:
            # A refusal comes before all of the request was read.
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
        answer = json.loads(body) if b"application/json" in head else {}
        if not isinstance(answer, dict):
            raise ValueError("is no object")
    except (IndexError, ValueError, RecursionError):
        raise CliError(f"the daemon's answer is not understood: {raw[:200]!r}") from None
    if status == 200:
        return answer
    version = ": is it of another version?" if status == 404 else "; its log may have more"
    problem = str(answer.get("error") or f"the daemon answers with HTTP status {status}{version}")
    kind, wait_ms = answer.get("kind"), answer.get("wait_ms")
    if kind == "wait" and isinstance(wait_ms, int | float):
        raise WaitError(problem, float(wait_ms))
    if kind == "harm":
        raise HarmError(problem, FAILED)
    if kind == "busy":
        raise BusyError(problem, FAILED)
    raise CliError(problem, BAD_INPUT if kind == "bad" else FAILED)
