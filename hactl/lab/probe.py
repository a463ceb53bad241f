"""The client that keeps asking: a new TCP connection and HTTP request every few milliseconds.

A process of its own, so that nothing in the caller disturbs its clock: `python -m hactl.lab.probe`. It says
`ready` on standard output when its first request is out, and writes its result as JSON when it gets SIGTERM
or its time is over. One thread, one epoll: every request has its own deadline and none waits for another.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import re
import select
import signal
import socket
import struct
import sys
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hactl.lab.system import boottime_ms

_NODE = re.compile(rb'"node": ?"([^"]*)"')
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
# Closing by RST leaves no TIME_WAIT behind: a client that asks 200 times a second does not run out of ports.
_RESET = struct.pack("ii", 1, 0)


@dataclass(slots=True, eq=False)
class _Request:
    connection: socket.socket
    began_ms: float
    sent: bool = False
    done: bool = False
    answer: bytearray = field(default_factory=bytearray)


class Prober:
    """Asks `target` every `interval_ms`; a request that has no whole answer after `timeout_ms` has failed."""

    def __init__(self, target: str, path: str, interval_ms: float, timeout_ms: float) -> None:
        address, _, port = target.rpartition(":")
        address = address.strip("[]")
        self._family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._target = (address, int(port))
        self._request = f"GET {path} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n".encode()
        self._interval_ms, self._timeout_ms = interval_ms, timeout_ms
        self._epoll = select.epoll()
        self._open: dict[int, _Request] = {}
        self._queue: deque[_Request] = deque()
        self.stopping = False
        self.good: list[tuple[float, str]] = []
        self.failed: list[tuple[float, float, str]] = []
        self.begin_ms = self.end_ms = 0.0

    def run(self, seconds: float | None = None) -> None:
        """Ask until `stopping` is set or `seconds` are over, then wait for the open requests."""
        self.begin_ms = due = boottime_ms()
        end = self.begin_ms + seconds * 1000 if seconds else float("inf")
        while not self.stopping and boottime_ms() < end:
            now = boottime_ms()
            if now >= due:
                self._launch(now)
                due = max(due + self._interval_ms, now)  # missed requests are not made up for in a burst
            self._turn(due)
        self.end_ms = boottime_ms()
        while self._open:
            self._turn(self.end_ms + self._timeout_ms)

    def result(self) -> dict[str, Any]:
        """All that was seen."""
        return {"begin_ms": self.begin_ms, "end_ms": self.end_ms, "good": self.good, "failed": self.failed}

    def _launch(self, now: float) -> None:
        connection = socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        request = _Request(connection, now)
        code = connection.connect_ex(self._target)
        if code not in (0, errno.EINPROGRESS):
            self._fail(request, errno.errorcode.get(code, str(code)))
            return
        self._open[connection.fileno()] = request
        self._queue.append(request)
        self._epoll.register(connection, select.EPOLLOUT)

    def _turn(self, due: float) -> None:
        if self._queue:
            due = min(due, self._queue[0].began_ms + self._timeout_ms)
        for descriptor, events in self._epoll.poll(max(0.0, due - boottime_ms()) / 1000):
            request = self._open[descriptor]
            try:
                self._advance(request, events)
            except OSError as error:
                self._fail(request, errno.errorcode.get(error.errno or 0, str(error)))
        now = boottime_ms()
        while self._queue and (self._queue[0].done or now - self._queue[0].began_ms >= self._timeout_ms):
            request = self._queue.popleft()
            if not request.done:
                self._fail(request, "timeout" if request.sent else "connect timeout")

    def _advance(self, request: _Request, events: int) -> None:
        connection = request.connection
        if not request.sent:
            if code := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(code, "connect")
            connection.send(self._request)
            request.sent = True
            self._epoll.modify(connection, select.EPOLLIN)
            return
        data = connection.recv(65536)
        request.answer += data
        verdict = judge(bytes(request.answer), ended=not data)
        if verdict is None:
            return
        node, problem = verdict
        if problem:
            self._fail(request, problem)
        else:
            self.good.append((boottime_ms(), node))
            self._close(request)

    def _fail(self, request: _Request, reason: str) -> None:
        self.failed.append((request.began_ms, boottime_ms(), reason))
        self._close(request)

    def _close(self, request: _Request) -> None:
        request.done = True
        if self._open.pop(request.connection.fileno(), None) is not None:
            self._epoll.unregister(request.connection)
        request.connection.close()


def judge(answer: bytes, ended: bool) -> tuple[str, str] | None:
    """The node that answered and the problem ("": there is none); None: the answer is not whole yet."""
    head, separator, body = answer.partition(b"\r\n\r\n")
    if not separator:
        return ("", "closed without an answer") if ended else None
    length = _LENGTH.search(head)
    whole = len(body) >= int(length.group(1)) if length else ended
    if not whole:
        return ("", "answer cut short") if ended else None
    status = head.split(b" ", 2)[1].decode(errors="replace")
    if status != "200":
        return "", f"status {status}"
    node = _NODE.search(body)
    return (node.group(1).decode() if node else "?"), ""


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="ask again and again, and write down when answers came")
    parser.add_argument("--target", required=True, help="ADDRESS:PORT")
    parser.add_argument("--path", default="/")
    parser.add_argument("--interval-ms", type=float, default=10.0)
    parser.add_argument("--timeout-ms", type=float, default=1000.0)
    parser.add_argument("--seconds", type=float, default=None, help="default: until SIGTERM")
    parser.add_argument("--output", type=Path, required=True, help="file for the result")
    given = parser.parse_args()
    prober = Prober(given.target, given.path, given.interval_ms, given.timeout_ms)

    def stop(*_: object) -> None:
        prober.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    prober.run(given.seconds)
    given.output.write_text(json.dumps(prober.result()))
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write("done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
