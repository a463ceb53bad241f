"""The guard's D-Bus, against a peer that is written with another implementation of it."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jeepney import DBusAddress, Message, new_error, new_method_return, new_signal
from jeepney.low_level import Endianness, HeaderFields, Parser

from fencing.guard.dbus import CallError, Connection

UNIT = ("a.service", "A thing", "loaded", "active", "running", "", "/org/a", 7, "stop", "/org/job/7")
SIGNAL = new_signal(
    DBusAddress("/org/a", interface="org.Properties"), "Changed", "sa{sv}as", ("x", {"y": ("u", 1)}, [])
)

Answer = Callable[[Message], Iterable[Message]]


class Peer:
    """Serves one connection: lets it in, then answers each call as it is told to."""

    def __init__(self, path: Path, answer: Answer, welcome: bytes = b"OK 0123\r\n") -> None:
        self.calls: list[Message] = []
        self.greeting = b""
        self._answer, self._welcome = answer, welcome
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listener.close()
        self._thread.join(20)

    def _serve(self) -> None:
        link, _ = self._listener.accept()
        with link, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            link.settimeout(20)
            while not self.greeting.endswith(b"BEGIN\r\n"):
                self.greeting += link.recv(4096)
            link.sendall(self._welcome)
            parser = Parser()
            serial = 100
            while data := link.recv(4096):
                for call in parser.feed(data):
                    self.calls.append(call)
                    before = serial
                    for reply in self._answer(call):
                        serial += 1
                        # A byte at a time: a message may come in any pieces.
                        for byte in reply.serialise(serial):
                            link.sendall(bytes([byte]))
                    if serial == before:
                        return


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Peer]]:
    peers: list[Peer] = []

    def start(answer: Answer, **options: Any) -> Peer:
        peers.append(Peer(tmp_path / "bus", answer, **options))
        return peers[-1]

    yield start
    for peer in peers:
        peer.close()


def ask(tmp_path: Path) -> list[Any]:
    with Connection(str(tmp_path / "bus"), 5.0) as connection:
        return connection.call("org.x", "/org/x", "org.x.Y", "List", "assi", ["a.service", "bcd"], "text", -9)


def swapped(message: Message) -> Message:
    message.header.endianness = Endianness.big
    return message


@pytest.mark.parametrize("order", [lambda message: message, swapped])
def test_a_call_and_its_answer(tmp_path: Path, serve: Callable[..., Peer], order: Callable[[Message], Message]) -> None:
    """Between them come what others were told, and an answer to another call."""

    def answer(call: Message) -> list[Message]:
        other = new_method_return(call, "s", ("not this one",))
        other.header.fields[HeaderFields.reply_serial] = 77
        body = ([UNIT, UNIT], {"k": ("as", ["v", ""]), "": ("t", 1 << 40)}, True, -2, 2.5, 255, "/o", ("g", "a{sv}"))
        return [order(SIGNAL), order(other), order(new_method_return(call, "a(ssssssouso)a{sv}bndyov", body))]

    peer = serve(answer)
    units, dictionary, *others = ask(tmp_path)
    assert units == [list(UNIT), list(UNIT)]
    assert dictionary == [["k", ["v", ""]], ["", 1 << 40]]
    assert others == [True, -2, 2.5, 255, "/o", "a{sv}"]
    (call,) = peer.calls
    assert call.body == (["a.service", "bcd"], "text", -9)
    fields = call.header.fields
    assert (fields[HeaderFields.path], fields[HeaderFields.interface]) == ("/org/x", "org.x.Y")
    assert (fields[HeaderFields.member], fields[HeaderFields.destination]) == ("List", "org.x")
    # In one piece: see Connection.
    assert peer.greeting == b"\0AUTH EXTERNAL 30\r\nBEGIN\r\n"


def test_a_refusal(tmp_path: Path, serve: Callable[..., Peer]) -> None:
    serve(lambda call: [new_error(call, "org.x.No", "s", ("it may not be",))])
    with pytest.raises(CallError, match="it may not be"):
        ask(tmp_path)


def test_a_refusal_without_words(tmp_path: Path, serve: Callable[..., Peer]) -> None:
    serve(lambda call: [new_error(call, "org.x.No")])
    with pytest.raises(CallError, match=r"org\.x\.No"):
        ask(tmp_path)


def test_a_bus_that_refuses_the_login(tmp_path: Path, serve: Callable[..., Peer]) -> None:
    serve(lambda call: [], welcome=b"REJECTED EXTERNAL\r\n")
    with pytest.raises(OSError, match="D-Bus: REJECTED EXTERNAL"):
        ask(tmp_path)


def test_a_connection_that_is_lost(tmp_path: Path, serve: Callable[..., Peer]) -> None:
    serve(lambda call: [])
    with pytest.raises(ConnectionResetError):
        ask(tmp_path)


def test_no_answer_in_time_though_signals_keep_coming(tmp_path: Path, serve: Callable[..., Peer]) -> None:
    serve(lambda call: itertools.repeat(SIGNAL))
    with Connection(str(tmp_path / "bus"), 0.5) as connection, pytest.raises(TimeoutError):
        connection.call("org.x", "/org/x", "org.x.Y", "List")
