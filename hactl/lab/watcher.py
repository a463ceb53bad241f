"""The holders of an address over time: from netlink's own events in every node's namespace, not by asking.

One socket in the bridge's namespace hears the events of all of them (NETLINK_LISTEN_ALL_NSID). They come
in one queue, so their order is the kernel's: that two nodes held an address at one time is never concluded
from, or hidden by, the moments at which they were read. That a node lost power is told by its link at the bridge.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

from hactl.lab import netns
from hactl.lab.network import NSID_STRIDE
from hactl.lab.spec import LabSpec
from hactl.lab.system import LabError, boottime_ms, run

_SOL_NETLINK, _LISTEN_ALL_NSID, _SO_RCVBUFFORCE = 270, 8, 33
_GROUPS = 0x1 | 0x10 | 0x100  # links, IPv4 and IPv6 addresses
_NEWLINK, _NEWADDR, _DELADDR = 16, 20, 21
_HEADER, _IFADDR, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BBBBI"), struct.Struct("=HH")
_IFINFO, _IFLA_IFNAME, _IFF_UP = struct.Struct("=BxHiII"), 3, 0x1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2


class Change(NamedTuple):
    """An address came to (`held`) or went from a node."""

    at_ms: float
    node: str
    address: str
    held: bool


class Overlap(NamedTuple):
    """Two nodes held one address at one time, for `ms` as seen (may be nearly 0: it is still an overlap)."""

    first: str
    second: str
    ms: float
    begin_ms: float


@dataclass(frozen=True, slots=True)
class Holding:
    """A node held an address in [begin_ms, end_ms); `end_ms` None: it still does."""

    node: str
    address: str
    begin_ms: float
    end_ms: float | None


class AddressWatcher:
    """Watches every node of a lab from `start` (or entering the context) to `stop`, over any number of
    power cuts and boots. A frozen node keeps its addresses. Times are ms on CLOCK_BOOTTIME."""

    def __init__(self, spec: LabSpec) -> None:
        self._spec = spec
        self._nodes = {station.number: station.name for station in spec.stations}
        self._ports = {station.port: station.name for station in spec.stations}
        self._changes: list[Change] = []
        self._held: set[tuple[str, str]] = set()
        self._off: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._wake, self._woken = socket.socketpair()
        self._socket = netns.inside(spec.bridge, _open_socket)
        self._thread = threading.Thread(target=self._listen, name="address watcher", daemon=True)
        self.problem = ""

    def start(self) -> Self:
        """Take stock of the addresses there are, and listen from now on."""
        for node in self._nodes.values():
            if netns.exists(self._spec.namespace(node)):
                for address in _addresses(self._spec.namespace(node)):
                    self._note(boottime_ms(), node, address, held=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Listen no more. The changes seen so far stay."""
        if self._thread.is_alive():
            self._wake.send(b"x")
            self._thread.join()
        for endpoint in (self._socket, self._wake, self._woken):
            endpoint.close()

    def _power(self, at_ms: float, node: str, on: bool) -> None:
        """Its link went down at the bridge, so it holds nothing until the link comes up; or it came up."""
        with self._lock:
            self._off = self._off - {node} if on else self._off | {node}
            gone = [address for name, address in self._held if name == node and not on]
        for address in gone:
            self._note(at_ms, node, address, held=False)

    def changes(self) -> list[Change]:
        """All that happened, in the kernel's order. Raises LabError if events were lost."""
        if self.problem:
            raise LabError(self.problem)
        with self._lock:
            return list(self._changes)

    def holders(self, address: str) -> list[str]:
        """The nodes that hold it now."""
        with self._lock:
            return sorted(node for node, held in self._held if held == address)

    def holdings(self, address: str) -> list[Holding]:
        """The nodes that held it, with begin and end, in the order of the begins."""
        begun: dict[str, float] = {}
        holdings: list[Holding] = []
        for change in self.changes():
            if change.address != address:
                continue
            if change.held:
                begun[change.node] = change.at_ms
            else:
                holdings.append(Holding(change.node, address, begun.pop(change.node), change.at_ms))
        holdings += [Holding(node, address, begin, None) for node, begin in begun.items()]
        return sorted(holdings, key=lambda holding: holding.begin_ms)

    def overlaps(self, address: str) -> list[Overlap]:
        """Every time that two nodes held it at once, by the order of the events."""
        holders: dict[str, float] = {}
        overlaps: list[Overlap] = []
        for change in self.changes():
            if change.address != address:
                continue
            if change.held:
                holders[change.node] = change.at_ms
            else:
                overlaps += _ended(holders, change.node, change.at_ms)
        while len(holders) > 1:
            overlaps += _ended(holders, next(iter(holders)), boottime_ms())
        return overlaps

    def _note(self, at_ms: float, node: str, address: str, held: bool) -> None:
        with self._lock:
            if ((node, address) in self._held) == held:
                return  # the kernel repeats itself, as when an address has been checked for duplicates
            (self._held.add if held else self._held.discard)((node, address))
            self._changes.append(Change(at_ms, node, address, held))

    def _listen(self) -> None:
        while True:
            ready, _, _ = select.select([self._socket, self._woken], [], [])
            if self._socket in ready:
                try:
                    data, ancillary, _, _ = self._socket.recvmsg(65536, socket.CMSG_SPACE(4))
                except OSError as error:  # ENOBUFS: the kernel had more to say than there was room for
                    self.problem = f"events of addresses were lost: {error}"
                    continue
                now = boottime_ms()
                nsid = next(
                    (struct.unpack("=i", value)[0] for _, kind, value in ancillary if kind == _LISTEN_ALL_NSID), 0
                )
                self._on_message(now, nsid, data)
            elif self._woken in ready:
                return

    def _on_message(self, now: float, nsid: int, data: bytes) -> None:
        node = self._nodes.get(nsid % NSID_STRIDE)
        for kind, message in _messages(data):
            if nsid == 0 and kind == _NEWLINK and (port := _link(message)) and port[0] in self._ports:
                self._power(now, self._ports[port[0]], port[1])
            elif node and kind in (_NEWADDR, _DELADDR) and (address := _address(message)):
                self._note(now, node, address, kind == _NEWADDR and node not in self._off)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _ended(holders: dict[str, float], node: str, at_ms: float) -> list[Overlap]:
    begin = holders.pop(node)
    overlaps = []
    for other, other_begin in holders.items():
        first, second = (node, other) if begin <= other_begin else (other, node)
        both = max(begin, other_begin)
        overlaps.append(Overlap(first, second, max(0.0, at_ms - both), both))
    return overlaps


def _open_socket() -> socket.socket:
    listener = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    listener.setsockopt(_SOL_NETLINK, _LISTEN_ALL_NSID, 1)
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 4 << 20)
    except PermissionError:  # root of a user namespace only
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    listener.bind((0, _GROUPS))
    return listener


def _addresses(namespace: str) -> list[str]:
    lines = run(["ip", "-n", namespace, "-o", "addr", "show"]).splitlines()
    return [line.split()[3].partition("/")[0] for line in lines]


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The rtnetlink(7) messages in a datagram: their kinds and contents."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, offset)
        yield kind, data[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3 or len(data)


def _address(message: bytes) -> str:
    """The address that it tells of."""
    attributes = dict(_attributes(message[_IFADDR.size :]))
    value = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)
    return socket.inet_ntop(_IFADDR.unpack_from(message)[0], value) if value else ""


def _link(message: bytes) -> tuple[str, bool]:
    """The link that it tells of, and whether it is up."""
    _, _, _, flags, _ = _IFINFO.unpack_from(message)
    name = dict(_attributes(message[_IFINFO.size :])).get(_IFLA_IFNAME, b"")
    return name.rstrip(b"\0").decode(), bool(flags & _IFF_UP)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        yield kind, data[offset + _ATTRIBUTE.size : offset + length]
        offset += max((length + 3) & ~3, _ATTRIBUTE.size)
