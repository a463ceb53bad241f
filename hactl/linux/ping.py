"""One ping: an ICMP echo request and its answer (RFC 792, RFC 4443), by a raw socket that is connected to the address,
so that nothing else reaches it."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import struct

_REQUEST = {4: 8, 6: 128}
_ANSWER = {4: 0, 6: 129}
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
_LONGEST = 2048


async def ping(address: str, timeout_s: float) -> str:
    """Ask again each third of the time; "": it answers, else why not."""
    version = ipaddress.ip_address(address).version
    protocol = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
    try:
        with socket.socket(_FAMILY[version], socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol) as raw:
            raw.connect((address, 0))
            async with asyncio.timeout(timeout_s):
                return await _asked(raw, version, timeout_s / 3)
    except TimeoutError:
        return "no answer"
    except OSError as error:
        return error.strerror or str(error)


async def _asked(raw: socket.socket, version: int, again_s: float) -> str:
    mark = os.urandom(8)
    request = _request(version, mark)
    while True:
        raw.send(request)
        try:
            async with asyncio.timeout(again_s):
                while not _answers(await asyncio.get_running_loop().sock_recv(raw, _LONGEST), version, mark):
                    pass
            return ""
        except TimeoutError:
            continue


def _request(version: int, mark: bytes) -> bytes:
    head = struct.pack("!BBHHH", _REQUEST[version], 0, 0, os.getpid() & 0xFFFF, 1)
    if version == 6:
        return head + mark  # the kernel adds the checksum
    return head[:2] + struct.pack("!H", _checksum(head + mark)) + head[4:] + mark


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


def _answers(packet: bytes, version: int, mark: bytes) -> bool:
    """Whether it answers the request with this mark. IPv4 comes with its header."""
    start = (packet[0] & 0xF) * 4 if version == 4 and packet else 0
    return packet[start : start + 1] == bytes([_ANSWER[version]]) and packet.endswith(mark)
