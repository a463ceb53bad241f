"""Calls that may never come back (`fencing.linux.aside`), for what has an OperationError for the operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fencing.linux import aside as calls
from hactl.linux.errors import OperationError

T = TypeVar("T")


async def aside(what: str, call: Callable[..., T], *args: object) -> T:
    """The result of `call`. `what`: what it is about, in the operator's words; nothing else has this name. Raises what
    `call` does, and OperationError."""
    try:
        return await calls.aside(what, call, *args)
    except calls.NoAnswerError as error:
        raise OperationError(f"{what}: {error}") from None
