"""A VIP is announced, on real interfaces: when it is put on, from time to time, and not while it leaves."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import os
import socket
import subprocess

import pytest

from hactl.resources.vip import Vip
from tests.support.namespaces import ip
from tests.support.waiting import wait_until

from .wire import OTHER_MAC, V4, V6, Reports, Wire, is_arp, is_na

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

announced = functools.partial(is_arp, operation=2, sender="10.77.0.30")


def test_start_announces_by_arp_request_and_reply_and_stop_removes(wire: Wire) -> None:
    vip = wire.vip(V4)

    async def scenario() -> None:
        assert (await vip.probe()).health == "stopped"
        await vip.start({})
        assert "inet 10.77.0.30/24" in wire.addresses()
        for operation in (1, 2):
            frame = await wire.await_frame(functools.partial(is_arp, operation=operation, sender="10.77.0.30"))
            assert frame[:6] == b"\xff" * 6
            assert frame[22:28] == wire.node_mac and frame[38:42] == frame[28:32]
        assert (await vip.probe()).health == "running"
        await vip.start({})
        await vip.stop()
        assert "10.77.0.30" not in wire.addresses()
        assert (await vip.probe()).health == "stopped"
        await vip.stop()
        await vip.kill()

    wire.run(scenario)


def test_the_other_station_learns_the_new_place_at_once(wire: Wire) -> None:
    """Its cache holds another MAC address for the VIP, as after a move; the announcement corrects it."""
    for address in (V4, V6):
        where = address.split("/")[0]
        ip("-n", wire.there, "neigh", "replace", where, "lladdr", OTHER_MAC.hex(":"), "dev", "peer", "nud", "stale")
        vip = wire.vip(address, announce_burst=3, announce_burst_interval_ms=20)

        async def scenario(vip: Vip = vip, where: str = where) -> None:
            await vip.start({})
            mac = wire.node_mac.hex(":")
            await wait_until(lambda: mac in ip("-n", wire.there, "neigh", "show", where), blocking=True)
            await vip.stop()

        wire.run(scenario)


def test_ipv6_is_usable_at_once_and_announced(wire: Wire) -> None:
    vip = wire.vip(V6)

    async def scenario() -> None:
        await vip.start({})
        (line,) = [line for line in wire.addresses().splitlines() if "fd77::30/64" in line]
        assert "tentative" not in line and "deprecated" in line
        frame = await wire.await_frame(is_na)
        assert frame[58] & 0x20 and not frame[58] & 0x40, "override, not solicited"
        assert frame[62:78] == ipaddress.IPv6Address("fd77::30").packed
        assert frame[80:86] == wire.node_mac
        ping = ["ip", "netns", "exec", wire.there, "python3", "-c"]
        connect = "import socket; socket.create_connection(('fd77::30', 9), 5)"
        with socket.socket(socket.AF_INET6) as server:
            server.bind(("fd77::30", 9))
            server.listen()
            done = await asyncio.to_thread(subprocess.run, [*ping, connect], timeout=20, check=False)
            assert done.returncode == 0
        await vip.stop()
        assert "fd77::30" not in wire.addresses()

    wire.run(scenario)


def test_the_burst_and_the_periodic_announcements(wire: Wire) -> None:
    vip = wire.vip(V4, announce_burst=4, announce_burst_interval_ms=10, announce_interval_ms=50)

    async def scenario() -> None:
        await vip.start({})
        for _ in range(4):
            await wire.await_frame(announced)
        async with Reports().watching(vip):
            for _ in range(3):
                await wire.await_frame(announced)
        await vip.stop()

    wire.run(scenario)


def test_about_to_leave_it_says_nothing_until_it_is_still_here_after_the_move(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hactl.resources.vip.resource.LEAVE_S", 0.4)
    vip = wire.vip(V4, announce_burst=9, announce_burst_interval_ms=10, announce_interval_ms=10)

    async def scenario() -> None:
        await vip.start({})
        async with Reports().watching(vip):
            for _ in range(3):
                await wire.await_frame(announced)
            vip.stop_announcing()
            wire.count(announced)
            await asyncio.sleep(0.2)
            assert wire.count(announced) == 0
            assert (await vip.probe()).health == "running"
            await wire.await_frame(announced)
            vip.stop_announcing()
            await vip.stop()
            wire.count(announced)
            await vip.start({})
            assert wire.count(announced) == 1
            await wire.await_frame(announced)
        await vip.stop()

    wire.run(scenario)
