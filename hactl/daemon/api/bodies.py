"""The body of a request to the API: bounded, and decoded once, by type."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from hactl.admin.errors import NoSuchError

LARGEST_BODY = 65_536

T = TypeVar("T", bound=msgspec.Struct)


class HookTest(msgspec.Struct):
    """A request to deliver an event to a hook, as a test."""

    hook: str


class TooLargeError(Exception):
    """The body is larger than any request is."""


async def decoded(request: Request, kind: type[T]) -> T:
    """The request's body; without one, its defaults. Raises NoSuchError (400), TooLargeError (413)."""
    raw = await _body(request)
    try:
        return msgspec.json.decode(raw or b"{}", type=kind)
    except (ValueError, RecursionError) as error:
        needed = ", ".join(field.name for field in msgspec.structs.fields(kind) if field.required)
        raise NoSuchError(f"the request must be a JSON object with {needed}: {error}") from None


async def _body(request: Request) -> bytes:
    """Given up at the first byte too many, and not read on."""
    length = request.headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or int(length[:12]) > LARGEST_BODY:
        raise TooLargeError
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_BODY:
                raise TooLargeError
    except ClientDisconnect:
        raise NoSuchError("the request ended before its body") from None
    return bytes(body)
