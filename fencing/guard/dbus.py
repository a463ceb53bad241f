"""The little of D-Bus that the guard needs: method calls over a unix socket, one at a time.

Source: the D-Bus specification, version 0.43.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from typing import Any

_MAX_MESSAGE = 1 << 20

_ALIGNMENT = {"y": 1, "b": 4, "n": 2, "q": 2, "i": 4, "u": 4, "x": 8, "t": 8, "d": 8, "s": 4, "o": 4, "g": 1}
_FORMAT = {"y": "B", "b": "I", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d"}
_PATH_FIELD, _INTERFACE, _MEMBER, _ERROR, _REPLY, _DESTINATION, _SIGNATURE = 1, 2, 3, 4, 5, 6, 8
_CALL, _RETURN, _ERROR_REPLY = 1, 2, 3


class CallError(Exception):
    """The called has refused. The text is its reason."""


class Connection(contextlib.AbstractContextManager["Connection"]):
    """A connection to the socket at `path`. Everything raises OSError when it is lost, or when there is no answer
    within `timeout_s`."""

    def __init__(self, path: str, timeout_s: float) -> None:
        self._serial, self._timeout_s = 0, timeout_s
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect(path)
            self._authenticate()
        except BaseException:
            self._socket.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave it."""
        self._socket.close()

    def _authenticate(self) -> None:
        # All at once, as systemd's own tools do: a call that comes in one piece with BEGIN would lie unread there until
        # something else comes (seen with systemd 252), and a message sent after the answer to this comes later.
        self._socket.sendall(b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\nBEGIN\r\n")
        received = b""
        while not received.endswith(b"\r\n"):
            received += self._received(1)
            if len(received) > 1024:
                raise OSError("D-Bus: no answer to AUTH")
        if not received.startswith(b"OK "):
            raise OSError(f"D-Bus: {received.decode(errors='replace').strip()}")

    def call(
        self, name: str, path: str, interface: str, method: str, signature: str = "", *arguments: Any
    ) -> list[Any]:
        """Call a method with arguments that are texts (s), numbers (i) and lists of texts (as); returns its
        values. Raises CallError."""
        self._serial += 1
        self._socket.sendall(_method_call(self._serial, name, path, interface, method, signature, arguments))
        until = time.monotonic() + self._timeout_s
        while time.monotonic() < until:
            kind, fields, body = self._message()
            if fields.get(_REPLY) != self._serial or kind not in (_RETURN, _ERROR_REPLY):
                continue  # a signal, of which there may be many: not read
            values = body.values(fields.get(_SIGNATURE, ""))
            if kind == _RETURN:
                return values
            raise CallError(values[0] if values and isinstance(values[0], str) else fields.get(_ERROR, "refused"))
        raise TimeoutError(f"no answer to {method} in time")

    def _message(self) -> tuple[int, dict[int, Any], _Reader]:
        start = self._received(16)
        order = "<" if start[:1] == b"l" else ">"
        body_length, fields_length = struct.unpack_from(f"{order}I4xI", start, 4)
        length = fields_length + -fields_length % 8 + body_length
        if length > _MAX_MESSAGE:
            raise OSError("D-Bus: a message too long")
        data = start + self._received(length)
        fields = dict(_Reader(data, order, 12).values("a(yv)")[0])
        at = 16 + fields_length + -fields_length % 8
        return start[1], fields, _Reader(data[at:], order, 0)

    def _received(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self._socket.recv(count - len(data))
            if not part:
                raise ConnectionResetError("the connection was closed")
            data += part
        return data


class _Reader:
    """Values of D-Bus's types, one after another."""

    def __init__(self, data: bytes, order: str, at: int) -> None:
        self._data, self._order, self._at = data, order, at

    def values(self, signature: str) -> list[Any]:
        """All of the signature's values."""
        values = []
        while signature:
            kind = _first_type(signature)
            signature = signature[len(kind) :]
            values.append(self._value(kind))
        return values

    def _value(self, kind: str) -> Any:
        if kind[0] in "({":
            self._align(8)
            return self.values(kind[1:-1])
        if kind[0] == "a":
            length = self._number("I", 4)
            self._align(8 if kind[1] in "({" else _ALIGNMENT.get(kind[1], 4 if kind[1] == "a" else 1))
            end = self._at + length
            elements = []
            while self._at < end:
                elements.append(self._value(kind[1:]))
            return elements
        if kind == "v":
            return self._value(self._value("g"))
        if kind in ("s", "o", "g"):
            length = self._number("I", 4) if kind != "g" else self._number("B", 1)
            self._at += length + 1
            return self._data[self._at - length - 1 : self._at - 1].decode("utf-8", "replace")
        return self._number(_FORMAT[kind], _ALIGNMENT[kind])

    def _number(self, code: str, size: int) -> Any:
        self._align(size)
        (value,) = struct.unpack_from(self._order + code, self._data, self._at)
        self._at += size
        return value

    def _align(self, size: int) -> None:
        self._at += -self._at % size


def _first_type(signature: str) -> str:
    """The first complete type of a signature."""
    if signature[0] == "a":
        return "a" + _first_type(signature[1:])
    if signature[0] not in "({":
        return signature[0]
    depth = 0
    for at, char in enumerate(signature):
        depth += (char in "({") - (char in ")}")
        if depth == 0:
            return signature[: at + 1]
    raise OSError(f"D-Bus: signature {signature!r}")


def _method_call(
    serial: int, name: str, path: str, interface: str, method: str, signature: str, arguments: tuple[Any, ...]
) -> bytes:
    """A method call with arguments that are texts, numbers (i) and lists of texts."""
    body = b""
    kinds = signature
    for value in arguments:
        kind = _first_type(kinds)
        kinds = kinds[len(kind) :]
        body += b"\0" * (-len(body) % 4)
        if kind == "i":
            body += struct.pack("<i", value)
        elif kind == "as":
            texts = b""
            for text in value:
                texts += b"\0" * (-len(texts) % 4) + _text(text)
            body += struct.pack("<I", len(texts)) + texts
        else:
            body += _text(value)
    fields = b""
    for code, kind, value in (
        (_PATH_FIELD, "o", path),
        (_DESTINATION, "s", name),
        (_INTERFACE, "s", interface),
        (_MEMBER, "s", method),
        (_SIGNATURE, "g", signature),
    ):
        content = _text(value) if kind != "g" else bytes([len(value)]) + value.encode() + b"\0"
        fields += b"\0" * (-len(fields) % 8) + bytes([code, 1]) + kind.encode() + b"\0" + content
    start = struct.pack("<cBBBIII", b"l", _CALL, 0, 1, len(body), serial, len(fields))
    return start + fields + b"\0" * (-len(fields) % 8) + body


def _text(value: str) -> bytes:
    text = value.encode()
    return struct.pack("<I", len(text)) + text + b"\0"
