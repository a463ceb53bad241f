"""The VIP on real interfaces: two network namespaces, a veth pair, a sniffer on the other side."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hactl.linux import netlink, packets
from hactl.resources.base import NodeContext, Observation, ResourceError
from hactl.resources.vip import Vip
from hactl.resources.vip.arp import Listener
from hactl.resources.vip.interface import check_options, doubtful_options
from tests.support.namespaces import DEADLINE_S, inside, ip, multicast_works, until
from tests.support.specs import resource_spec

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

V4, V6 = "10.77.0.30/24", "fd77::30/64"
OTHER_MAC = bytes.fromhex("02aabbccddee")


@dataclass
class Wire:
    """`here` is the node's namespace (interface `node`), `there` the other station's (`peer`)."""

    here: str
    there: str
    sniffer: socket.socket
    node_mac: bytes = b""
    context: NodeContext = field(default_factory=lambda: NodeContext("n1", "/nonexistent", None))

    def run(self, scenario: Callable[[], Awaitable[None]]) -> None:
        """Run the scenario in the node's namespace."""

        async def bounded() -> None:
            await asyncio.wait_for(scenario(), DEADLINE_S)

        inside(self.here, lambda: asyncio.run(bounded()))

    def vip(self, address: str, **options: Any) -> Vip:
        return Vip(resource_spec("vip", "vip", {"address": address, **options}), self.context)

    def addresses(self) -> str:
        return ip("-n", self.here, "-o", "addr", "show", "dev", "node")

    def frame(self, wanted: Callable[[bytes], bool]) -> bytes:
        """The next frame of the node's on the wire that is wanted."""
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            self.sniffer.settimeout(max(0.01, end - time.monotonic()))
            frame = self.sniffer.recv(2048)
            if frame[6:12] == self.node_mac and wanted(frame):
                return frame
        raise AssertionError("no such frame")

    async def frame_soon(self, wanted: Callable[[bytes], bool]) -> bytes:
        return await asyncio.to_thread(self.frame, wanted)


@pytest.fixture
def wire() -> Iterator[Wire]:
    tag = uuid.uuid4().hex[:8]
    here, there = f"hactl-a-{tag}", f"hactl-b-{tag}"
    with contextlib.ExitStack() as stack:
        for namespace in (here, there):
            ip("netns", "add", namespace)
            stack.callback(ip, "netns", "del", namespace)
        ip("-n", here, "link", "add", "node", "type", "veth", "peer", "name", "peer", "netns", there)
        for namespace, name, number in ((here, "node", 1), (there, "peer", 2)):
            ip("-n", namespace, "addr", "add", f"10.77.0.{number}/24", "dev", name)
            ip("-n", namespace, "addr", "add", f"fd77::{number}/64", "dev", name, "nodad")
            ip("-n", namespace, "link", "set", name, "up")
        for namespace in (here, there):
            until(functools.partial(multicast_works, namespace))
        sniffer = inside(there, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)))
        stack.callback(sniffer.close)
        mac = ip("-n", here, "-o", "link", "show", "dev", "node").split("link/ether ")[1][:17]
        yield Wire(here, there, sniffer, bytes.fromhex(mac.replace(":", "")))


class Reports:
    """What `watch` has reported, to be waited for."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Observation] = asyncio.Queue()

    async def expect(self, health: str, detail: str) -> None:
        """Wait for it, in words of the detail, of what was put right, or of a warning ("over": its end)."""
        while True:
            seen = await self.queue.get()
            warned = (seen.warned.text or "over") if seen.warned else ""
            if seen.health == health and detail in f"{seen.detail} {seen.put_right} {warned}":
                return

    @contextlib.asynccontextmanager
    async def watching(self, vip: Vip) -> Any:
        task = asyncio.create_task(vip.watch(self.queue.put_nowait))
        await asyncio.sleep(0)
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def is_arp(frame: bytes, operation: int, sender: str) -> bool:
    ethertype, op = frame[12:14], int.from_bytes(frame[20:22], "big")
    return ethertype == b"\x08\x06" and op == operation and frame[28:32] == ipaddress.IPv4Address(sender).packed


def is_na(frame: bytes) -> bool:
    return frame[12:14] == b"\x86\xdd" and frame[20] == 58 and frame[54] == 136


def test_start_announces_by_arp_request_and_reply_and_stop_removes(wire: Wire) -> None:
    vip = wire.vip(V4)

    async def scenario() -> None:
        assert (await vip.probe()).health == "stopped"
        await vip.start({})
        assert "inet 10.77.0.30/24" in wire.addresses()
        for operation in (1, 2):
            frame = await wire.frame_soon(functools.partial(is_arp, operation=operation, sender="10.77.0.30"))
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
            await asyncio.to_thread(until, lambda: mac in ip("-n", wire.there, "neigh", "show", where))
            await vip.stop()

        wire.run(scenario)


def test_ipv6_is_usable_at_once_and_announced(wire: Wire) -> None:
    vip = wire.vip(V6)

    async def scenario() -> None:
        await vip.start({})
        (line,) = [line for line in wire.addresses().splitlines() if "fd77::30/64" in line]
        assert "tentative" not in line and "deprecated" in line
        frame = await wire.frame_soon(is_na)
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
            await wire.frame_soon(lambda seen: is_arp(seen, 2, "10.77.0.30"))
        async with Reports().watching(vip):
            for _ in range(3):
                await wire.frame_soon(lambda seen: is_arp(seen, 2, "10.77.0.30"))
        await vip.stop()

    wire.run(scenario)


def test_about_to_leave_it_says_nothing_until_it_is_still_here_after_the_move(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hactl.resources.vip.resource.LEAVE_S", 0.4)
    vip = wire.vip(V4, announce_burst=9, announce_burst_interval_ms=10, announce_interval_ms=10)

    def heard() -> int:
        """How many announcements there were since last asked."""
        wire.sniffer.setblocking(False)
        count = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                frame = wire.sniffer.recv(2048)
                count += frame[6:12] == wire.node_mac and is_arp(frame, 2, "10.77.0.30")
        return count

    async def scenario() -> None:
        await vip.start({})
        async with Reports().watching(vip):
            for _ in range(3):
                await wire.frame_soon(lambda seen: is_arp(seen, 2, "10.77.0.30"))
            vip.stop_announcing()
            heard()
            await asyncio.sleep(0.2)
            assert heard() == 0
            assert (await vip.probe()).health == "running"
            await wire.frame_soon(lambda seen: is_arp(seen, 2, "10.77.0.30"))
            vip.stop_announcing()
            await vip.stop()
            heard()
            await vip.start({})
            assert heard() == 1
            await wire.frame_soon(lambda seen: is_arp(seen, 2, "10.77.0.30"))
        await vip.stop()

    wire.run(scenario)


@pytest.mark.parametrize("address", [V4, V6])
def test_an_address_that_is_removed_is_put_back_announced_and_reported(wire: Wire, address: str) -> None:
    vip = wire.vip(address)

    async def scenario() -> None:
        reports = Reports()
        await vip.start({})
        async with reports.watching(vip):
            ip("-n", wire.here, "addr", "del", address, "dev", "node")
            await reports.expect("running", "put back")
            assert address in wire.addresses()
            await vip.stop()
            await asyncio.sleep(0.1)
            assert address not in wire.addresses(), "what hactl removes itself stays removed"

    wire.run(scenario)


def test_the_next_daemon_watches_an_address_it_did_not_start(wire: Wire) -> None:
    async def scenario() -> None:
        await wire.vip(V4).start({})
        adopted, reports = wire.vip(V4), Reports()
        assert (await adopted.probe()).health == "running"
        async with reports.watching(adopted):
            ip("-n", wire.here, "addr", "del", V4, "dev", "node")
            await reports.expect("running", "put back")
        await adopted.stop()

    wire.run(scenario)


def test_a_lost_link_is_reported_and_its_return_is_announced(wire: Wire) -> None:
    vip = wire.vip(V6)

    async def scenario() -> None:
        reports = Reports()
        await vip.start({})
        async with reports.watching(vip):
            ip("-n", wire.there, "link", "set", "peer", "down")
            await reports.expect("failed", "link of node is down")
            assert (await vip.probe()).health == "failed"
            with pytest.raises(ResourceError, match="link of node is down"):
                await wire.vip(V4).start({})
            ip("-n", wire.there, "link", "set", "peer", "up")
            await reports.expect("running", "up again")
            ip("-n", wire.here, "link", "set", "node", "down")
            await reports.expect("failed", "link of node is down")
            ip("-n", wire.here, "link", "set", "node", "up")
            ip("-n", wire.here, "addr", "add", "fd77::1/64", "dev", "node", "nodad")
            await reports.expect("running", "")
            assert V6 in wire.addresses(), "IPv6 addresses go with the link, and must come back"
            ip("-n", wire.here, "link", "del", "node")
            await reports.expect("failed", "interface node is gone")
        await vip.stop()

    wire.run(scenario)


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
            await wire.frame_soon(is_probe)
            wire.sniffer.bind(("peer", 3))
            for frame in packets.gratuitous_arps(OTHER_MAC, where):
                wire.sniffer.send(frame)
            # Asked again a second later, the other does not answer.
            await wire.frame_soon(is_probe)
            await asyncio.sleep(0.3)
            assert reports.queue.empty()
        await vip.stop()

    wire.run(scenario)


def test_removing_it_keeps_the_nodes_other_addresses(wire: Wire) -> None:
    """The VIP has become the primary address of its network: the node's own was taken off and put on again."""
    vip = wire.vip(V4)
    switch = Path("/proc/sys/net/ipv4/conf")
    for name in ("all", "node"):
        inside(wire.here, functools.partial((switch / name / "promote_secondaries").write_text, "0"))

    async def scenario() -> None:
        await vip.start({})
        ip("-n", wire.here, "addr", "del", "10.77.0.1/24", "dev", "node")
        assert "10.77.0.30/24" in wire.addresses(), "a primary address takes its secondary ones along"
        ip("-n", wire.here, "addr", "add", "10.77.0.1/24", "dev", "node")
        await vip.stop()
        assert "10.77.0.1/24" in wire.addresses()

    wire.run(scenario)


@pytest.mark.parametrize("where", ["10.77.0.30", "fd77::30"])
def test_it_is_defended_when_another_claims_it_and_that_not_more_than_once_a_second(wire: Wire, where: str) -> None:
    place = ipaddress.ip_address(where)
    vip = wire.vip(V4 if place.version == 4 else V6, announce_burst=1, announce_interval_ms=0)

    def claim() -> None:
        if isinstance(place, ipaddress.IPv4Address):
            wire.sniffer.send(packets.gratuitous_arps(OTHER_MAC, place)[1])
        else:
            wire.sniffer.send(packets.neighbour_advertisement(OTHER_MAC, place, router=False))

    def announces(frame: bytes) -> bool:
        return is_arp(frame, 2, "10.77.0.30") if place.version == 4 else is_na(frame)

    def asks(frame: bytes) -> bool:
        return is_arp(frame, 1, "0.0.0.0") if place.version == 4 else frame[12:14] == b"\x86\xdd" and frame[54] == 135

    def heard() -> int:
        wire.sniffer.setblocking(False)
        count = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                frame = wire.sniffer.recv(2048)
                count += frame[6:12] == wire.node_mac and announces(frame)
        return count

    async def scenario() -> None:
        wire.sniffer.bind(("peer", 3))
        await vip.start({})
        async with Reports().watching(vip):
            await wire.frame_soon(asks)  # from then on it hears
            heard()
            claim()
            await wire.frame_soon(announces)
            loop = asyncio.get_running_loop()
            began, count = loop.time(), 0
            while loop.time() - began < 0.5:
                claim()
                await asyncio.sleep(0.005)
            count += heard()
            assert count <= 1, "in half a second"
            await asyncio.sleep(1)
            claim()
            await wire.frame_soon(announces)
        await vip.stop()

    wire.run(scenario)


def test_an_interface_that_is_made_anew_is_used_again(wire: Wire) -> None:
    """Its number and its MAC address are others; nothing of the old one is remembered."""
    vip = wire.vip(V4, interface="node", announce_interval_ms=100)

    async def scenario() -> None:
        reports = Reports()
        await vip.start({})
        assert await vip.ready() == ""
        async with reports.watching(vip):
            ip("-n", wire.here, "link", "del", "node")
            await reports.expect("failed", "interface node is gone")
            assert "there is no interface node" in await vip.ready()
            ip("-n", wire.here, "link", "add", "node", "type", "veth", "peer", "name", "peer", "netns", wire.there)
            ip("-n", wire.here, "link", "set", "node", "up")
            assert await vip.ready() != ""
            ip("-n", wire.here, "addr", "add", "10.77.0.1/24", "dev", "node")
            ip("-n", wire.there, "link", "set", "peer", "up")
            await reports.expect("running", "put back")
            assert await vip.ready() == ""
            wire.sniffer.close()
            wire.sniffer = inside(wire.there, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)))
            mac = ip("-n", wire.here, "-o", "link", "show", "dev", "node").split("link/ether ")[1][:17]
            wire.node_mac = bytes.fromhex(mac.replace(":", ""))
            await wire.frame_soon(lambda seen: is_arp(seen, 2, "10.77.0.30"))
        await vip.stop()
        assert "10.77.0.30" not in wire.addresses()

    wire.run(scenario)


def test_a_node_without_the_network_or_the_link_could_not_have_it(wire: Wire) -> None:
    async def scenario() -> None:
        assert "10.99.0.30/24 is not in any IPv4 network" in await wire.vip("10.99.0.30/24").ready()
        assert await wire.vip(V4).ready() == ""
        ip("-n", wire.there, "link", "set", "peer", "down")
        assert await wire.vip(V4).ready() == "the link of node is down"

    wire.run(scenario)


def test_another_length_than_the_networks_is_doubtful(wire: Wire) -> None:
    async def scenario() -> None:
        def said(address: str) -> list[str]:
            return doubtful_options(resource_spec("v", "vip", {"address": address}))

        assert said(V4) == said(V6) == said("10.99.0.30/24") == []
        meant = "10.77.0.30/25 has another length than the network of node: 10.77.0.30/24 is meant, as a rule"
        assert said("10.77.0.30/25") == [meant]
        assert "fd77::30/64 is meant" in said("fd77::30/128")[0]

    wire.run(scenario)


def test_an_address_in_no_network_of_the_interface_is_refused(wire: Wire) -> None:
    async def scenario() -> None:
        with pytest.raises(ResourceError, match=r"10\.99\.0\.30/24 is not in any IPv4 network of this node.*10\.77\."):
            await wire.vip("10.99.0.30/24").start({})
        with pytest.raises(ResourceError, match="not in any IPv4 network of lo"):
            wire.vip(V4, interface="lo").guard_steps()
            await wire.vip(V4, interface="lo").start({})
        with pytest.raises(ResourceError, match="there is no interface eth9; there are: lo, node"):
            await wire.vip(V4, interface="eth9").start({})
        assert check_options(resource_spec("v", "vip", {"address": V4, "interface": "node"})) == []
        assert "there is no interface" in check_options(resource_spec("v", "vip", {"address": V4, "interface": "x"}))[0]
        assert "not an IP address" in check_options(resource_spec("v", "vip", {"address": "nonsense"}))[0]

    wire.run(scenario)


def test_the_guards_step_names_the_interface(wire: Wire) -> None:
    async def scenario() -> None:
        step = {"kind": "address", "interface": "node", "address": "10.77.0.30", "prefix": 24}
        assert wire.vip(V4).guard_steps() == (step,)

    wire.run(scenario)


@pytest.mark.parametrize("where", ["10.77.0.30", "fd77::30"])
def test_the_kernels_filter_lets_through_only_what_others_say_of_the_vip(wire: Wire, where: str) -> None:
    unrelated_mac = bytes.fromhex("02aabbccddff")
    wire.sniffer.bind(("peer", 3))

    def say(mac: bytes, address: str) -> None:
        place = ipaddress.ip_address(address)
        if isinstance(place, ipaddress.IPv4Address):
            wire.sniffer.send(packets.gratuitous_arps(mac, place)[1])
        else:
            wire.sniffer.send(packets.neighbour_advertisement(mac, place, router=False))

    async def scenario() -> None:
        link = netlink.link("node")
        assert link is not None
        listener = Listener(link, ipaddress.ip_address(where))
        say(unrelated_mac, where[:-1] + "1")
        say(unrelated_mac, "10.77.0.99" if ":" in where else "fd77::99")
        say(link.mac, where)
        say(OTHER_MAC, where)
        assert await listener.claim() == OTHER_MAC
        listener.close()

    wire.run(scenario)
