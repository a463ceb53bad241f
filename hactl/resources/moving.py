"""The addresses that move from node to node. Pure."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Collection, Iterator


class MovingAddresses(Collection[str]):
    """Those of every VIP that this node may have, whichever it has; without their prefix. None of them is the node's
    own."""

    def __init__(self) -> None:
        self._known: Counter[str] = Counter()

    def add(self, vip: object, host: str) -> None:
        """`host` is one as long as there is `vip`."""
        self._known[host] += 1
        weakref.finalize(vip, self._drop, host).atexit = False

    def _drop(self, host: str) -> None:
        self._known[host] -= 1
        if not self._known[host]:
            del self._known[host]

    def __contains__(self, host: object) -> bool:
        return host in self._known

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)
