"""Servers whose name did not resolve when HAProxy read its file: it leaves them out of use for good, unless it has
`resolvers`. So their names are tried here, and when one resolves HAProxy must read its file again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

_TIMEOUT_S = 5.0


class LateNames:
    """`unresolved`: the names of servers that have no address now. One that resolves here and not for HAProxy, an IPv6
    address say where it wants another, is a reason to reload once only."""

    def __init__(self) -> None:
        self.unresolved: tuple[str, ...] = ()
        self._reloaded_for: set[str] = set()

    def see(self, unresolved: Iterable[str]) -> None:
        """These have no address now."""
        self.unresolved = tuple(dict.fromkeys(unresolved))
        self._reloaded_for &= set(self.unresolved)

    async def resolved(self) -> list[str]:
        """Those that resolve by now. Not for long: a resolver that is silent is asked again the next time."""
        names = [name for name in self.unresolved if name not in self._reloaded_for and await _resolves(name)]
        self._reloaded_for.update(names)
        return names


async def _resolves(name: str) -> bool:
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            return bool(await asyncio.get_running_loop().getaddrinfo(name, None))
    except (OSError, UnicodeError, TimeoutError):
        return False
