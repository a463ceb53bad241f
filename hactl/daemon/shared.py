"""An answer that is made once for all who ask at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """Made by `make`, by one call of it at a time. Whoever asks while it is being made waits for the next, which looks
    at what is there by then."""

    def __init__(self, make: Callable[[], Awaitable[T]]) -> None:
        self._make = make
        self._next: asyncio.Task[T] | None = None  # has not begun to look
        self._one_at_a_time = asyncio.Lock()

    async def get(self) -> T:
        """The answer, made of what is known now or later."""
        if self._next is None:
            self._next = asyncio.create_task(self._begin())
        return await asyncio.shield(self._next)

    async def _begin(self) -> T:
        async with self._one_at_a_time:
            self._next = None
            return await self._make()
