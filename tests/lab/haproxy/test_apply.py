"""A new configuration is taken without losing a request, or not at all."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import uuid
from dataclasses import replace
from typing import Any

import pytest

from hactl.haproxy.control.manager import HaproxyManager
from tests.lab.haproxy.haproxy_lab import Lab, free_port
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def test_changes_under_load_lose_no_request(lab: Lab) -> None:
    """Reloads and changes at run time, mixed."""
    steps: list[tuple[dict[str, Any], str, str]] = [
        # A dynamic server cannot have `tcp-ut`.
        ({"names": "abc"}, "reload", "abc"),
        ({"names": "ac"}, "runtime", "ac"),
        ({"names": "ac", "retries": 4}, "reload", "ac"),
        ({"names": "abc", "retries": 4}, "reload", "abc"),
        ({"names": "abc", "retries": 4, "drained": "a"}, "runtime", "bc"),
        ({"names": "bc", "retries": 4}, "runtime", "bc"),
        ({"names": "bc", "retries": 3}, "reload", "bc"),
        ({"names": "b", "retries": 3}, "runtime", "b"),
    ]

    async def scenario() -> None:
        manager = lab.manager()
        async with lab.servers("a", "b", "c"):
            assert (await manager.ensure(lab.config(names="ab"))).step == "start"
            async with lab.client() as client:
                await client.more()
                for options, step, names in steps:
                    result = await manager.ensure(lab.config(**options))
                    assert (result.step, result.changed, result.error) == (step, True, "")
                    assert result.reason
                    client.answers.clear()
                    await client.more()
                    # Those asked before the change have been answered by now.
                    assert set(client.answers[-20:]) == set(names)
                assert client.errors == []
        assert manager.status().reloads == {"ok": 4, "failed": 0, "invalid": 0}
        assert manager.status().changes == 4
        assert set(lab.kinds()) == {"started", "changed", "reloaded"}
        await manager.stop()

    asyncio.run(scenario())


def test_nothing_is_done_when_nothing_has_changed(lab: Lab) -> None:
    async def scenario() -> None:
        manager = lab.manager()
        await manager.ensure(lab.config(revision=1))
        before = lab.installed()
        result = await manager.ensure(lab.config(revision=2))
        assert (result.step, result.changed, result.error) == ("none", False, "")
        assert lab.installed() == before
        assert lab.kinds() == ["started"]
        await manager.stop()

    asyncio.run(scenario())


def test_an_invalid_file_is_refused_in_haproxys_words_and_the_old_one_serves(lab: Lab) -> None:
    async def scenario() -> None:
        manager = lab.manager()
        async with lab.servers("a", "b"):
            await manager.ensure(lab.config(names="a"))
            old = lab.installed()
            async with lab.client() as client:
                await client.more()
                result = await manager.ensure(lab.config(names="ab", extra=["bond :1"]))
                assert (result.step, result.changed) == ("none", False)
                assert "unknown keyword 'bond'" in result.error
                assert manager.status().error == result.error
                await client.more()
                assert client.errors == []
                assert set(client.answers) == {"a"}
            assert lab.installed() == old
            assert lab.kinds() == ["started", "invalid"]
            assert (await manager.ensure(lab.config(names="ab"))).error == ""
            assert manager.status().error == ""
        await manager.stop()

    asyncio.run(scenario())


def test_an_address_that_another_program_holds_costs_no_request(lab: Lab) -> None:
    async def scenario() -> None:
        manager = lab.manager()
        async with lab.servers("a"):
            await manager.ensure(lab.config(names="a"))
            with socket.socket() as other:
                other.bind(("127.0.0.1", 0))
                other.listen()
                taken = f"127.0.0.1:{other.getsockname()[1]}"
                async with lab.client() as client:
                    await client.more()
                    result = await manager.ensure(lab.config(names="a", binds=(taken,)))
                    assert f"could not bind {taken}: Address already in use" in result.error
                    await client.more()
                    assert client.errors == []
            assert (await manager.ensure(lab.config(names="a", binds=(taken,)))).step == "reload"
        await manager.stop()

    asyncio.run(scenario())


def test_a_reload_that_fails_is_reported_and_taken_back(lab: Lab) -> None:
    """By a unix socket in a directory that is not there: neither `haproxy -c` nor the daemon looks there."""

    async def scenario() -> None:
        manager = lab.manager()
        async with lab.servers("a"):
            await manager.ensure(lab.config(names="a"))
            old = lab.installed()
            result = await manager.ensure(lab.config(names="a", binds=("/nowhere/hactl.sock",)))
            assert (result.step, result.changed) == ("none", False)
            assert "/nowhere/hactl.sock" in result.error
            assert lab.installed() == old
            assert lab.kinds() == ["started", "reload_failed"]
            assert manager.status().reloads["failed"] == 1
            await lab.ask()
            assert (await manager.ensure(lab.config(names="ab"))).step == "reload"
            await lab.ask()
        await manager.stop()

    asyncio.run(scenario())


def test_a_start_that_fails_falls_back_to_the_configuration_that_ran_last(lab: Lab) -> None:
    async def scenario() -> None:
        first = lab.manager()
        async with lab.servers("a"):
            bad = lab.config(names="a", binds=("/nowhere/hactl.sock",))
            result = await first.ensure(bad)
            assert "does not start" in result.error and "/nowhere/hactl.sock" in result.error
            assert not first.status().running
            await first.ensure(lab.config(names="a"))
            await first.close()
            await first._process.stop()
            manager = lab.manager()
            assert "/nowhere/hactl.sock" in (await manager.ensure(bad)).error
            assert manager.status().running
            await lab.ask()
        await manager.stop()

    asyncio.run(scenario())


def test_servers_that_die_are_seen_and_cost_no_request(lab: Lab) -> None:
    async def scenario() -> None:
        manager = lab.manager()
        async with lab.servers("a", "b", "c") as servers:
            await manager.ensure(lab.config(live="ab"))
            async with lab.client() as client:
                await client.more()
                # c's daemon is not heard: its server has a hundredth.
                assert client.answers.count("c") <= 3 + len(client.answers) // 100
                servers["a"].close()
                await client.more()
                assert await up(manager, 2) == {"b", "c"}
                servers["b"].close()
                client.answers.clear()
                await client.more()
                assert await up(manager, 1) == {"c"}
                assert client.errors == []
                assert "c" in client.answers
            states = {state.server: state for state in await manager.server_states()}
            assert [states[name].weight for name in "abc"] == [100, 100, 1]
            assert states["a"].check == "L4CON"
            assert states["a"].address == f"127.0.0.1:{lab.server_port}"
        await manager.stop()

    asyncio.run(scenario())


def test_a_node_that_is_silent_costs_no_request(lab: Lab) -> None:
    async def scenario() -> None:
        manager = lab.manager()
        async with lab.servers("a", "b"):
            with lab.silent("c"):
                # Taken for well until its first checks and requests have failed.
                await manager.ensure(lab.config())
                async with lab.client() as client:
                    await client.more()
                    assert await up(manager, 2) == {"a", "b"}
                    states = {state.server: state for state in await manager.server_states()}
                    assert states["c"].check in ("L4TOUT", "HANA")
                    assert client.errors == []
        await manager.stop()

    asyncio.run(scenario())


async def up(manager: HaproxyManager, count: int) -> set[str]:
    servers: set[str] = set()
    async with asyncio.timeout(20):
        while len(servers) != count:
            servers = {state.server for state in await manager.server_states() if state.up}
            await asyncio.sleep(0.01)
    return servers


def test_without_a_service_it_is_stopped(lab: Lab) -> None:
    async def scenario() -> None:
        manager = lab.manager()
        nothing = lab.config().partition("\nlisten ")[0]
        assert (await manager.ensure(nothing)).step == "none"
        await manager.ensure(lab.config())
        assert (await manager.ensure(nothing)).step == "stop"
        assert not manager.status().running
        assert (await manager.ensure(lab.config())).step == "start"
        await wait_until(lambda: manager.status().running, "running")
        await manager.stop()

    asyncio.run(scenario())


def test_a_program_that_is_not_installed_is_named(lab: Lab) -> None:
    async def scenario() -> None:
        settings = replace(lab.settings, binary="haproxy-of-another-name")
        result = await HaproxyManager(settings, lab.context).ensure(lab.config())
        assert "haproxy-of-another-name is not installed" in result.error

    asyncio.run(scenario())


# In a network namespace of its own, without the addresses that it binds.
FOREIGN = """
import asyncio, sys
from pathlib import Path
from hactl.haproxy.control.manager import HaproxyManager
from hactl.haproxy.settings import HaproxySettings
from hactl.resources.base import NodeContext

async def main():
    text, run_dir, state_dir = sys.argv[1:]
    manager = HaproxyManager(HaproxySettings(run_dir), NodeContext("a", state_dir, None))
    try:
        refused = await manager.ensure(Path(text).read_text(), manage_sysctl=False)
        assert "sysctl -w net.ipv4.ip_nonlocal_bind=1" in refused.error, refused
        assert not manager.status().running
        done = await manager.ensure(Path(text).read_text())
        assert done.step == "start", done
        sysctl = Path("/proc/sys/net")
        values = [(sysctl / family / "ip_nonlocal_bind").read_text() for family in ("ipv4", "ipv6")]
        assert values == ["1\\n", "1\\n"], values
    finally:
        await manager.stop()

asyncio.run(main())
"""


def test_addresses_of_another_node_are_bound(lab: Lab) -> None:
    binds = (f"192.0.2.30:{free_port()}", f"[2001:db8::30]:{free_port()}")
    file = lab.directory / "wanted.cfg"
    file.write_text(lab.config(binds=binds))
    namespace = f"hx-{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", namespace], check=True, timeout=20)
    try:
        subprocess.run(["ip", "-n", namespace, "link", "set", "lo", "up"], check=True, timeout=20)
        argv = [sys.executable, "-c", FOREIGN, str(file), lab.settings.run_dir, lab.context.state_dir]
        inside = ["ip", "netns", "exec", namespace, *argv]
        done = subprocess.run(inside, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
    finally:
        subprocess.run(["ip", "netns", "delete", namespace], check=True, timeout=20)
