"""Messages of rtnetlink as the kernel writes them (taken from Linux 6.1), and as hactl does."""

from __future__ import annotations

import struct
from ipaddress import ip_interface

import pytest

from hactl.linux import rtnl


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


V4 = struct.pack("=BBBBi", 2, 24, 0x81, 253, 7) + b"".join([
    attribute(1, bytes([10, 0, 0, 9])),  # IFA_ADDRESS, the peer's here
    attribute(2, bytes([10, 0, 0, 30])),  # IFA_LOCAL
    attribute(3, b"eth0\0"),
    attribute(8, struct.pack("=I", 0x281)),  # secondary, permanent, no route of its own
])  # fmt: skip
V6 = struct.pack("=BBBBi", 10, 64, 0xA0, 0, 7) + b"".join([
    attribute(1, bytes.fromhex("fd770000000000000000000000000030")),
    attribute(8, struct.pack("=I", 0x2A8)),  # DAD failed, deprecated, permanent
])  # fmt: skip
LINK = (
    struct.pack("=BxHiII", 0, 1, 7, 0x10043, 0) + attribute(3, b"eth0\0") + attribute(1, bytes.fromhex("02aabbccddee"))
)


def test_addresses_are_read() -> None:
    known = rtnl.address_of(V4)
    assert (known.index, known.host, str(known.ip), known.scope) == (7, "10.0.0.30", "10.0.0.30/24", 253)
    assert known.secondary and not known.deprecated and not known.refused
    known = rtnl.address_of(V6)
    assert (known.index, known.host, str(known.ip)) == (7, "fd77::30", "fd77::30/64")
    assert not known.secondary and known.deprecated and known.refused


def test_a_link_is_read() -> None:
    assert rtnl.link_of(LINK) == rtnl.Link(7, "eth0", bytes.fromhex("02aabbccddee"), running=True, ethernet=True)
    assert rtnl.link_number(LINK) == 7
    down = struct.pack("=BxHiII", 0, 1, 7, 0x1002, 0) + attribute(3, b"eth0\0")
    without_carrier = struct.pack("=BxHiII", 0, 1, 7, 0x1003, 0) + attribute(3, b"eth0\0")
    assert not rtnl.link_of(without_carrier).running
    assert rtnl.link_of(down) == rtnl.Link(7, "eth0", b"", running=False, ethernet=True)


def test_a_datagram_of_several_messages_is_taken_apart() -> None:
    data = b""
    for body in (V4, LINK + b"\1", V6):
        data += rtnl.request(rtnl.NEWADDR, 0, body)
        data += bytes(-len(data) % 4)
    assert [message.body for message in rtnl.messages(data)] == [V4, LINK + b"\1", V6]
    assert list(rtnl.messages(b"")) == [] and list(rtnl.messages(data[:10])) == []
    assert len(list(rtnl.messages(struct.pack("=IHHII", 0, 20, 0, 0, 0) * 3))) == 3, "a length of 0 comes to an end"


@pytest.mark.parametrize("text", ["10.0.0.30/24", "10.0.0.30/32", "fd77::30/64"])
def test_what_is_put_on_is_read_as_the_same(text: str) -> None:
    ip = ip_interface(text)
    written = rtnl.address_of(rtnl.new_address(3, ip))
    assert (written.index, written.ip) == (3, ip)
    assert rtnl.address_of(rtnl.one_address(3, ip)).ip == ip
    local = attribute(2, ip.packed)
    assert (local in rtnl.new_address(3, ip)) and (local in rtnl.one_address(3, ip)) is (ip.version == 4)


def test_the_kernels_word_on_a_request() -> None:
    assert rtnl.error_number(struct.pack("=i", -17)) == 17
    assert rtnl.error_number(struct.pack("=i", 0)) == 0
