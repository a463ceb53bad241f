"""The VIP on real interfaces: put back, adopted, taken off, refused."""

from __future__ import annotations

import asyncio
import functools
import os
from pathlib import Path

import pytest

from hactl.resources.base import ResourceError
from hactl.resources.vip.interface import check_options, doubtful_options
from tests.support.namespaces import inside, ip
from tests.support.specs import resource_spec

from .wire import V4, V6, Reports, Wire, is_arp

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


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
            wire.close()
            wire.attach()
            await wire.await_frame(lambda seen: is_arp(seen, 2, "10.77.0.30"))
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
