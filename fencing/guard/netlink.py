"""Removing an IP address, and seeing that it is gone, over a raw rtnetlink socket. Source: rtnetlink(7).

The guard's own: nothing of hactl's is in a process that has to stay small and locked in memory.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

_RTM_NEWADDR, _RTM_DELADDR, _RTM_GETADDR = 20, 21, 22
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_DUMP_INTR, _NLM_F_DUMP = 1, 4, 0x10, 0x300
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_SIOCGIFINDEX, _IFNAMSIZ = 0x8933, 16
_HEADER = struct.Struct("=IHHII")
_IFADDR = struct.Struct("=BBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_DUMPS = 5


class _Address(NamedTuple):
    prefix: int
    scope: int
    attributes: dict[int, bytes]

    @property
    def own(self) -> bytes | None:
        """The node's own address: IFA_ADDRESS is the peer's where there is one."""
        return self.attributes.get(_IFA_LOCAL, self.attributes.get(_IFA_ADDRESS))


def remove_address(interface: str, address: str) -> str:
    """Take `address` off `interface`, with whatever prefix it has there, and look whether it is gone.
    An interface that is absent holds nothing. Returns the problem, or ""."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    wanted = socket.inet_pton(family, address)
    index = _index(interface)
    if index is None:
        return ""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as link:
        link.bind((0, 0))
        link.settimeout(1.0)
        problem = ""
        for entry in _matching(link, family, index, wanted):
            problem = _delete(link, family, index, entry)
        if any(_matching(link, family, index, wanted)):
            return f"{address} is still on {interface}" + (f": {problem}" if problem else "")
    return ""


def _index(interface: str) -> int | None:
    """The interface's number; None when there is none of this name. Not socket.if_nametoindex: its error does
    not tell an absent interface from a failure to look."""
    request = struct.pack("16si20x", interface.encode()[: _IFNAMSIZ - 1], 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as query:
        try:
            answer = fcntl.ioctl(query, _SIOCGIFINDEX, request)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise
    return int(struct.unpack_from("16xi", answer)[0])


def _matching(link: socket.socket, family: int, index: int, wanted: bytes) -> list[_Address]:
    return [entry for at, entry in _dump(link, family) if at == index and entry.own == wanted]


def _dump(link: socket.socket, family: int) -> list[tuple[int, _Address]]:
    """Every address of `family` with its interface's index; asked again when it changed meanwhile."""
    for sequence in range(1, _DUMPS + 1):
        _send(link, _RTM_GETADDR, _NLM_F_DUMP, sequence, _IFADDR.pack(family, 0, 0, 0, 0))
        addresses, consistent = [], True
        for kind, flags, body in _receive(link, sequence):
            consistent = consistent and not flags & _NLM_F_DUMP_INTR
            if kind in (_NLMSG_ERROR, _NLMSG_DONE) and len(body) >= 4:
                code = -struct.unpack_from("=i", body)[0]
                if code:
                    raise OSError(code, "dump of the addresses")
            if kind == _RTM_NEWADDR:
                addresses.append(_parse(body))
        if consistent:
            return addresses
    raise OSError(errno.EINTR, "the addresses change too fast to be listed")


def _delete(link: socket.socket, family: int, index: int, entry: _Address) -> str:
    body = _IFADDR.pack(family, entry.prefix, 0, entry.scope, index)
    for kind in (_IFA_LOCAL, _IFA_ADDRESS):
        if (value := entry.attributes.get(kind)) is not None:
            body += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value
    _send(link, _RTM_DELADDR, _NLM_F_ACK, 100, body)
    for kind, _, answer in _receive(link, 100):
        if kind == _NLMSG_ERROR:
            code = -struct.unpack_from("=i", answer)[0]
            return os.strerror(code) if code else ""
    return "no answer"


def _send(link: socket.socket, kind: int, flags: int, sequence: int, body: bytes) -> None:
    header = _HEADER.pack(_HEADER.size + len(body), kind, flags | _NLM_F_REQUEST, sequence, 0)
    link.send(header + body)


def _receive(link: socket.socket, sequence: int) -> Iterator[tuple[int, int, bytes]]:
    """The messages that answer `sequence`, up to the one that ends them."""
    while True:
        packet = link.recv(1 << 17)
        at = 0
        while at + _HEADER.size <= len(packet):
            length, kind, flags, answered, _ = _HEADER.unpack_from(packet, at)
            if length < _HEADER.size:
                raise OSError(errno.EBADMSG, "rtnetlink")
            body = packet[at + _HEADER.size : at + length]
            at += (length + 3) & ~3
            if answered != sequence:
                continue
            yield kind, flags, body
            if kind in (_NLMSG_DONE, _NLMSG_ERROR):
                return


def _parse(body: bytes) -> tuple[int, _Address]:
    _, prefix, _, scope, index = _IFADDR.unpack_from(body)
    attributes: dict[int, bytes] = {}
    at = _IFADDR.size
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if length < _ATTRIBUTE.size:
            break
        attributes[kind & 0x3FFF] = body[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
    return index, _Address(prefix, scope, attributes)
