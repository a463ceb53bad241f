"""The links and addresses of this network namespace, known without asking: one picture for each event loop.

They are listed once. Then the kernel's messages change the picture, one address at a time, so that a hundred addresses
which are put on one after another cost a hundred steps, not a hundred lists. A message is there before the request that
caused it has been answered, and every look reads first what has arrived: so a look sees all that was done before it.

The list is made again where messages were lost (the socket was full), where they do not tell the order, and now and
then. Those who follow are told only what changed; nothing is kept while nobody follows.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

import structlog

from hactl.linux import netlink, rtnl
from hactl.linux.address_table import AddressTable
from hactl.linux.rtnl import Address, IPInterface, Link
from hactl.linux.turns import Turns

log = structlog.get_logger(__name__)

_EVENT_GROUPS = 0x1 | 0x10 | 0x100  # links, IPv4 addresses, IPv6 addresses
_SO_RCVBUFFORCE = 33
_BUFFER = 262144
# Room for the messages about some thousand addresses.
_QUEUE_BYTES = 4 << 20
# So old a list is made again, whatever the messages have said.
LIST_EVERY_S = 60.0


class Changes(NamedTuple):
    """What has changed: `links` by number, `addresses` by the number of their interface and by host. `everything`: it
    may have been anything."""

    links: frozenset[int] = frozenset()
    addresses: frozenset[tuple[int, str]] = frozenset()
    everything: bool = False


Tell = Callable[[Changes], None]


class Network:
    """Its methods block for the time of a list, if at all. `turn`: who has to change many addresses at once takes it
    for each of them, so that the loop sees its events in between."""

    _of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Network] = WeakKeyDictionary()

    def __init__(self) -> None:
        self.turn = Turns()
        self._followers: dict[object, Tell] = {}
        self._socket: socket.socket | None = None
        self._links: dict[str, Link] | None = None
        self._tables: dict[int, AddressTable] = {}
        self._listed_at = 0.0

    @classmethod
    def shared(cls) -> Network:
        """The running event loop's."""
        loop = asyncio.get_running_loop()
        known = cls._of_loop.get(loop)
        if known is None:
            known = cls._of_loop[loop] = cls()
        return known

    def links(self) -> Collection[Link]:
        """All interfaces. Raises OSError."""
        return self._by_name().values()

    def link(self, name: str) -> Link | None:
        """The interface of this name; None when there is none. Raises OSError."""
        return self._by_name().get(name)

    def name(self, index: int) -> str:
        """The interface's name, in the operator's words. Raises OSError."""
        return next((link.name for link in self.links() if link.index == index), f"interface {index}")

    def addresses(self, version: int) -> Collection[Address]:
        """All addresses of IP version 4 or 6. Raises OSError."""
        return list(self._table(version))

    def on(self, link: Link, version: int) -> Sequence[Address]:
        """Those of one interface, in the kernel's order. Raises OSError."""
        return self._table(version).on(link.index)

    def having(self, ip: IPInterface) -> Sequence[Address]:
        """The places of an address: of the same host, whatever the prefix. Raises OSError."""
        return tuple(self._table(ip.version).having(str(ip.ip)))

    def put_on(self, link: Link, ip: IPInterface) -> None:
        """As `netlink.add_address`."""
        netlink.add_address(link.index, ip)
        if ip.version == 6 and 6 in self._tables:
            # Of an IPv6 address the message comes later, from a thread of the kernel's.
            self._catch_up()
            there = netlink.address6(link.index, ip)
            if there is None or not self._table(6).put(there):
                self._tables.pop(6, None)

    def take_off(self, address: Address) -> None:
        """As `netlink.remove_address`."""
        if not netlink.remove_address(address.index, address.ip):
            self._tables.pop(address.ip.version, None)  # it was known to be there, and was not

    def look_anew(self, version: int) -> None:
        """List the addresses again for the next look: where something follows from there being none."""
        self._tables.pop(version, None)

    @contextlib.contextmanager
    def following(self, tell: Tell) -> Iterator[None]:
        """While in this context, `tell` is called with what changes, also from within a look; it must not look itself.
        Raises OSError."""
        token = object()
        if self._socket is None:
            self._open()
        self._followers[token] = tell
        try:
            yield
        finally:
            del self._followers[token]
            if not self._followers:
                self._close()

    def _open(self) -> None:
        loop = asyncio.get_running_loop()
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.setblocking(False)
        with contextlib.suppress(OSError):  # more than is allowed to one without privileges
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _QUEUE_BYTES)
        self._socket.bind((0, _EVENT_GROUPS))
        self._listed_at = loop.time()
        loop.add_reader(self._socket.fileno(), self._read)

    def _close(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
        self._forget()

    def _forget(self) -> None:
        self._links = None
        self._tables.clear()

    def _by_name(self) -> dict[str, Link]:
        self._catch_up()
        known = self._links
        if known is None:
            known = {link.name: link for link in netlink.links()}
            self._links = known if self._socket is not None else None
        return known

    def _table(self, version: int) -> AddressTable:
        self._catch_up()
        table = self._tables.get(version)
        if table is None:
            table = AddressTable(netlink.addresses(version))
            if self._socket is not None:
                self._tables[version] = table
        return table

    def _catch_up(self) -> None:
        """Take what has happened until now."""
        if self._socket is not None:
            self._read()
            if asyncio.get_running_loop().time() - self._listed_at >= LIST_EVERY_S:
                self._compare()

    def _compare(self) -> None:
        """List everything again. It differs only where the kernel did not say something."""
        self._listed_at = asyncio.get_running_loop().time()
        self._links = None
        fresh = {version: AddressTable(netlink.addresses(version)) for version in self._tables}
        differs = fresh != self._tables
        self._tables = fresh
        if differs:
            log.warning("network.differs", problem="the addresses are not those that the kernel told of")
            self._tell_all(Changes(everything=True))

    def _read(self) -> None:
        links: set[int] = set()
        addresses: set[tuple[int, str]] = set()
        lost = False
        while self._socket is not None:
            try:
                data = self._socket.recv(_BUFFER)
            except BlockingIOError:
                break
            except OSError as error:
                lost = True
                self._forget()
                if error.errno != errno.ENOBUFS:  # messages were lost; those after them are there
                    break
                continue
            for message in rtnl.messages(data):
                if message.kind in (rtnl.NEWLINK, rtnl.DELLINK):
                    links.add(rtnl.link_number(message.body))
                    self._links = None
                elif message.kind in (rtnl.NEWADDR, rtnl.DELADDR):
                    address = rtnl.address_of(message.body)
                    addresses.add((address.index, address.host))
                    self._take(address, there=message.kind == rtnl.NEWADDR)
        if links or addresses or lost:
            self._tell_all(Changes(frozenset(links), frozenset(addresses), lost))

    def _take(self, address: Address, *, there: bool) -> None:
        table = self._tables.get(address.ip.version)
        if table is None:
            return
        if not there:
            table.drop(address)
        elif not table.put(address):
            del self._tables[address.ip.version]

    def _tell_all(self, changes: Changes) -> None:
        for tell in list(self._followers.values()):
            tell(changes)
