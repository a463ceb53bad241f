"""What may be asked of the API, by type: bodies are bounded, and decoded once, here."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from hactl.admin.operations import NoSuchError
from hactl.model.text import text_problem

LARGEST_BODY = 65_536


class TooLargeError(Exception):
    """The body is larger than any request is."""


class Failover(msgspec.Struct):
    """Move `group` once, to `to` or the best other node."""

    group: str
    to: str | None = ""


class Withdraw(msgspec.Struct):
    """Take a move back."""

    group: str
    id: str


class Standby(msgspec.Struct):
    """Have everything leave `node`. `check`: only whether that would be refused."""

    node: str
    force: bool = False
    check: bool = False


class OfNode(msgspec.Struct):
    """Something about `node`."""

    node: str


class Drain(msgspec.Struct):
    """Have the servers of `service` on `node` get no new connections."""

    service: str
    node: str
    reason: str | None = ""
    force: bool = False


class Undrain(msgspec.Struct):
    """Have them get connections again."""

    service: str
    node: str


class Cleanup(msgspec.Struct):
    """Forget what failed of `group`, on `node` or ("") anywhere."""

    group: str
    node: str


class Fence(msgspec.Struct):
    """Fence `node` by `action`, "" for what is configured."""

    node: str
    action: str


T = TypeVar("T", bound=msgspec.Struct)


async def asked(request: Request, kind: type[T]) -> T:
    """The request's body. Raises NoSuchError (400), TooLargeError (413)."""
    raw = await _body(request)
    try:
        found = msgspec.json.decode(raw, type=kind)
    except (ValueError, RecursionError) as error:
        needed = ", ".join(one.name for one in msgspec.structs.fields(kind) if one.required)
        raise NoSuchError(f"the request must be a JSON object with {needed}: {error}") from None
    for name in kind.__struct_fields__:
        value = getattr(found, name)
        if isinstance(value, str) and (problem := text_problem(value)):
            raise NoSuchError(f"`{name}` {problem}")
    return found


async def _body(request: Request) -> bytes:
    """It is given up at the first byte too many, and not read on."""
    length = request.headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or int(length[:12]) > LARGEST_BODY:
        raise TooLargeError
    found = bytearray()
    try:
        async for chunk in request.stream():
            found += chunk
            if len(found) > LARGEST_BODY:
                raise TooLargeError
    except ClientDisconnect:
        raise NoSuchError("the request ended before its body") from None
    return bytes(found)
