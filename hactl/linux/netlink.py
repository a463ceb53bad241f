"""Links and addresses of this network namespace, asked for and changed over rtnetlink(7).

The calls block, for about 0.1 ms: the kernel carries a request out and answers it while it is being sent, so
an asynchronous call would wait at the same place. Who looks often, or follows what happens, has `hactl.linux.network`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket

from hactl.linux import rtnl
from hactl.linux.rtnl import Address, IPInterface, Link

_TIMEOUT_S = 2.0
_BUFFER = 262144
_DUMP_ATTEMPTS = 5


def links() -> list[Link]:
    """All interfaces. Raises OSError."""
    return [rtnl.link_of(body) for body in _talk(rtnl.GETLINK, rtnl.DUMP, rtnl.all_links())]


def link(name: str) -> Link | None:
    """The interface of this name; None when there is none. Raises OSError."""
    try:
        return next((rtnl.link_of(body) for body in _talk(rtnl.GETLINK, 0, rtnl.link_named(name))), None)
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.ERANGE, errno.EINVAL):
            return None
        raise


def addresses(version: int) -> list[Address]:
    """All addresses of IP version 4 or 6. Raises OSError."""
    return [rtnl.address_of(body) for body in _talk(rtnl.GETADDR, rtnl.DUMP, rtnl.all_addresses(version))]


def address6(index: int, ip: IPInterface) -> Address | None:
    """An IPv6 address as it is on an interface; None when it is not there. Raises OSError."""
    try:
        return next((rtnl.address_of(body) for body in _talk(rtnl.GETADDR, 0, rtnl.one_address(index, ip))), None)
    except OSError as error:
        if error.errno in (errno.EADDRNOTAVAIL, errno.ENODEV):
            return None
        raise


def add_address(index: int, ip: IPInterface) -> None:
    """Put an address on an interface so that no connection of the node's own begins from it: it may move away. No error
    when it is there. Raises OSError.

    It makes no route of its own: the network's is there, with the node's own address as its source. An IPv6 address is
    usable at once (no duplicate address detection: the protocol says who owns it) and deprecated (preferred for 0 s;
    keepalived does the same), also one that was there and was not. An IPv4 address must come after the node's own.
    """
    flags = rtnl.CREATE | (rtnl.REPLACE if ip.version == 6 else rtnl.EXCLUSIVE) | rtnl.ACK
    with contextlib.suppress(FileExistsError):
        _talk(rtnl.NEWADDR, flags, rtnl.new_address(index, ip))


def remove_address(index: int, ip: IPInterface) -> bool:
    """Take an address off an interface. False: it, or the interface, was not there. Raises OSError."""
    try:
        _talk(rtnl.DELADDR, rtnl.ACK, rtnl.one_address(index, ip))
    except OSError as error:
        if error.errno not in (errno.EADDRNOTAVAIL, errno.ENODEV):
            raise
        return False
    return True


def _talk(kind: int, flags: int, body: bytes) -> list[bytes]:
    """Send one request; the bodies of its answers. Raises OSError with the kernel's number."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(_TIMEOUT_S)
        kernel.bind((0, 0))
        for _ in range(_DUMP_ATTEMPTS):
            kernel.sendto(rtnl.request(kind, flags, body), (0, 0))
            answers, whole = _answers(kernel, many=bool(flags & (rtnl.DUMP | rtnl.ACK)))
            if whole:
                return answers
    raise OSError(errno.EAGAIN, "the list changed whenever it was read")


def _answers(kernel: socket.socket, *, many: bool) -> tuple[list[bytes], bool]:
    """The answers to a request, and whether the list is whole (not changed while it was made)."""
    answers: list[bytes] = []
    whole = True
    while True:
        for message in rtnl.messages(kernel.recv(_BUFFER)):
            whole = whole and not message.flags & rtnl.DUMP_INTERRUPTED
            if message.kind == rtnl.DONE:
                return answers, whole
            if message.kind == rtnl.ERROR:
                if number := rtnl.error_number(message.body):
                    raise OSError(number, os.strerror(number))
                return answers, True
            answers.append(message.body)
            if not many:
                return answers, True
