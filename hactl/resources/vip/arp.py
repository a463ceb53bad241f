"""This node as a host on the VIP's network: it announces the VIP, and hears others who claim it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import queue
import socket
import struct
import threading
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from weakref import WeakKeyDictionary

from fencing.linux.wait_readable import wait_readable
from hactl.linux import packets
from hactl.linux.rtnl import Link

_SO_ATTACH_FILTER = 26
_QUEUE_BYTES = 65536


class _Sender:
    """A raw socket that receives nothing, of all that send on one interface."""

    _of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Link, _Sender]] = WeakKeyDictionary()

    def __init__(self, link: Link) -> None:
        self.users = 0
        self._socket = _packet_socket()
        if link.ethernet:
            try:
                self._socket.bind((link.name, 0))
            except OSError:
                self._socket.close()
                raise

    @classmethod
    def take(cls, link: Link) -> _Sender:
        """That of the interface, for one user more. Raises OSError."""
        senders = cls._of_loop.setdefault(asyncio.get_running_loop(), {})
        if link not in senders:
            senders[link] = cls(link)
        senders[link].users += 1
        return senders[link]

    def leave(self, link: Link) -> None:
        """One user less."""
        self.users -= 1
        if not self.users:
            del self._of_loop[asyncio.get_running_loop()][link]
            _close_elsewhere(self._socket)

    def send(self, frame: bytes) -> None:
        """Raises OSError."""
        # A full queue drops an announcement, never the node's event loop: others follow.
        with contextlib.suppress(BlockingIOError):
            self._socket.send(frame)


class Announcer:
    """Sends for one VIP on one interface."""

    def __init__(self, link: Link, ip: IPv4Address | IPv6Address) -> None:
        """Raises OSError."""
        self.link = link
        self._ip = ip
        self._sender: _Sender | None = _Sender.take(link)

    def announce(self) -> None:
        """Tell all hosts that the VIP is here. An interface without MAC addresses needs none. Raises
        OSError."""
        if not self.link.ethernet:
            return
        if isinstance(self._ip, IPv4Address):
            for frame in packets.gratuitous_arps(self.link.mac, self._ip):
                self._send(frame)
        else:
            router = _forwards(self.link.name)
            self._send(packets.neighbour_advertisement(self.link.mac, self._ip, router=router))

    def probe(self) -> None:
        """Ask who else has the VIP. Raises OSError."""
        if self.link.ethernet:
            if isinstance(self._ip, IPv4Address):
                self._send(packets.arp_probe(self.link.mac, self._ip))
            else:
                self._send(packets.neighbour_probe(self.link.mac, self._ip))

    def close(self) -> None:
        """Idempotent."""
        if self._sender is not None:
            self._sender.leave(self.link)
            self._sender = None

    def _send(self, frame: bytes) -> None:
        if self._sender is not None:
            self._sender.send(frame)


class Listener:
    """Hears other hosts that claim a VIP. The filter runs in the kernel: while nobody does, it costs
    nothing here."""

    def __init__(self, link: Link, ip: IPv4Address | IPv6Address) -> None:
        """Raises OSError."""
        self._version = ip.version
        self._socket = _packet_socket()
        _attach(self._socket, packets.claims_filter(link.mac, ip))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _QUEUE_BYTES)
        self._socket.bind((link.name, packets.ETH_P_ARP if ip.version == 4 else packets.ETH_P_IPV6))

    async def claim(self) -> bytes:
        """The MAC address of the next host that claims the VIP. Raises OSError."""
        while True:
            await wait_readable(self._socket.fileno())
            try:
                mac = packets.claimant(self._socket.recv(256), self._version)
            except OSError as error:
                # A link that goes down says so once; when it is up again, the socket hears on.
                if error.errno not in (errno.ENETDOWN, errno.EAGAIN):
                    raise
                continue
            if mac is not None:
                return mac

    def close(self) -> None:
        """Idempotent."""
        _close_elsewhere(self._socket)


def _packet_socket() -> socket.socket:
    # Protocol 0: it receives nothing until it is bound, so nothing gets past a filter attached before.
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    raw.setblocking(False)
    return raw


_closing: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()
_closers: list[threading.Thread] = []


def _close_elsewhere(raw: socket.socket) -> None:
    """Closing a packet socket waits for the kernel's readers, up to tens of milliseconds: not in the loop, nor on the
    threads that others wait for, when a hundred VIPs go."""
    _closing.put(raw)
    if not _closers:
        _closers.append(threading.Thread(target=_close_all, name="packet sockets", daemon=True))
        _closers[0].start()


def _close_all() -> None:
    while True:
        _closing.get().close()


def _attach(raw: socket.socket, program: list[packets.Instruction]) -> None:
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    raw.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(program), ctypes.addressof(buffer)))


def _forwards(interface: str) -> bool:
    try:
        return Path(f"/proc/sys/net/ipv6/conf/{interface}/forwarding").read_text().strip() != "0"
    except OSError:
        return False
