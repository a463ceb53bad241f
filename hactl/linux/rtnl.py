"""Links and addresses as rtnetlink(7) has them, and its messages about them, as bytes. Pure.

Read and written here rather than by a library: a hundred addresses are read in half a millisecond, in the loop that
decides, which a general decoder of netlink takes ten for.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

IPInterface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

NEWLINK, DELLINK, GETLINK, NEWADDR, DELADDR, GETADDR = 16, 17, 18, 20, 21, 22
ERROR, DONE = 2, 3
REQUEST, ACK, DUMP_INTERRUPTED, DUMP = 0x1, 0x4, 0x10, 0x300
REPLACE, EXCLUSIVE, CREATE = 0x100, 0x200, 0x400

_HEADER = struct.Struct("=IHHII")
_IFINFO = struct.Struct("=BxHiII")
_IFADDR = struct.Struct("=BBBBi")
_ATTRIBUTE = struct.Struct("=HH")
_IFLA_ADDRESS, _IFLA_IFNAME = 1, 3
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_CACHEINFO, _IFA_FLAGS = 1, 2, 4, 6, 8
# Flags of an attribute's kind: nested, in network byte order.
_KIND_MASK = 0x3FFF
_AF_INET, _AF_INET6 = 2, 10
_IFF_UP, _IFF_NOARP, _IFF_LOWER_UP = 0x1, 0x80, 0x10000
_ARPHRD_ETHER = 1
_IFA_F_SECONDARY, _IFA_F_NODAD, _IFA_F_DADFAILED, _IFA_F_DEPRECATED, _IFA_F_NOPREFIXROUTE = 0x1, 0x2, 0x8, 0x20, 0x200
_FOREVER = 0xFFFFFFFF


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
    it. `refused` (IPv6): another station had it when it was put on here, and the kernel does not use it. `scope`: how
    far it is known, 0 everywhere. Listed in the order in which the kernel chooses the source of new connections."""

    index: int
    ip: IPInterface
    host: str
    secondary: bool = False
    deprecated: bool = False
    refused: bool = False
    scope: int = 0


class Message(NamedTuple):
    """A message without its header."""

    kind: int
    flags: int
    body: bytes


def request(kind: int, flags: int, body: bytes) -> bytes:
    """The message that asks for it."""
    return _HEADER.pack(_HEADER.size + len(body), kind, flags | REQUEST, 1, 0) + body


def messages(data: bytes) -> Iterator[Message]:
    """Those of one datagram."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, flags, _, _ = _HEADER.unpack_from(data, at)
        yield Message(kind, flags, data[at + _HEADER.size : at + length])
        at += max(_HEADER.size, (length + 3) & ~3)


def error_number(body: bytes) -> int:
    """The kernel's word on a request: 0 where it was carried out."""
    return -int(struct.unpack_from("=i", body)[0])


def all_links() -> bytes:
    """Asks for every interface."""
    return _IFINFO.pack(0, 0, 0, 0, 0)


def link_named(name: str) -> bytes:
    """Asks for one."""
    return all_links() + _attribute(_IFLA_IFNAME, name.encode() + b"\0")


def all_addresses(version: int) -> bytes:
    """Asks for every address of this IP version."""
    return _IFADDR.pack(_family(version), 0, 0, 0, 0)


def one_address(index: int, ip: IPInterface) -> bytes:
    """Names an address, to ask for it or to take it off. An IPv4 address also where it has a peer's, which would be
    its IFA_ADDRESS."""
    kind = _IFA_LOCAL if ip.version == 4 else _IFA_ADDRESS
    return _IFADDR.pack(_family(ip.version), ip.network.prefixlen, 0, 0, index) + _attribute(kind, ip.packed)


def new_address(index: int, ip: IPInterface) -> bytes:
    """Has it put on as a VIP is (see `hactl.linux.netlink.add_address`)."""
    body = _IFADDR.pack(_family(ip.version), ip.network.prefixlen, 0, 0, index)
    body += _attribute(_IFA_LOCAL, ip.packed) + _attribute(_IFA_ADDRESS, ip.packed)
    flags = _IFA_F_NOPREFIXROUTE
    if ip.version == 4 and ip.network.prefixlen < 31:
        body += _attribute(_IFA_BROADCAST, ip.network.broadcast_address.packed)
    elif ip.version == 6:
        flags |= _IFA_F_NODAD
        preferred_s, valid_s = 0, _FOREVER
        body += _attribute(_IFA_CACHEINFO, struct.pack("=IIII", preferred_s, valid_s, 0, 0))
    return body + _attribute(_IFA_FLAGS, struct.pack("=I", flags))


def link_number(body: bytes) -> int:
    """The number of the interface that a message tells of, also where it tells little else."""
    return int(_IFINFO.unpack_from(body)[2])


def link_of(body: bytes) -> Link:
    """The interface that a message tells of."""
    _, hardware, index, flags, _ = _IFINFO.unpack_from(body)
    attributes = _attributes(body, _IFINFO.size)
    return Link(
        index=index,
        name=attributes.get(_IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="surrogateescape"),
        mac=attributes.get(_IFLA_ADDRESS, b""),
        running=bool(flags & _IFF_UP and flags & _IFF_LOWER_UP),
        ethernet=hardware == _ARPHRD_ETHER and not flags & _IFF_NOARP,
    )


def address_of(body: bytes) -> Address:
    """The address that a message tells of."""
    family, prefix, flags, scope, index = _IFADDR.unpack_from(body)
    attributes = _attributes(body, _IFADDR.size)
    if (wide := attributes.get(_IFA_FLAGS)) is not None:
        flags = struct.unpack("=I", wide)[0]
    # IFA_ADDRESS is the peer's where there is one; neither is there of an address that is all zeros.
    own = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS) or bytes(4 if family == _AF_INET else 16)
    ip, host = _interface(own, prefix)
    v4 = family == _AF_INET
    return Address(
        index,
        ip,
        host,
        # Of an IPv6 address the same bit says that it is a temporary one.
        secondary=bool(flags & _IFA_F_SECONDARY) and v4,
        deprecated=bool(flags & _IFA_F_DEPRECATED),
        refused=bool(flags & _IFA_F_DADFAILED) and not v4,
        scope=scope,
    )


@lru_cache(maxsize=8192)
def _interface(packed: bytes, prefix: int) -> tuple[IPInterface, str]:
    """The same addresses are read again and again; Python takes long to make them."""
    kind = ipaddress.IPv4Interface if len(packed) == 4 else ipaddress.IPv6Interface
    ip: IPInterface = kind((packed, prefix))
    return ip, str(ip.ip)


def _family(version: int) -> int:
    return _AF_INET if version == 4 else _AF_INET6


def _attribute(kind: int, value: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)


def _attributes(body: bytes, at: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    size, unpack_from = _ATTRIBUTE.size, _ATTRIBUTE.unpack_from
    while at + size <= len(body):
        length, kind = unpack_from(body, at)
        if length < size:
            break
        found[kind & _KIND_MASK] = body[at + size : at + length]
        at += (length + 3) & ~3
    return found
