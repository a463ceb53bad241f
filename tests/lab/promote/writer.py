"""A client of a Redis with replicas: `python writer.py ADDRESS PORT ACKNOWLEDGED`.

It writes one number after the other into the list `journal`, each in a transaction that no other writer comes between,
and waits until a replica has it (WAIT). Only then the number is acknowledged: it is appended to the file ACKNOWLEDGED.
A number that is not is tried again, with a new connection: it may be in the list twice.
"""

from __future__ import annotations

import os
import socket
import sys
import time

TIMEOUT_S = 0.5
REPLICAS, WAIT_MS = 1, 400


class RefusedError(Exception):
    """The server answered with an error: it is a replica, has too few of them, or is just starting."""


class Redis:
    """One connection."""

    def __init__(self, address: str, port: int, timeout_s: float = TIMEOUT_S) -> None:
        self._socket = socket.create_connection((address, port), timeout_s)
        self._socket.settimeout(timeout_s)
        self._file = self._socket.makefile("rb")

    def ask(self, *words: str | int) -> list[bytes] | bytes:
        """Send one command; its answer. Raises OSError or RefusedError."""
        request = b"*%d\r\n" % len(words)
        for word in words:
            text = str(word).encode()
            request += b"$%d\r\n%s\r\n" % (len(text), text)
        self._socket.sendall(request)
        return self._answer()

    def _answer(self) -> list[bytes] | bytes:
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("the server is gone")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RefusedError(rest.decode())
        if kind == b"$":
            size = int(rest)
            return self._file.read(size + 2)[:-2] if size >= 0 else b""
        if kind == b"*":
            return [bytes(self._answer()) for _ in range(int(rest))]  # type: ignore[arg-type]
        return rest

    def close(self) -> None:
        """End it."""
        self._file.close()
        self._socket.close()


def main() -> None:
    """Until it is killed."""
    address, port = sys.argv[1], int(sys.argv[2])
    acknowledged = os.open(sys.argv[3], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    number, redis = 1, None
    while True:
        try:
            redis = redis or Redis(address, port)
            redis.ask("RPUSH", "journal", number)
            if int(bytes(redis.ask("WAIT", REPLICAS, WAIT_MS))) >= REPLICAS:  # type: ignore[arg-type]
                os.write(acknowledged, f"{number} {time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 10**6}\n".encode())
                number += 1
            time.sleep(0.002)
        except (OSError, RefusedError):
            if redis is not None:
                redis.close()
            redis = None
            time.sleep(0.02)


if __name__ == "__main__":
    main()
