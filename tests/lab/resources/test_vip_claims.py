"""Another station has the VIP, or claims it, on real interfaces."""

from __future__ import annotations

import asyncio
import ipaddress
import os

import pytest

from hactl.linux import netlink, packets
from hactl.resources.vip.arp import Listener
from tests.support.namespaces import ip

from .wire import OTHER_MAC, V4, V6, Reports, Wire, is_arp, is_na

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def claim(wire: Wire, mac: bytes, address: str) -> None:
    """Another station says that the address is its own."""
    place = ipaddress.ip_address(address)
    if isinstance(place, ipaddress.IPv4Address):
        wire.sniffer.send(packets.gratuitous_arps(mac, place)[1])
    else:
        wire.sniffer.send(packets.neighbour_advertisement(mac, place, router=False))


@pytest.mark.parametrize("address", [V4, V6])
def test_another_station_that_has_the_address_is_reported(wire: Wire, address: str) -> None:
    """The other's kernel has the address and answers probes, as after a split."""
    ip("-n", wire.there, "link", "set", "peer", "down")
    ip("-n", wire.there, "link", "set", "peer", "address", OTHER_MAC.hex(":"), "up")
    ip("-n", wire.there, "addr", "add", address, "dev", "peer", *(["nodad"] if ":" in address else []))
    vip = wire.vip(address, announce_interval_ms=200)

    async def scenario() -> None:
        reports = Reports()
        await vip.start({})
        async with reports.watching(vip):
            await reports.expect("running", f"is also at {OTHER_MAC.hex(':')}")
            assert address in wire.addresses(), "the VIP is not dropped"
            ip("-n", wire.there, "addr", "del", address, "dev", "peer")
            await reports.expect("running", "over")
        await vip.stop()

    wire.run(scenario)


def test_a_single_claim_as_in_a_move_is_no_conflict(wire: Wire) -> None:
    vip = wire.vip(V4)
    where = ipaddress.IPv4Address("10.77.0.30")

    def is_probe(frame: bytes) -> bool:
        return is_arp(frame, 1, "0.0.0.0") and frame[38:42] == where.packed

    async def scenario() -> None:
        reports = Reports()
        await vip.start({})
        async with reports.watching(vip):
            await wire.await_frame(is_probe)
            wire.sniffer.bind(("peer", 3))
            for frame in packets.gratuitous_arps(OTHER_MAC, where):
                wire.sniffer.send(frame)
            # Asked again a second later, the other does not answer.
            await wire.await_frame(is_probe)
            await asyncio.sleep(0.3)
            assert reports.queue.empty()
        await vip.stop()

    wire.run(scenario)


@pytest.mark.parametrize("where", ["10.77.0.30", "fd77::30"])
def test_a_claim_is_answered_at_most_once_a_second(wire: Wire, where: str) -> None:
    ipv4 = "." in where
    vip = wire.vip(V4 if ipv4 else V6, announce_burst=1, announce_interval_ms=0)

    def announces(frame: bytes) -> bool:
        return is_arp(frame, 2, "10.77.0.30") if ipv4 else is_na(frame)

    def asks(frame: bytes) -> bool:
        return is_arp(frame, 1, "0.0.0.0") if ipv4 else frame[12:14] == b"\x86\xdd" and frame[54] == 135

    async def scenario() -> None:
        wire.sniffer.bind(("peer", 3))
        await vip.start({})
        async with Reports().watching(vip):
            await wire.await_frame(asks)  # from then on it hears
            wire.count(announces)
            claim(wire, OTHER_MAC, where)
            await wire.await_frame(announces)
            loop = asyncio.get_running_loop()
            began = loop.time()
            while loop.time() - began < 0.5:
                claim(wire, OTHER_MAC, where)
                await asyncio.sleep(0.005)
            assert wire.count(announces) <= 1, "in half a second"
            await asyncio.sleep(1)
            claim(wire, OTHER_MAC, where)
            await wire.await_frame(announces)
        await vip.stop()

    wire.run(scenario)


@pytest.mark.parametrize("where", ["10.77.0.30", "fd77::30"])
def test_the_kernels_filter_passes_only_others_claims_of_the_vip(wire: Wire, where: str) -> None:
    unrelated_mac = bytes.fromhex("02aabbccddff")
    wire.sniffer.bind(("peer", 3))

    async def scenario() -> None:
        link = netlink.link("node")
        assert link is not None
        listener = Listener(link, ipaddress.ip_address(where))
        claim(wire, unrelated_mac, where[:-1] + "1")
        claim(wire, unrelated_mac, "10.77.0.99" if ":" in where else "fd77::99")
        claim(wire, link.mac, where)
        claim(wire, OTHER_MAC, where)
        assert await listener.claim() == OTHER_MAC
        listener.close()

    wire.run(scenario)
