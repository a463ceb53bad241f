"""How HAProxy's answers, files and messages are read. The answers are those of a real HAProxy 2.6."""

from __future__ import annotations

import socket

import pytest

from hactl.haproxy.control.binds import check_free
from hactl.haproxy.settings import HaproxyError


def test_an_address_that_another_holds_is_refused() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        for bind in (f"127.0.0.1:{port}", f"*:{port}", f"127.0.0.1:{port - 1}-{port}"):
            with pytest.raises(HaproxyError, match="Address already in use"):
                check_free([bind])
    check_free([f"127.0.0.1:{port}", "/run/x.sock", "name.example.org:80"])


def test_an_address_that_another_holds_elsewhere_is_free() -> None:
    """By another protocol, in another network namespace, or of IPv4 beside one for IPv6 alone."""
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        port = other.getsockname()[1]
        check_free([f"udp@127.0.0.1:{port}", f"namespace@127.0.0.1:{port}", f"v6only@[::]:{port}"])
        for bind in (f"ipv4@127.0.0.1:{port}", f"ipv4@:{port}"):
            with pytest.raises(HaproxyError, match="Address already in use"):
                check_free([bind])
