"""How this node asks its HAProxy, tells the others and notes events: against a real socket that answers as HAProxy
does."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from election.memory_store import MemoryStore
from election.store import StoreAuthError
from hactl.admin import health_store
from hactl.config.node import NodeConfig
from hactl.daemon.observe import health
from hactl.daemon.observe.health import HealthFollower, servers
from hactl.haproxy.control.runtime import ServerState
from hactl.status.health import NodeHealth, ProbeHealth, ServerHealth
from tests.support.scene import KEYS, Scene
from tests.support.stand_in import StandIn
from tests.support.waiting import wait_until

DEADLINE_S = 10.0

FIELDS = (
    "pxname", "svname", "scur", "status", "weight", "act", "lastchg", "type", "check_status", "last_chk", "check_desc",
    "addr", "uweight",
)  # fmt: skip
STATES = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight …\n"


def state(server: str, status: str, weight: int = 100, sessions: int = 0, check: str = "L4OK") -> ServerState:
    return ServerState("api", server, "10.0.0.1:1", status, True, weight, sessions, check, f"{check} words", 30)


@dataclass
class Haproxy:
    """Answers on a socket of the statistics kind. `asked`: the commands, in their order."""

    path: str
    servers: dict[str, ServerState] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    running: bool = True
    error: str = ""

    def show(self, *states: ServerState) -> None:
        self.servers = {server.server: server for server in states}

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            command = (await reader.read()).decode().strip()
            self.asked.append(command)
            writer.write(self._answer(command).encode())
            writer.close()

        server = await asyncio.start_unix_server(answer, self.path)
        try:
            yield
        finally:
            server.close()

    def _answer(self, command: str) -> str:
        match command:
            case "show servers state":
                return STATES + "".join(
                    f"2 api 1 {server.server} 10.0.0.1 {int(server.status.startswith('UP')) * 2} 0 {server.weight} 1 9 "
                    f"{len(server.check)} 3 4 6 0 0 0 - 1 - 0 0 - - 0\n"
                    for server in self.servers.values()
                )
            case "show stat -1 4 -1":
                rows = [",".join(FIELDS), *(_row(server) for server in self.servers.values())]
                return "# " + "\n".join(rows) + "\n"
            case "show info":
                return "Name: HAProxy\nVersion: 2.6.12-1+deb12u4\nPid: 7\n"
            case _:  # the master
                return (
                    "#<PID> <type> <reloads> <uptime> <version>\n1 master 0 0d00h00m01s 2.6\n# workers\n# old workers\n"
                )

    # In place of the manager, for the follower.

    @property
    def settings(self) -> Any:
        return SimpleNamespace(stats_socket=self.path, master_socket=self.path)

    def status(self) -> Any:
        return SimpleNamespace(running=self.running, pid=7, error=self.error, file="f00d")


def _row(server: ServerState) -> str:
    return ",".join(
        str(value)
        for value in (
            server.proxy, server.server, server.sessions, server.status, 1, 1, server.changed_s, 2, server.check,
            server.detail, "", server.address, server.weight,
        )
    )  # fmt: skip


class Node:
    """n2 with its follower."""

    def __init__(self, place: Path) -> None:
        self.scene = Scene(MemoryStore())
        self.scene.join("n1", "n2")
        self.scene.delete(KEYS.health("n2"))
        self.haproxy = Haproxy(str(place / "stats"))
        self.haproxy.show(state("n1", "UP"), state("n2", "UP"))
        self.stand_in = StandIn(self.scene, NodeConfig(cluster="demo", node="n2"))
        self.stand_in.haproxy = self.haproxy  # type: ignore[assignment]
        self.stand_in.state.view.load(self.scene.store.snapshot(KEYS.prefix, timeout_s=5))
        session = self.stand_in.state.view.sessions["n2"]
        self.stand_in.state.session.session_id, self.stand_in.state.session.session_revision = (
            session.record.session_id,
            session.create_revision,
        )
        self.noted: list[tuple[str, dict[str, Any]]] = []
        self.follower = HealthFollower(self.stand_in, lambda event, data: self.noted.append((event, data)))

    def told(self) -> NodeHealth | None:
        return health_store.read_own(self.scene.store, KEYS, "n2")

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        async with self.haproxy.serve():
            running = asyncio.create_task(self.follower.run())
            try:
                yield
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    """In a hurry."""
    monkeypatch.setattr(health, "ASK_S", 0.02)
    monkeypatch.setattr(health, "FAST_S", 0.02)
    monkeypatch.setattr(health, "WRITE_S", 0.05)
    monkeypatch.setattr(health, "RETRY_S", 0.05)
    return Node(tmp_path)


def test_health_of_servers() -> None:
    known = servers([state("n1", "UP 1/3"), state("n2", "DOWN 1/2", sessions=4, check="L4CON")], {}, 1000.5)
    assert known == {"api": {"n1": ServerHealth(), "n2": ServerHealth("DOWN", 100, 4, "L4CON", "L4CON words", 970)}}
    later = servers([state("n2", "DOWN", check="L4TOUT")], known, 2000.0)
    assert later["api"]["n2"].since == 970  # HAProxy's own count began anew
    drained = servers([state("n2", "UP", weight=0, sessions=2)], later, 2000.0)["api"]["n2"]
    assert (drained.sessions, drained.since, drained.check) == (2, 1970, "")


def test_only_changes_are_written_and_details_are_read_only_then(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "DETAILS_S", 0.0)

    async def main() -> None:
        async with node.following():
            await wait_until(node.told)
            told = node.told()
            assert told is not None and (told.version, told.running, told.session_id) == ("2.6.12", True, "s-n2")
            assert told.services == {"api": {"n1": ServerHealth(), "n2": ServerHealth()}}
            before, asked = node.scene.store.snapshot("/", timeout_s=5).revision, len(node.haproxy.asked)
            await wait_until(lambda: len(node.haproxy.asked) > asked + 10)
            assert set(node.haproxy.asked[asked:]) == {"show servers state"}
            assert node.scene.store.snapshot("/", timeout_s=5).revision == before
            node.haproxy.show(state("n1", "UP"), state("n2", "DOWN", check="L4CON"))
            await wait_until(lambda: (told := node.told()) is not None and told.services["api"]["n2"].down)

    asyncio.run(main())


def test_sessions_that_are_to_end_are_counted(node: Node) -> None:
    def sessions() -> int | None:
        told = node.told()
        return told.services["api"]["n2"].sessions if told else None

    async def main() -> None:
        node.haproxy.show(state("n1", "UP", sessions=50), state("n2", "DRAIN", weight=0, sessions=3))
        async with node.following():
            for left in (3, 2, 0):
                node.haproxy.show(state("n1", "UP", sessions=50), state("n2", "DRAIN", weight=0, sessions=left))
                await wait_until(lambda n=left: sessions() == n)  # type: ignore[misc]
                assert node.told().services["api"]["n1"].sessions == 0  # type: ignore[union-attr]

    asyncio.run(main())


def test_other_words_of_a_check_wait(node: Node) -> None:
    async def main() -> None:
        node.haproxy.show(state("n1", "DOWN", check="L4CON"))
        async with node.following():
            await wait_until(node.told)
            node.haproxy.show(state("n1", "DOWN", check="L4TOUT"))
            await wait_until(lambda: node.follower.health.services["api"]["n1"].check == "L4TOUT")  # type: ignore[union-attr]
            asked = len(node.haproxy.asked)
            await wait_until(lambda: len(node.haproxy.asked) > asked + 10)
            assert node.told().services["api"]["n1"].check == "L4CON"  # type: ignore[union-attr]

    asyncio.run(main())


def test_a_haproxy_that_ends_and_one_that_does_not_answer(node: Node) -> None:
    async def main() -> None:
        async with node.following():
            await wait_until(node.told)
            node.haproxy.running = False
            node.haproxy.error = "it does not start"
            await wait_until(lambda: (told := node.told()) is not None and not told.running)
            told = node.told()
            assert told is not None and (told.services, told.error, told.version) == ({}, "it does not start", "")
            node.haproxy.running, node.haproxy.error = True, ""
            os.unlink(node.haproxy.path)  # noqa: PTH108 - at once
            await wait_until(lambda: (told := node.told()) is not None and "cannot ask HAProxy" in told.error)

    asyncio.run(main())


def test_in_the_name_of_a_session_that_is_over_nothing_is_written(node: Node) -> None:
    async def main() -> None:
        node.scene.kill("n2")
        async with node.following():
            asked = len(node.haproxy.asked)
            await wait_until(lambda: len(node.haproxy.asked) > asked + 10)
            assert node.told() is None
            node.scene.join("n2")
            node.scene.delete(KEYS.health("n2"))
            node.stand_in.state.session.session_revision = node.scene.view.sessions["n2"].create_revision
            await wait_until(node.told)

    asyncio.run(main())


def test_a_store_that_refuses_is_told_in_the_log_and_tried_again(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(health.log, "warning", lambda event, **data: said.append(event))
    real, refused = health_store.write, [0]

    def write(*args: Any) -> bool:
        refused[0] += 1
        if refused[0] < 4:
            raise StoreAuthError("no permission")
        return real(*args)

    monkeypatch.setattr(health_store, "write", write)

    async def main() -> None:
        async with node.following():
            await wait_until(node.told)

    asyncio.run(main())
    assert said == ["health_refused"]


def test_events_noted_before_a_restart_are_not_noted_again(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hactl.status.health_events.SETTLE_S", 0.0)
    monkeypatch.setattr("hactl.status.health_events.RECOVER_S", 0.0)
    down = ServerHealth("DOWN", check="L4CON", since=123)
    node.scene.balance("n2", {"n3": down}, probes={"api": ProbeHealth("failed", 1.0)})

    async def main() -> None:
        node.haproxy.show(state("n1", "UP"), state("n2", "DOWN"), state("n3", "DOWN", check="L4CON"))
        async with node.following():
            await wait_until(lambda: node.noted)
            assert [(event, data["server"]) for event, data in node.noted] == [
                ("server_down", "n2"), ("service_on_last_server", "n1"),
            ]  # fmt: skip
            await wait_until(lambda: (told := node.told()) is not None and told.services["api"]["n2"].down)
            assert node.told().services["api"]["n3"].since == 123  # type: ignore[union-attr]

    asyncio.run(main())


def test_probes_are_part_of_it(node: Node) -> None:
    async def main() -> None:
        async with node.following():
            await wait_until(node.told)
            probe = ProbeHealth("completed", 12.5, "", 1)
            node.follower.probed("api", probe)
            await wait_until(lambda: (told := node.told()) is not None and told.probes == {"api": probe})
            node.follower.probed("api", None)
            await wait_until(lambda: (told := node.told()) is not None and not told.probes)

    asyncio.run(main())
