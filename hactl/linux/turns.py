"""Work that many tasks have to do at once, done one after another."""

from __future__ import annotations

import asyncio


class Turns:
    """An asynchronous context that one task is in at a time, first come, first served; before the next one the loop
    looks at its events. So a hundred small pieces of work, none of which waits for anything, do not hold it up."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> None:
        await self._lock.acquire()

    async def __aexit__(self, *_: object) -> None:
        # Released at once, it would be taken by the next task of the same round of the loop.
        asyncio.get_running_loop().call_soon(self._lock.release)
