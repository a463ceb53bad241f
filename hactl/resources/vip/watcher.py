"""Watches the links and addresses for all VIPs of a node together, and wakes only those that a change concerns."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar
from weakref import WeakKeyDictionary

from hactl.linux.network import Changes, Network

K = TypeVar("K")


class Woken(Protocol):
    """The keeper of a VIP (`keeper`)."""

    @property
    def host(self) -> str: ...
    @property
    def interface(self) -> int: ...
    def is_own(self, host: str) -> bool: ...
    def wake(self) -> None: ...


class Watcher:
    """A VIP is concerned by what happens to the address itself, anywhere; to its interface; and to an address of the
    node's own on its interface. Other VIPs come and go beside it: where the kernel changes it for one of those, it says
    so of this one, too. While its interface is not there, any may become it."""

    _of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Watcher] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._by_host: dict[str, set[Woken]] = {}
        self._by_interface: dict[int, set[Woken]] = {}
        self._following = contextlib.ExitStack()

    @classmethod
    def shared(cls) -> Watcher:
        """The running event loop's."""
        return cls._of_loop.setdefault(asyncio.get_running_loop(), cls())

    @contextlib.contextmanager
    def waking(self, keeper: Woken) -> Iterator[None]:
        """While in this context the keeper is woken by what concerns it. Raises OSError."""
        if not self._by_host:
            self._following.enter_context(Network.shared().following(self._tell))
        _add(self._by_host, keeper.host, keeper)
        _add(self._by_interface, keeper.interface, keeper)
        try:
            yield
        finally:
            _remove(self._by_host, keeper.host, keeper)
            _remove(self._by_interface, keeper.interface, keeper)
            if not self._by_host:
                self._following.close()

    def moved(self, keeper: Woken, before: int) -> None:
        """The keeper's interface was `before` until now."""
        if keeper.interface != before:
            _remove(self._by_interface, before, keeper)
            _add(self._by_interface, keeper.interface, keeper)

    def _tell(self, changes: Changes) -> None:
        for keeper in self._concerned(changes):
            keeper.wake()

    def _concerned(self, changes: Changes) -> Iterable[Woken]:
        without = self._by_interface.get(0, set())
        if changes.everything:
            for keepers in self._by_host.values():
                yield from keepers
            return
        if changes.links:
            yield from without
        for index in changes.links:
            yield from self._by_interface.get(index, ())
        for index, host in changes.addresses:
            yield from self._by_host.get(host, ())
            yield from (keeper for keeper in self._by_interface.get(index, ()) if keeper.is_own(host))
            yield from (keeper for keeper in without if keeper.is_own(host))


def _add(kept: dict[K, set[Woken]], key: K, keeper: Woken) -> None:
    kept.setdefault(key, set()).add(keeper)


def _remove(kept: dict[K, set[Woken]], key: K, keeper: Woken) -> None:
    keepers = kept[key]
    keepers.discard(keeper)
    if not keepers:
        del kept[key]
