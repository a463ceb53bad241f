"""Protocol buffers as bytes (protobuf.dev, *Encoding*): as far as the few messages of `codec` need them.

python-etcd3's generated code runs on protobuf's Python implementation alone; with it, renewing and watching were a
quarter of all that an idle daemon did.
"""

from __future__ import annotations

from collections.abc import Iterator


class WireError(ValueError):
    """The bytes are no message."""


def varint(value: int) -> bytes:
    """A number from 0 to 2^64 - 1."""
    if value < 0x80:
        return value.to_bytes()
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def number(field: int, value: int) -> bytes:
    """A field that holds a number; written also when it is 0."""
    return varint(field << 3) + varint(value)


def content(field: int, raw: bytes) -> bytes:
    """A field that holds bytes, text or a message."""
    return varint(field << 3 | 2) + varint(len(raw)) + raw


def fields(raw: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The fields of a message in their order: field number, then its number or its content, the other being 0 or
    empty. Fields of fixed size have neither. Raises WireError."""
    at, end = 0, len(raw)
    while at < end:
        tag, at = _varint(raw, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(raw, at)
            yield tag >> 3, value, b""
            continue
        begin = at
        if kind == 2:
            size, begin = _varint(raw, at)
            at = begin + size
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise WireError(f"wire type {kind}")
        if at > end:
            raise WireError("it ends within a field")
        yield tag >> 3, 0, raw[begin:at] if kind == 2 else b""


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, and where the next begins."""
    try:
        value = raw[at]
        if value < 0x80:
            return value, at + 1
        value &= 0x7F
        for shift in range(7, 70, 7):
            at += 1
            byte = raw[at]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at + 1
    except IndexError:
        raise WireError("it ends within a number") from None
    raise WireError("a number of more than ten bytes")
