"""The frames by which a VIP is announced and asked for: ARP (RFC 826, RFC 5227) and neighbour discovery
(RFC 4861), as bytes, and the filter that lets through only frames in which others speak of the VIP."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

BROADCAST = b"\xff" * 6
ETH_P_ARP, ETH_P_IPV6 = 0x0806, 0x86DD
_REQUEST, _REPLY = 1, 2
_ALL_NODES = IPv6Address("ff02::1")
_SOLICIT, _ADVERTISE, _ICMPV6 = 135, 136, 58
_NA_ROUTER, _NA_OVERRIDE = 0x80000000, 0x20000000
_OPTION_TARGET_LINK = 2

# Classic BPF (Documentation/networking/filter.rst): load word, load half, jump if equal, return.
_LD, _LDH, _LDB, _JEQ, _RET = 0x20, 0x28, 0x30, 0x15, 0x06
_ACCEPT, _DROP = 0x40000, 0
Instruction = tuple[int, int, int, int]


def gratuitous_arps(mac: bytes, ip: IPv4Address) -> tuple[bytes, bytes]:
    """The announcement as request and as reply: some stations heed only the one, some only the other."""
    return _arp(_REQUEST, mac, ip, b"\0" * 6, ip), _arp(_REPLY, mac, ip, BROADCAST, ip)


def arp_probe(mac: bytes, ip: IPv4Address) -> bytes:
    """A question that every holder of `ip` answers, and that changes nobody's cache (RFC 5227, 1.1)."""
    return _arp(_REQUEST, mac, IPv4Address(0), b"\0" * 6, ip)


def neighbour_advertisement(mac: bytes, ip: IPv6Address, *, router: bool) -> bytes:
    """The unsolicited advertisement to all nodes, with the override flag (RFC 4861, 7.2.6). `router`: whether
    this node forwards; a host that hears the flag cleared forgets its routes by way of it."""
    flags = _NA_OVERRIDE | (_NA_ROUTER if router else 0)
    body = struct.pack("!I", flags) + ip.packed + bytes([_OPTION_TARGET_LINK, 1]) + mac
    return _icmpv6(mac, b"\x33\x33\0\0\0\x01", ip, _ALL_NODES, _ADVERTISE, body)


def neighbour_probe(mac: bytes, ip: IPv6Address) -> bytes:
    """A question that every holder of `ip` answers to all nodes (RFC 4862, 5.4.2)."""
    group = IPv6Address(IPv6Address("ff02::1:ff00:0").packed[:13] + ip.packed[13:])
    target = b"\x33\x33" + group.packed[12:]
    return _icmpv6(mac, target, IPv6Address(0), group, _SOLICIT, b"\0\0\0\0" + ip.packed)


def claims_filter(mac: bytes, ip: IPv4Address | IPv6Address) -> list[Instruction]:
    """Lets through frames of other stations that claim `ip`, so that all the rest costs nothing.

    ARP: the sender's address is `ip`. IPv6: a neighbour advertisement of `ip`, or a solicitation of it
    (which claims it only if it has no source address: see `claimant`)."""
    if isinstance(ip, IPv4Address):
        checks = [(_LD, 28, int(ip))]
        own_mac = 22
    else:
        words = struct.unpack("!4I", ip.packed)
        checks = [(_LDB, 20, _ICMPV6), *((_LD, 62 + 4 * at, word) for at, word in enumerate(words))]
        own_mac = 6
    return _program(checks, own_mac, mac)


def claimant(frame: bytes, version: int) -> bytes | None:
    """The MAC address of the station that claims the address in a frame that passed `claims_filter`."""
    if version == 4:
        return frame[22:28] if len(frame) >= 42 else None
    if len(frame) < 78 or frame[54] not in (_SOLICIT, _ADVERTISE):
        return None
    if frame[54] == _SOLICIT and any(frame[22:38]):
        return None
    return frame[6:12]


def _program(checks: list[tuple[int, int, int]], mac_at: int, mac: bytes) -> list[Instruction]:
    """All of `checks` hold, and the MAC address at `mac_at` is not `mac`."""
    size = 2 * len(checks) + 6
    accept, drop = size - 2, size - 1
    program: list[Instruction] = []

    def equal(load: int, offset: int, value: int, then: int, otherwise: int) -> None:
        program.append((load, 0, 0, offset))
        following = len(program) + 1
        program.append((_JEQ, (then or following) - following, (otherwise or following) - following, value))

    for load, offset, value in checks:
        equal(load, offset, value, 0, drop)
    equal(_LDH, mac_at, int.from_bytes(mac[:2], "big"), 0, accept)
    equal(_LD, mac_at + 2, int.from_bytes(mac[2:], "big"), drop, accept)
    return [*program, (_RET, 0, 0, _ACCEPT), (_RET, 0, 0, _DROP)]


def _arp(operation: int, mac: bytes, sender: IPv4Address, target_mac: bytes, target: IPv4Address) -> bytes:
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    body = head + mac + sender.packed + target_mac + target.packed
    return BROADCAST + mac + struct.pack("!H", ETH_P_ARP) + body


def _icmpv6(mac: bytes, to_mac: bytes, source: IPv6Address, to: IPv6Address, kind: int, body: bytes) -> bytes:
    # Hop limit 255 proves to the receiver that no router passed it on.
    header = struct.pack("!IHBB", 6 << 28, 4 + len(body), _ICMPV6, 255) + source.packed + to.packed
    pseudo = source.packed + to.packed + struct.pack("!II", 4 + len(body), _ICMPV6)
    checksum = _checksum(pseudo + struct.pack("!BBH", kind, 0, 0) + body)
    payload = struct.pack("!BBH", kind, 0, checksum) + body
    return to_mac + mac + struct.pack("!H", ETH_P_IPV6) + header + payload


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
