"""Links and addresses of this network namespace, over rtnetlink(7), with pyroute2's messages.

The calls block, for about 0.1 ms: the kernel carries a request out and answers it while it is being sent, so
an asynchronous call would wait at the same place. pyroute2's own IPRoute runs an event loop of its own in
every call and cannot be used below a running one. For events there is one subscription for all VIPs of an
event loop: it tells only that something happened to a link; the listener reads the state itself, so that events
lost in an overflow do no harm. While there is a subscription, the lists are kept until something happens, so that
a hundred VIPs which are woken by one event list everything once (`known_links`, `known_addresses`).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from hactl.linux.rtnl_messages import MarshalRtnl, ifaddrmsg, ifinfmsg

IPInterface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

_NEWLINK, _DELLINK, _GETLINK, _NEWADDR, _DELADDR, _GETADDR = 16, 17, 18, 20, 21, 22
_ERROR, _DONE = 2, 3
_REQUEST, _ACK, _DUMP_INTERRUPTED, _DUMP = 0x1, 0x4, 0x10, 0x300
_REPLACE, _EXCLUSIVE, _CREATE = 0x100, 0x200, 0x400
_IFF_UP, _IFF_NOARP, _IFF_LOWER_UP = 0x1, 0x80, 0x10000
_ARPHRD_ETHER = 1
_IFA_F_SECONDARY, _IFA_F_NODAD, _IFA_F_DADFAILED, _IFA_F_DEPRECATED, _IFA_F_NOPREFIXROUTE = 0x1, 0x2, 0x8, 0x20, 0x200
_FOREVER = 0xFFFFFFFF
_EVENT_GROUPS = 0x1 | 0x10 | 0x100  # links, IPv4 addresses, IPv6 addresses
_TIMEOUT_S = 2.0
_BUFFER = 262144
_DUMP_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Link:
    """An interface. `running`: up, and with a carrier. `ethernet`: has MAC addresses that are asked for."""

    index: int
    name: str
    mac: bytes
    running: bool
    ethernet: bool


@dataclass(frozen=True, slots=True)
class Address:
    """An address on the interface of number `index`; `host`: without its prefix, as Python spells it.

    `secondary` (IPv4): another one of the same network comes before it. `deprecated` (IPv6): no connection begins from
    it. `refused` (IPv6): another station had it when it was put on here, and the kernel does not use it. Listed in the
    order in which the kernel chooses the source of new connections."""

    index: int
    ip: IPInterface
    host: str
    secondary: bool = False
    deprecated: bool = False
    refused: bool = False


def links() -> list[Link]:
    """All interfaces. Raises OSError."""
    return [_link(message) for message in _talk(ifinfmsg(), _GETLINK, _DUMP)]


def link(name: str) -> Link | None:
    """The interface of this name; None when there is none. Raises OSError."""
    message = ifinfmsg()
    message["attrs"] = [("IFLA_IFNAME", name)]
    try:
        return next((_link(answer) for answer in _talk(message, _GETLINK, 0)), None)
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.ERANGE, errno.EINVAL):
            return None
        raise


def addresses(version: int) -> list[Address]:
    """All addresses of IP version 4 or 6. Raises OSError."""
    message = ifaddrmsg()
    message["family"] = socket.AF_INET if version == 4 else socket.AF_INET6
    return [_address(answer) for answer in _talk(message, _GETADDR, _DUMP)]


def add_address(index: int, ip: IPInterface) -> None:
    """Put an address on an interface so that no connection of the node's own begins from it: it may move away. No error
    when it is there. Raises OSError.

    It makes no route of its own: the network's is there, with the node's own address as its source. An IPv6 address is
    usable at once (no duplicate address detection: the protocol says who owns it) and deprecated (preferred for 0 s;
    keepalived does the same), also one that was there and was not. An IPv4 address must come after the node's own.
    """
    message = _addr_message(index, ip)
    flags = _IFA_F_NOPREFIXROUTE
    if ip.version == 6:
        flags |= _IFA_F_NODAD
        lifetimes = {"ifa_preferred": 0, "ifa_valid": _FOREVER, "cstamp": 0, "tstamp": 0}
        message["attrs"].append(("IFA_CACHEINFO", lifetimes))
    message["attrs"].append(("IFA_FLAGS", flags))
    with contextlib.suppress(FileExistsError):
        _write(message, _NEWADDR, _CREATE | (_REPLACE if ip.version == 6 else _EXCLUSIVE) | _ACK)


def remove_address(index: int, ip: IPInterface) -> None:
    """Take an address off an interface; no error when it, or the interface, is not there. Raises OSError."""
    message = _addr_message(index, ip)
    if ip.version == 4:
        # Also one that was put on with a peer, of which IFA_ADDRESS would be the address.
        message["attrs"] = [("IFA_LOCAL", str(ip.ip))]
    try:
        _write(message, _DELADDR, _ACK)
    except OSError as error:
        if error.errno not in (errno.EADDRNOTAVAIL, errno.ENODEV):
            raise


class _Kept:
    """Lists, and when they were made: `epoch` counts the changes that are known of."""

    epoch = 0

    def __init__(self) -> None:
        self._at = -1
        self._lists: dict[int, list[Any]] = {}

    def get(self, key: int, look: Callable[[], list[Any]]) -> list[Any]:
        """The list that is kept of it, else the one that `look` makes."""
        if self._at != _Kept.epoch:
            self._at, self._lists = _Kept.epoch, {}
        if key not in self._lists:
            self._lists[key] = look()
        return self._lists[key]


class Events:
    """Being woken when something happens to a link or its addresses. One subscription an event loop."""

    _of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Events] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._wakers: dict[object, Callable[[int], None]] = {}
        self._socket: socket.socket | None = None
        self._kept = _Kept()

    @classmethod
    def shared(cls) -> Events:
        """The running event loop's."""
        return cls._of_loop.setdefault(asyncio.get_running_loop(), cls())

    def known_links(self) -> list[Link]:
        """As `links`; of the last look, while no event has come since. Raises OSError."""
        return self._kept.get(0, links) if self._socket is not None else links()

    def known_addresses(self, version: int) -> list[Address]:
        """As `addresses`; of the last look, while no event has come since. Raises OSError."""
        if self._socket is None:
            return addresses(version)
        return self._kept.get(version, lambda: addresses(version))

    @contextlib.contextmanager
    def subscribed(self, wake: Callable[[int], None]) -> Iterator[None]:
        """While in this context, `wake` is called with the number of each interface to which something
        happened; 0: it may have been any. Raises OSError."""
        token = object()
        if self._socket is None:
            self._open()
        self._wakers[token] = wake
        try:
            yield
        finally:
            del self._wakers[token]
            if not self._wakers:
                self._close()

    def _open(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.setblocking(False)
        self._socket.bind((0, _EVENT_GROUPS))
        _Kept.epoch += 1
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._read)

    def _close(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _read(self) -> None:
        touched: set[int] = set()
        try:
            while self._socket is not None:
                touched |= _touched(self._socket.recv(_BUFFER))
        except BlockingIOError:
            pass
        except OSError:
            # ENOBUFS: events were lost. Everyone looks.
            touched = {0}
        if touched:
            _Kept.epoch += 1
        for index in touched:
            for wake in list(self._wakers.values()):
                wake(index)


def _touched(data: bytes) -> set[int]:
    indices, at = set(), 0
    while at + 24 <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        if kind in (_NEWLINK, _DELLINK, _NEWADDR, _DELADDR):
            # At the same place in ifinfomsg and ifaddrmsg.
            indices.add(struct.unpack_from("=i", data, at + 20)[0])
        at += max(16, (length + 3) & ~3)
    return indices


def _addr_message(index: int, ip: IPInterface) -> Any:
    message = ifaddrmsg()
    message["family"] = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    message["index"] = index
    message["prefixlen"] = ip.network.prefixlen
    message["attrs"] = [("IFA_LOCAL", str(ip.ip)), ("IFA_ADDRESS", str(ip.ip))]
    if isinstance(ip, ipaddress.IPv4Interface) and ip.network.prefixlen < 31:
        message["attrs"].append(("IFA_BROADCAST", str(ip.network.broadcast_address)))
    return message


def _link(message: Any) -> Link:
    flags = message["flags"]
    mac = message.get_attr("IFLA_ADDRESS") or ""
    return Link(
        index=message["index"],
        name=message.get_attr("IFLA_IFNAME"),
        mac=bytes.fromhex(mac.replace(":", "")),
        running=bool(flags & _IFF_UP and flags & _IFF_LOWER_UP),
        ethernet=message["ifi_type"] == _ARPHRD_ETHER and not flags & _IFF_NOARP,
    )


def _address(message: Any) -> Address:
    # IFA_ADDRESS is the peer's where there is one.
    own = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    flags = message.get_attr("IFA_FLAGS") or message["flags"]
    address = ipaddress.ip_interface(f"{own}/{message['prefixlen']}")
    return Address(
        message["index"],
        address,
        str(address.ip),
        # Of an IPv6 address the same bit says that it is a temporary one.
        secondary=bool(flags & _IFA_F_SECONDARY) and message["family"] == socket.AF_INET,
        deprecated=bool(flags & _IFA_F_DEPRECATED),
        refused=bool(flags & _IFA_F_DADFAILED) and message["family"] == socket.AF_INET6,
    )


def _write(message: Any, kind: int, flags: int) -> None:
    """Change something, after which the lists of earlier looks are void."""
    _Kept.epoch += 1
    try:
        _talk(message, kind, flags)
    finally:
        _Kept.epoch += 1


def _talk(message: Any, kind: int, flags: int) -> list[Any]:
    """Send one request; its answers. Raises OSError with the kernel's number."""
    message["header"]["type"] = kind
    message["header"]["flags"] = flags | _REQUEST
    message["header"]["sequence_number"] = 1
    message.encode()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(_TIMEOUT_S)
        kernel.bind((0, 0))
        for _ in range(_DUMP_ATTEMPTS):
            kernel.sendto(bytes(message.data), (0, 0))
            answers, whole = _answers(kernel, dump=bool(flags & _DUMP), ack=bool(flags & _ACK))
            if whole:
                return answers
    raise OSError(errno.EAGAIN, "the list changed whenever it was read")


def _answers(kernel: socket.socket, *, dump: bool, ack: bool) -> tuple[list[Any], bool]:
    """The answers to a request, and whether the list is whole (not changed while it was made)."""
    marshal = MarshalRtnl()
    answers: list[Any] = []
    whole = True
    while True:
        for message in marshal.parse(kernel.recv(_BUFFER)):
            header = message["header"]
            whole = whole and not header["flags"] & _DUMP_INTERRUPTED
            if header["type"] == _DONE:
                return answers, whole
            if header["type"] == _ERROR:
                error = header.get("error")
                if error is None:
                    return answers, True
                raise OSError(error.code, os.strerror(error.code))
            answers.append(message)
            if not dump and not ack:
                return answers, True
