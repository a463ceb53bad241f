"""A VIP beside the node's own addresses, on real interfaces: no connection of the node's own begins from it, whatever
happens to them."""

from __future__ import annotations

import asyncio
import functools
import os
import socket
from pathlib import Path

import pytest

from hactl.resources.base import ResourceError
from hactl.resources.vip import Vip
from hactl.resources.vip import keeper as vip_keeper
from tests.support.namespaces import inside, ip
from tests.support.waiting import wait_until

from .wire import OWN4, OWN6, V4, V6, Reports, Wire

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

PEER = {4: "10.77.0.2", 6: "fd77::2"}


def source(wire: Wire, version: int) -> str:
    """From which address of the node's a connection to the other station begins; "": there can be none."""

    def connect() -> str:
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_DGRAM) as connection:
            try:
                connection.connect((PEER[version], 9))
            except OSError:
                return ""
            return str(connection.getsockname()[0])

    return str(inside(wire.here, connect))


async def has(wire: Wire, address: str, *, there: bool = True) -> None:
    await wait_until(lambda: (address in wire.addresses()) is there, blocking=True)


def renew(wire: Wire, own: str) -> None:
    """The network of the node is restarted: all addresses go, its own come back."""
    version = "-6" if ":" in own else "-4"
    ip("-n", wire.here, version, "addr", "flush", "dev", "node")
    put_on(wire, own)


def put_on(wire: Wire, own: str) -> None:
    ip("-n", wire.here, "addr", "add", own, "dev", "node", *(["nodad"] if ":" in own else []))


def promote(value: int) -> None:
    """Set here, on a thread that is in the namespace."""
    Path("/proc/sys/net/ipv4/conf/node/promote_secondaries").write_text(str(value))


@pytest.mark.parametrize(
    ("addresses", "own"),
    [
        ([V4], OWN4),
        ([V6], OWN6),
        ([V4, "10.77.0.31/24", "10.77.0.32/24"], OWN4),
        (["10.77.0.30/32"], OWN4),
        (["10.77.0.30/25"], OWN4),
        (["10.77.0.30/16", V4.replace("30", "31")], OWN4),
        ([V6, "fd77::31/128"], OWN6),
    ],
)
def test_after_the_network_was_restarted_all_is_as_before(wire: Wire, addresses: list[str], own: str) -> None:
    vips = [wire.vip(address) for address in addresses]
    version = 6 if ":" in own else 4

    async def scenario() -> None:
        reports = Reports()
        async with asyncio.TaskGroup() as tasks:
            watches = []
            for vip in vips:
                await vip.start({})
                assert source(wire, version) == own.partition("/")[0]
                watches.append(tasks.create_task(vip.watch(reports.queue.put_nowait)))
            await asyncio.sleep(0)
            for _ in range(3):
                await asyncio.to_thread(renew, wire, own)
                for address in addresses:
                    await has(wire, f" {address} ")
                assert source(wire, version) == own.partition("/")[0]
            await reports.expect("running", "with this node's own address")
            for watch in watches:
                watch.cancel()
        for vip in vips:
            await vip.stop()
        assert f" {own} " in wire.addresses() and source(wire, version) == own.partition("/")[0]

    wire.run(scenario)


@pytest.mark.parametrize("promoting", [0, 1])
def test_the_vip_goes_with_the_nodes_own_address_and_comes_back_with_it(wire: Wire, promoting: int) -> None:
    """Whether the kernel leaves it there, as the first of its network, or takes it along."""
    vip = wire.vip(V4)

    async def scenario() -> None:
        reports = Reports()
        await vip.start({})
        promote(promoting)
        async with reports.watching(vip):
            ip("-n", wire.here, "addr", "del", OWN4, "dev", "node")
            await has(wire, f" {V4} ", there=False)
            assert source(wire, 4) == ""
            put_on(wire, OWN4)
            await reports.expect("running", "put back")
            assert source(wire, 4) == "10.77.0.1"
            put_on(wire, "10.77.0.9/24")
            ip("-n", wire.here, "addr", "del", OWN4, "dev", "node")
            await wait_until(lambda: source(wire, 4) == "10.77.0.9", blocking=True)
            await has(wire, f" {V4} ")
        await vip.stop()
        assert "10.77.0.9/24" in wire.addresses()

    wire.run(scenario)


@pytest.mark.parametrize(("address", "own"), [(V4, OWN4), (V6, OWN6)])
def test_without_an_address_of_the_nodes_own_it_fails_after_a_while(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, address: str, own: str
) -> None:
    monkeypatch.setattr(vip_keeper, "OWN_ADDRESS_S", 0.2)
    vip = wire.vip(address)

    async def scenario() -> None:
        reports = Reports()
        await vip.start({})
        async with reports.watching(vip):
            ip("-n", wire.here, "addr", "del", own, "dev", "node")
            await reports.expect("failed", "node has no address of this node's own in the network of")
            assert address not in wire.addresses()
            assert "not in any" in await vip.ready()
            with pytest.raises(ResourceError, match="not in any"):
                await wire.vip(address).start({})
        await vip.stop()

    wire.run(scenario)


def test_another_vip_is_no_address_of_the_nodes_own(wire: Wire) -> None:
    first, second = wire.vip(V4), wire.vip("10.77.0.31/24")

    async def scenario() -> None:
        await first.start({})
        promote(1)
        ip("-n", wire.here, "addr", "del", OWN4, "dev", "node")
        assert f" {V4} " in wire.addresses()
        with pytest.raises(ResourceError, match="not in any"):
            await second.start({})
        await first.stop()

    wire.run(scenario)


def test_a_vip_that_was_put_there_by_hand_is_put_in_its_place_by_a_start(wire: Wire) -> None:
    """The node's own address was renewed while nothing looked after the VIP: it is the first of its network."""

    async def scenario(vip: Vip) -> None:
        ip("-n", wire.here, "addr", "flush", "dev", "node")
        for address in (vip.spec.options.address, OWN4, OWN6):
            put_on(wire, address)
        await vip.start({})
        assert source(wire, vip.ip.version) == ("10.77.0.1" if vip.ip.version == 4 else "fd77::1")
        await vip.stop()
        assert OWN4 in wire.addresses() and OWN6 in wire.addresses()

    for address in (V4, V6):
        wire.run(functools.partial(scenario, wire.vip(address)))


def test_an_ipv6_vip_that_is_made_a_preferred_one_is_deprecated_again(wire: Wire) -> None:
    vip = wire.vip(V6)

    def lines() -> list[str]:
        return [line for line in wire.addresses().splitlines() if f" {V6} " in line]

    async def scenario() -> None:
        reports = Reports()
        await vip.start({})
        async with reports.watching(vip):
            lasts = ("valid_lft", "forever", "preferred_lft", "forever")
            ip("-n", wire.here, "addr", "change", V6, "dev", "node", *lasts)
            await reports.expect("running", "not deprecated any more")
            assert all("deprecated" in line for line in lines())
            assert source(wire, 6) == "fd77::1"
        await vip.stop()

    wire.run(scenario)
