"""The addresses of one IP version, kept up to date by the kernel's messages about single ones. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from hactl.linux.rtnl import Address

K = TypeVar("K")


class AddressTable:
    """By interface, in the kernel's order, and by host."""

    def __init__(self, addresses: Iterable[Address]) -> None:
        """`addresses`: all of them, as listed."""
        self._on: dict[int, list[Address]] = {}
        self._having: dict[str, list[Address]] = {}
        for address in addresses:
            self._on.setdefault(address.index, []).append(address)
            self._having.setdefault(address.host, []).append(address)

    def __eq__(self, other: object) -> bool:
        """The order counts of IPv4 addresses only."""
        return isinstance(other, AddressTable) and self._content() == other._content()

    __hash__ = None  # type: ignore[assignment]

    def __iter__(self) -> Iterator[Address]:
        for index in sorted(self._on):
            yield from self._on[index]

    def _content(self) -> tuple[list[Address], set[Address]]:
        addresses = list(self)
        return [each for each in addresses if each.ip.version == 4], {
            each for each in addresses if each.ip.version == 6
        }

    def on(self, index: int) -> Sequence[Address]:
        """Those of one interface."""
        return self._on.get(index, ())

    def having(self, host: str) -> Sequence[Address]:
        """Those that are this one, whatever their prefix, on whatever interface."""
        return self._having.get(host, ())

    def put(self, address: Address) -> bool:
        """It is there, new or in another state. False: its place among the others cannot be told, so they have to be
        listed again."""
        known = self._known(address)
        if known is None:
            self._insert(address)
            self._having.setdefault(address.host, []).append(address)
            return True
        if known.secondary != address.secondary:
            return False  # promoted: the kernel moves it
        for addresses in (self._on[address.index], self._having[address.host]):
            addresses[_place(addresses, known)] = address
        return True

    def drop(self, address: Address) -> None:
        """It is gone."""
        known = self._known(address)
        if known is None:
            return
        _take_out(self._on, address.index, known)
        _take_out(self._having, address.host, known)

    def _known(self, address: Address) -> Address | None:
        there = self._having.get(address.host, ())
        return next((other for other in there if other.index == address.index and other.ip == address.ip), None)

    def _insert(self, address: Address) -> None:
        """Where the kernel has it (__inet_insert_ifa in net/ipv4/devinet.c): a secondary one at the end, a primary one
        behind the last primary one that is known no less far. The order of IPv6 addresses tells nothing."""
        there = self._on.setdefault(address.index, [])
        place = len(there)
        if address.ip.version == 4 and not address.secondary:
            while place and (there[place - 1].secondary or there[place - 1].scope < address.scope):
                place -= 1
        there.insert(place, address)


def _take_out(kept: dict[K, list[Address]], key: K, address: Address) -> None:
    addresses = kept[key]
    del addresses[_place(addresses, address)]
    if not addresses:
        del kept[key]


def _place(addresses: Sequence[Address], wanted: Address) -> int:
    """By identity: comparing addresses one by one takes long."""
    return next(place for place, address in enumerate(addresses) if address is wanted)
