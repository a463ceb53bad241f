"""The TCP connections to an address that are open on this node, by sock_diag(7): whether there are any, and their end.

The calls block for as long as the kernel takes to go through its connections: not to be made in an event loop.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections.abc import Generator, Iterator
from ipaddress import IPv4Address, IPv6Address

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY, _SOCK_DESTROY, _ERROR, _DONE = 20, 21, 2, 3
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_BYTECODE, _LOCAL = 1, 7  # INET_DIAG_REQ_BYTECODE, INET_DIAG_BC_S_COND
_TIMEOUT_S = 2.0
_BUFFER = 65536
# Where struct inet_diag_sockid is in an answer, behind the header and four bytes of struct inet_diag_msg, and its size.
_ID_AT, _ID_SIZE = 20, 48
# Numbers of include/net/tcp_states.h. Not those that only wait for the other side's end, or for nothing
# (FIN_WAIT2, TIME_WAIT): all that this side had to say has arrived.
_ESTABLISHED, _SYN_RECV, _FIN_WAIT1, _CLOSE_WAIT, _LAST_ACK, _CLOSING = 1, 3, 4, 8, 9, 11
_STATES = sum(1 << state for state in (_ESTABLISHED, _SYN_RECV, _FIN_WAIT1, _CLOSE_WAIT, _LAST_ACK, _CLOSING))

_Connection = tuple[int, bytes]


def any_to(ip: IPv4Address | IPv6Address) -> bool:
    """Whether there is one. Raises OSError."""
    with contextlib.closing(_connections(ip)) as matches:
        return next(matches, None) is not None


def abort_to(ip: IPv4Address | IPv6Address) -> int:
    """End them all; the other sides are told (RST). Returns how many there were. Raises OSError, EOPNOTSUPP where the
    kernel cannot (CONFIG_INET_DIAG_DESTROY)."""
    matches = list(_connections(ip))
    with _diag() as kernel:
        for family, name in matches:
            _send(kernel, _SOCK_DESTROY, _REQUEST | _ACK, _request(family, name))
            answer = kernel.recv(_BUFFER)
            number = struct.unpack_from("=i", answer, 16)[0]
            if number not in (0, -errno.ENOENT):
                raise OSError(-number, "a connection cannot be ended from outside")
    return len(matches)


def _connections(ip: IPv4Address | IPv6Address) -> Generator[_Connection, None, None]:
    # A listener of IPv6's that takes IPv4, too, makes connections of IPv6's.
    for family in (socket.AF_INET, socket.AF_INET6) if ip.version == 4 else (socket.AF_INET6,):
        with _diag() as kernel:
            _send(kernel, _SOCK_DIAG_BY_FAMILY, _REQUEST | _DUMP, _request(family, bytes(_ID_SIZE)) + _local(ip))
            for answer in _answers(kernel):
                yield family, answer[_ID_AT : _ID_AT + _ID_SIZE]


def _answers(kernel: socket.socket) -> Iterator[bytes]:
    while True:
        data, at = kernel.recv(_BUFFER), 0
        while at + 16 <= len(data):
            length, kind = struct.unpack_from("=IH", data, at)
            if kind == _DONE:
                return
            if kind == _ERROR:
                number = -struct.unpack_from("=i", data, at + 16)[0]
                if number == errno.ENOENT:  # a kernel without this family
                    return
                raise OSError(number, "the connections cannot be listed")
            yield data[at : at + length]
            at += max(16, (length + 3) & ~3)


def _local(ip: IPv4Address | IPv6Address) -> bytes:
    """Asks for those whose local address is `ip`."""
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    condition = struct.pack("=BBxxi", family, ip.max_prefixlen, -1) + ip.packed
    size = 4 + len(condition)
    # Where it holds, go on behind it, which is the end; else go beyond the end.
    code = struct.pack("=BBH", _LOCAL, size, size + 4) + condition
    return struct.pack("=HH", 4 + len(code), _BYTECODE) + code


def _request(family: int, name: bytes) -> bytes:
    return struct.pack("=BBBxI", family, socket.IPPROTO_TCP, 0, _STATES) + name


def _diag() -> socket.socket:
    kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
    kernel.settimeout(_TIMEOUT_S)
    return kernel


def _send(kernel: socket.socket, kind: int, flags: int, body: bytes) -> None:
    kernel.sendto(struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body, (0, 0))
