"""One action after another on an instance that two resources drive: its own, and that of its promoted role.

Agents expect that no two of their actions run at one time. A kill waits for nobody; what would begin meanwhile waits
for the kill.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar

# Whether what runs here is a part of a kill.
_in_kill: ContextVar[bool] = ContextVar("in_kill", default=False)


class Turn:
    """The turns on one instance."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._kills = 0
        self._no_kill = asyncio.Event()
        self._no_kill.set()

    @property
    def taken(self) -> bool:
        """Whether an action is under way."""
        return self._lock.locked() or self._kills > 0

    @contextlib.asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """For one action: wait until no other is under way."""
        if _in_kill.get():
            yield
            return
        async with self._lock:
            await self._no_kill.wait()
            yield

    @contextlib.contextmanager
    def kill(self) -> Iterator[None]:
        """For a kill: whatever is under way. The actions that it consists of wait for nobody either."""
        token = _in_kill.set(True)
        self._kills += 1
        self._no_kill.clear()
        try:
            yield
        finally:
            _in_kill.reset(token)
            self._kills -= 1
            if not self._kills:
                self._no_kill.set()

    async def no_kill(self) -> None:
        """Wait until no kill is under way."""
        await self._no_kill.wait()


class Turns:
    """Those of all instances of this node, by group and resource."""

    def __init__(self) -> None:
        self._turns: dict[tuple[str, str], Turn] = {}

    def of(self, group: str, resource: str) -> Turn:
        """Those of one."""
        return self._turns.setdefault((group, resource), Turn())
