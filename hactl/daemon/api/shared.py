"""An answer that is made once for all requests at the same time, and given to a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")

# So many waiting requests go on before the loop does something else: each has something to send.
AT_ONCE = 16


class Shared(Generic[T]):
    """Made by `make`, by one call of it at a time. A caller that comes while it is being made waits for the next,
    which is made of the state by then."""

    def __init__(self, make: Callable[[], Awaitable[T]]) -> None:
        self._make = make
        self._next: asyncio.Task[T] | None = None  # has not begun to look
        self._one_at_a_time = asyncio.Lock()
        self._went_on = 0

    async def get(self) -> T:
        """The answer, made of the present state or a later one."""
        if self._next is None:
            self._next = asyncio.create_task(self._begin())
        made = await asyncio.shield(self._next)
        while self._went_on >= AT_ONCE:  # noqa: ASYNC110 - the next turn comes by itself
            await asyncio.sleep(0)
        if self._went_on == 0:
            asyncio.get_running_loop().call_soon(self._next_turn)
        self._went_on += 1
        return made

    def _next_turn(self) -> None:
        self._went_on = 0

    async def _begin(self) -> T:
        async with self._one_at_a_time:
            self._next = None
            return await self._make()
