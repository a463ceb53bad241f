"""Sockets that accept, and whose they are."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from hactl.linux.listeners import Listener, listeners


@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"), (socket.AF_INET, "0.0.0.0")]
)
def test_tcp_and_udp(family: int, address: str) -> None:
    own = Path("/proc/self/comm").read_text().strip()
    command = Path("/proc/self/cmdline").read_text().replace("\0", " ").strip()
    with socket.socket(family) as tcp, socket.socket(family, socket.SOCK_DGRAM) as udp:
        tcp.bind((address, 0))
        udp.bind((address, 0))
        port = tcp.getsockname()[1]
        assert not [known for known in listeners() if (known.protocol, known.port) == ("tcp", port)]
        tcp.listen()
        known = listeners()
        assert Listener("tcp", address, port, own, command) in known
        assert Listener("udp", address, udp.getsockname()[1], own, command) in known


def test_everywhere() -> None:
    assert Listener("tcp", "::", 1).everywhere and Listener("udp", "0.0.0.0", 1).everywhere
    assert not Listener("tcp", "10.0.0.1", 1).everywhere
