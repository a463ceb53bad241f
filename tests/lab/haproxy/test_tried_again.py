"""The reason for a refusal by HAProxy passes: then HAProxy runs, without anybody's help. With a real HAProxy."""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from pathlib import Path
from typing import Any

import pytest

from hactl.daemon.parts.balancer import Balancer
from hactl.haproxy.control import manager as manager_module
from hactl.haproxy.control.in_group import InGroupManager
from hactl.haproxy.routing import Routing
from hactl.haproxy.wanted import Wanted
from hactl.model.cluster import ClusterSpec, GroupSpec, NodeSpec
from hactl.model.events import HaproxySeen
from tests.lab.haproxy.haproxy_lab import DEADLINE_S, NODES, Lab
from tests.support.specs import haproxy_options, resource_spec, service_spec
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def cluster(lab: Lab) -> ClusterSpec:
    """One node, one service, on the VIP of a group."""
    vip = GroupSpec("vip", (resource_spec("address", "vip", {"address": "127.0.0.1/8"}),))
    service = service_spec("web", (f"127.0.0.1:{lab.port}",), lab.server_port, "http")
    node = NodeSpec("a", NODES[0])
    return ClusterSpec("lab", (node,), (vip,), (service,), haproxy=haproxy_options(log=[], nbthread=1, maxconn=500))


def test_a_port_that_is_in_use_at_first(lab: Lab) -> None:
    async def scenario() -> None:
        noted: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()
        posted: asyncio.Queue[HaproxySeen] = asyncio.Queue()
        balancing = Balancer(
            lab.settings,
            lab.context,
            lambda event, data: noted.put_nowait((event, data)),
            InGroupManager(lab.settings, lab.context),
            post=posted.put_nowait,
        )
        taken = socket.create_server(("127.0.0.1", lab.port))
        await balancing.begin()
        async with lab.servers("a"), asyncio.timeout(DEADLINE_S):
            balancing._wanted = Wanted(cluster(lab), Routing(frozenset("a")), 1)
            balancing.again()
            while (await noted.get())[0] != "haproxy_not_applied":
                pass
            seen = await posted.get()
            assert seen.bound == {"vip"} and "Address already in use" in seen.problem
            taken.close()
            while (await noted.get())[0] != "haproxy_applied":
                pass
            assert await lab.ask() == "a"
            while (await posted.get()).problem:
                pass
        await balancing.close()
        await balancing.manager.stop()
        await lab.context.tasks.close()

    asyncio.run(scenario())


def test_a_server_whose_name_resolves_late(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """HAProxy itself never asks again. The name is one of /etc/hosts."""
    monkeypatch.setattr(manager_module, "_LOOK_EVERY_S", 0.05)
    hosts, before = Path("/etc/hosts"), Path("/etc/hosts").read_text()
    name = f"late-{uuid.uuid4().hex[:8]}.test"

    async def scenario() -> None:
        manager = lab.manager()
        there = f"{NODES[0]}:{lab.server_port}"
        late = f"{name}:{lab.server_port} init-addr last,libc,none"  # as it is rendered for names
        text = lab.config(names="a").replace(f"server a {there}", f"server a {late}")
        async with lab.servers("a"):
            assert not (await manager.ensure(text)).error
            with pytest.raises(OSError, match="503"):
                await lab.ask()
            await asyncio.to_thread(hosts.write_text, f"{before}\n{NODES[0]} {name}\n")
            await wait_until(lambda: "resolved" in lab.kinds(), "the name resolves")
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    try:
                        assert await lab.ask() == "a"
                        break
                    except OSError:
                        await asyncio.sleep(0.01)
            await wait_until(lambda: lab.kinds() == ["started", "resolved", "reloaded"], "it has read its file again")
        await manager.stop()

    try:
        asyncio.run(scenario())
    finally:
        hosts.write_text(before)
