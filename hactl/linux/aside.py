"""Calls that may never come back (`fencing.linux.aside`), with an OperationError for the operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fencing.linux import aside as calls
from hactl.linux.errors import OperationError

T = TypeVar("T")


async def aside(subject: str, call: Callable[..., T], *args: object) -> T:
    """The result of `call`. `subject`: its object, in the operator's words; nothing else has this name. Raises the
    errors of `call`, and OperationError."""
    try:
        return await calls.aside(subject, call, *args)
    except calls.NoAnswerError as error:
        raise OperationError(f"{subject}: {error}") from None
