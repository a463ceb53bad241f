"""Free ports."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A port of loopback on which nothing listens, outside of the range that the kernel gives to clients."""
    while True:
        port = random.randrange(12000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port


def free_udp_port(family: int = socket.AF_INET, address: str = LOOPBACK) -> int:
    """A port of UDP, chosen by the kernel, on which nothing listens."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
