"""A VIP that is there already, or again, in an unusable form, or in a place where it does harm."""

from __future__ import annotations

import asyncio
import os

import pytest

from tests.support.namespaces import ip
from tests.support.waiting import until

from .wire import OWN4, OWN6, V4, V6, Reports, Wire

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def line_of(wire: Wire, address: str) -> str:
    return next((line for line in wire.addresses().splitlines() if f" {address} " in line), "")


def spoil(wire: Wire) -> None:
    """Another station has the address while it is put on by hand: the kernel gives it up, and keeps it as refused."""
    ip("-n", wire.there, "addr", "add", V6, "dev", "peer", "nodad")
    ip("-n", wire.here, "addr", "add", V6, "dev", "node", "preferred_lft", "0")
    until(lambda: "dadfailed" in line_of(wire, V6))
    ip("-n", wire.there, "addr", "del", V6, "dev", "peer")


def test_an_address_that_the_kernel_refused_is_made_usable_by_a_start(wire: Wire) -> None:
    vip = wire.vip(V6)

    async def scenario() -> None:
        await asyncio.to_thread(spoil, wire)
        await vip.start({})
        assert "dadfailed" not in line_of(wire, V6) and "tentative" not in line_of(wire, V6)
        await vip.stop()

    wire.run(scenario)


def test_one_that_is_put_back_by_hand_and_refused_is_made_usable(wire: Wire) -> None:
    vip = wire.vip(V6)

    async def scenario() -> None:
        reports = Reports()
        await vip.start({})
        async with reports.watching(vip):
            ip("-n", wire.there, "addr", "add", V6, "dev", "peer", "nodad")
            # Before anything else looks, which is woken by this loop only.
            ip("-n", wire.here, "addr", "del", V6, "dev", "node")
            ip("-n", wire.here, "addr", "add", V6, "dev", "node", "preferred_lft", "0")
            await reports.expect("running", "was not in use")
            ip("-n", wire.there, "addr", "del", V6, "dev", "peer")
            assert "dadfailed" not in line_of(wire, V6) and "tentative" not in line_of(wire, V6)
        await vip.stop()

    wire.run(scenario)


@pytest.mark.parametrize(("address", "own"), [(V4, OWN4), (V6, OWN6)])
def test_a_copy_on_another_interface_is_taken_off_by_a_start(wire: Wire, address: str, own: str) -> None:
    ip("-n", wire.here, "link", "add", "other", "type", "veth", "peer", "name", "end")
    ip("-n", wire.here, "link", "set", "other", "up")
    ip("-n", wire.here, "addr", "add", address, "dev", "other", "noprefixroute")
    vip = wire.vip(address, interface="node", announce_interval_ms=100)

    async def scenario() -> None:
        await vip.start({})
        assert address in wire.addresses()
        assert f" {address} " not in ip("-n", wire.here, "-o", "addr", "show", "dev", "other")
        reports = Reports()
        async with reports.watching(vip):
            ip("-n", wire.here, "addr", "add", address, "dev", "other", "noprefixroute")
            await reports.expect("running", "other")
            assert f" {address} " not in ip("-n", wire.here, "-o", "addr", "show", "dev", "other")
        await vip.stop()

    wire.run(scenario)


def test_one_with_a_peer_or_a_label_is_taken_off(wire: Wire) -> None:
    vip = wire.vip(V4)

    async def scenario() -> None:
        host = V4.partition("/")[0]
        for words in ((host, "peer", "10.77.0.99/32"), (V4, "label", "node:vip"), (f"{host}/32", "label", "node:1")):
            ip("-n", wire.here, "addr", "add", *words, "dev", "node")
            await vip.stop()
            assert host not in wire.addresses()

    wire.run(scenario)


def test_it_follows_the_nodes_own_address_to_another_interface(wire: Wire) -> None:
    """As when a bridge is put above an interface: without `interface` it is found anew before a start."""
    vip = wire.vip(V4)

    async def scenario() -> None:
        assert vip.guard_steps()[0]["interface"] == "node"
        await vip.start({})
        await vip.stop()
        ip("-n", wire.here, "link", "add", "above", "type", "bridge")
        ip("-n", wire.here, "addr", "flush", "dev", "node")
        ip("-n", wire.here, "link", "set", "node", "master", "above")
        ip("-n", wire.here, "addr", "add", OWN4, "dev", "above")
        ip("-n", wire.here, "link", "set", "above", "up")
        async with asyncio.timeout(5):
            while why := await vip.ready():
                assert "link of above" in why
                await asyncio.sleep(0.05)
        assert vip.guard_steps()[0]["interface"] == "above"
        await vip.start({})
        assert V4 in ip("-n", wire.here, "-o", "addr", "show", "dev", "above")
        assert vip.guard_steps()[0]["interface"] == "above"
        await vip.stop()

    wire.run(scenario)
