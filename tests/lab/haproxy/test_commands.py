"""Changes by commands: their effect on sessions and on the state of checks, and changes made by hand."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable

import pytest

from hactl.haproxy.control import manager as manager_module
from hactl.haproxy.control.commands import CommandError, ask_all, carry_out
from hactl.haproxy.control.files import ConfigFiles
from hactl.haproxy.control.manager import HaproxyManager
from hactl.haproxy.diff.step import Command
from tests.lab.haproxy.haproxy_lab import DEADLINE_S, NODES, Lab, free_port
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def by_hand(lab: Lab, *commands: str) -> None:
    await ask_all(lab.settings.stats_socket, commands, (), DEADLINE_S)


async def until_states(manager: HaproxyManager, condition: Callable[[dict[str, str]], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition(await states(manager)):  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)


async def states(manager: HaproxyManager) -> dict[str, str]:
    return {server_state.server: server_state.status for server_state in await manager.server_states()}


def dynamic(text: str) -> str:
    """Without the settings that a server added by command cannot have."""
    return text.replace(" tcp-ut 3s", "")


@contextlib.asynccontextmanager
async def greeters(lab: Lab, *names: str) -> AsyncIterator[None]:
    """Servers that say their node's name and then nothing."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = writer.get_extra_info("sockname")[0]
        with contextlib.suppress(OSError):
            writer.write("abc"[NODES.index(address)].encode())
            await reader.read()
        writer.close()

    async with contextlib.AsyncExitStack() as stack:
        for name in names:
            server = await asyncio.start_server(greet, NODES["abc".index(name)], lab.server_port)
            await stack.enter_async_context(server)
        yield


async def connected_to(lab: Lab, name: str) -> Streams:
    """A session through HAProxy with that node, however many others it takes to get one."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", lab.port)
            if await reader.read(1) == name.encode():
                return reader, writer
            writer.close()
            await asyncio.sleep(0.005)


async def is_cut(session: Streams) -> None:
    async with asyncio.timeout(DEADLINE_S):
        with contextlib.suppress(ConnectionResetError):
            assert await session[0].read() == b""
    session[1].close()


def writer(lab: Lab, owner: str | None, **options: object) -> str:
    return lab.config(mode="tcp", owner=owner, writer="elected", group="vip", **options)


def test_a_switch_of_the_writer_cuts_every_session_with_the_old_one(lab: Lab) -> None:
    """Also those of a worker that a reload has replaced, and though nothing else of the new configuration will do."""

    async def scenario() -> None:
        manager = lab.manager()
        async with greeters(lab, "a", "b", "c"):
            await manager.ensure(writer(lab, "a"))
            before_reload = await connected_to(lab, "a")
            assert (await manager.ensure(writer(lab, "a", retries=5))).step == "reload"
            after_reload = await connected_to(lab, "a")
            result = await manager.ensure(writer(lab, "b", extra=["bond :1"]))
            assert "unknown keyword 'bond'" in result.error
            await is_cut(before_reload)
            await is_cut(after_reload)
            (await connected_to(lab, "b"))[1].close()
            assert "MAINT" in (await states(manager))["a"]
            assert (await manager.ensure(writer(lab, "c"))).step == "reload"
            # Without an owner there is no writer.
            assert (await manager.ensure(writer(lab, None, retries=5))).step == "reload"
            assert set((await states(manager)).values()) == {"MAINT"}
            assert (await manager.ensure(writer(lab, "a", retries=5))).step == "runtime"
            (await connected_to(lab, "a"))[1].close()
        await manager.stop()

    asyncio.run(scenario())


def test_a_server_that_is_removed_keeps_its_sessions_and_goes_with_the_last(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager_module, "_LOOK_SOON_S", 0.05)

    async def scenario() -> None:
        manager = lab.manager()
        async with greeters(lab, "a", "b", "c"):
            await manager.ensure(lab.config(mode="tcp"))
            _, connection = await connected_to(lab, "c")
            assert (await manager.ensure(lab.config(mode="tcp", names="ab"))).step == "runtime"
            assert (await states(manager))["c"] == "MAINT"
            for _ in range(6):
                reader, other = await asyncio.open_connection("127.0.0.1", lab.port)
                assert await reader.read(1) in b"ab"
                other.close()
            assert not connection.is_closing()
            connection.close()
            await until_states(manager, lambda seen: "c" not in seen)
            # The change was not made by hand.
            assert lab.kinds() == ["started", "changed"]
        await manager.stop()

    asyncio.run(scenario())


def test_servers_are_added_and_checked(lab: Lab) -> None:
    async def scenario() -> None:
        manager = lab.manager()
        async with lab.servers("a", "b") as servers:
            await manager.ensure(dynamic(lab.config(names="a")))
            assert (await manager.ensure(dynamic(lab.config(names="ab")))).step == "runtime"
            async with lab.client() as client:
                await wait_until(lambda: set(client.answers) == {"a", "b"}, "both answer")
                servers["b"].close()
                await until_states(manager, lambda seen: seen["b"].startswith("DOWN"))
                assert client.errors == []
        await manager.stop()

    asyncio.run(scenario())


def test_a_command_that_haproxy_refuses_is_done_by_a_reload(lab: Lab) -> None:
    async def scenario() -> None:
        manager = lab.manager()
        async with lab.servers("a", "b"):
            await manager.ensure(dynamic(lab.config(names="a")))
            await by_hand(lab, "add server web/b 127.0.0.9:1")
            result = await manager.ensure(dynamic(lab.config(names="ab")))
            assert (result.step, result.error) == ("reload", "")
            assert "Already exists a server with the same name" in result.reason
            assert lab.kinds() == ["started", "change_failed", "reloaded"]
            async with lab.client() as client:
                await wait_until(lambda: set(client.answers) == {"a", "b"}, "both answer")
        await manager.stop()

    asyncio.run(scenario())


def test_a_server_that_is_down_is_not_taken_for_well_after_a_reload(lab: Lab) -> None:
    """One that serves, if badly: its checks fail and nothing else."""

    async def scenario() -> None:
        manager = lab.manager()
        check = {"kind": "http", "path": "/", "expect_status": "200", "inter_ms": 200, "downinter_ms": 60_000}
        port = free_port()

        async def sick(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 503 Sick\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()

        def config(**options: object) -> str:
            text = lab.config(names="ab", **options)
            return text.replace(f"127.0.0.2:{lab.server_port}", f"127.0.0.2:{lab.server_port} port {port}")

        async with lab.servers("a", "b"), await asyncio.start_server(sick, NODES[1], port):
            await manager.ensure(config(check=check))
            await until_states(manager, lambda seen: seen["b"] == "DOWN")
            async with lab.client() as client:
                await client.more()
                client.answers.clear()
                for retries in (4, 5, 6):
                    assert (await manager.ensure(config(check=check, retries=retries))).step == "reload"
                    assert (await states(manager))["b"] == "DOWN"
                    await client.more()
                assert set(client.answers) == {"a"}
                assert client.errors == []
        await manager.stop()

    asyncio.run(scenario())


def test_a_reload_brings_back_nothing_that_was_set_by_command(lab: Lab) -> None:
    """A weight was set by command, and the new file has the first one again: HAProxy's own dump would win."""

    async def scenario() -> None:
        manager = lab.manager()
        async with lab.servers("a", "b", "c"):
            await manager.ensure(lab.config())
            assert (await manager.ensure(lab.config(drained="c"))).step == "runtime"
            assert (await manager.ensure(lab.config(retries=7))).step == "reload"
            assert {
                server_state.server: server_state.weight for server_state in await manager.server_states()
            } == dict.fromkeys("abc", 100)
            # It did not have to be put right.
            assert lab.kinds() == ["started", "changed", "reloaded"]
        await manager.stop()

    asyncio.run(scenario())


def test_changes_by_hand_are_put_right_and_reported(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager_module, "_LOOK_EVERY_S", 0.05)

    async def scenario() -> None:
        manager = lab.manager()
        async with lab.servers("a", "b", "c"):
            await manager.ensure(dynamic(lab.config()))
            await by_hand(
                lab,
                "set server web/a weight 3",
                "set server web/b state drain",
                "disable health web/c",
                "add server web/d 127.0.0.4:1",
                "set server web/d state ready",
            )
            await wait_until(lambda: "mended" in lab.kinds(), "mended")
            wanted = {"a weighed 3, not 100", "b was drained", "c was not checked", "d is not in the file"}
            told = {part.removeprefix("web/") for event in lab.events for part in event.detail.split("; ") if part}
            assert wanted <= told
            await until_states(manager, lambda seen: "d" not in seen)
            assert {
                server_state.server: server_state.weight for server_state in await manager.server_states()
            } == dict.fromkeys("abc", 100)
            await by_hand(lab, "set server web/c state maint", "del server web/c")
            await wait_until(lambda: lab.kinds()[-1] == "reloaded", "reloaded")
            assert set(await states(manager)) == set("abc")
        await manager.stop()

    asyncio.run(scenario())


def test_after_a_restart_servers_are_as_they_were_changed(lab: Lab) -> None:
    async def scenario() -> None:
        manager = lab.manager()
        async with lab.servers("a", "b"):
            await manager.ensure(lab.config(names="ab"))
            assert (await manager.ensure(lab.config(names="ab", drained="b"))).step == "runtime"
            master = manager.status().pid
            assert master is not None
            os.kill(master, signal.SIGKILL)
            await wait_until(lambda: lab.kinds()[-2:] == ["died", "started"], "started again")
            assert {server_state.server: server_state.weight for server_state in await manager.server_states()} == {
                "a": 100,
                "b": 0,
            }
        await manager.stop()

    asyncio.run(scenario())


def test_a_change_that_a_dead_daemon_left_undone_is_done(lab: Lab) -> None:
    async def scenario() -> None:
        first = lab.manager()
        await first.ensure(lab.config())
        await first.close()
        # It had recorded the change before making it.
        ConfigFiles(lab.settings).note_good(lab.config(drained="b"))
        manager = lab.manager()
        assert await manager.resume()
        assert {server_state.server: server_state.weight for server_state in await manager.server_states()} == {
            "a": 100,
            "b": 0,
            "c": 100,
        }
        assert (await manager.ensure(lab.config(drained="b"))).step == "none"
        await manager.stop()

    asyncio.run(scenario())


def test_every_answer_counts(lab: Lab) -> None:
    async def scenario() -> None:
        manager = lab.manager()
        await manager.ensure(lab.config())
        socket = lab.settings.stats_socket
        many = [Command("weight", "web", name, str(weight)) for weight in range(200) for name in "abc"]
        await carry_out(socket, many, (), DEADLINE_S)
        assert {server_state.weight for server_state in await manager.server_states()} == {199}
        refused = [Command("weight", "web", "a", "1"), Command("weight", "web", "x", "1"), Command("ready", "web", "b")]
        with pytest.raises(CommandError, match=r"No such server\.' to `set server web/x weight 1`"):
            await carry_out(socket, refused, (), DEADLINE_S)
        await manager.stop()

    asyncio.run(scenario())
