"""The API takes little, from whom may ask: bodies, texts, followers, waits, groups."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import json
import os
import socket
import stat
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from election.memory_store import MemoryStore
from election.records import Identity
from election.store import Put, Txn
from hactl.admin import event_log, nodes
from hactl.admin.requests import Standby
from hactl.cli import client
from hactl.cli.backend import Backend
from hactl.cli.client import NotAllowedError
from hactl.cli.common import CliError
from hactl.config.errors import ConfigErrors
from hactl.config.node import NodeConfig, parse_node
from hactl.daemon.api import routes, shared
from hactl.daemon.api.bodies import LARGEST_BODY
from hactl.daemon.parts import event_feed
from hactl.serving.http import CHUNK
from hactl.serving.limits import Limits
from hactl.status import document
from tests.support.scene import KEYS, Scene
from tests.support.stand_in import StandIn, serving, until

WRITING = (
    "failover", "failover/withdraw", "node/standby", "node/online", "service/drain", "service/undrain", "fence/confirm",
    "fence",
)  # fmt: skip


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    return NodeConfig(cluster="demo", node="n2", run_dir=str(tmp_path), operate_group="", read_group="", http_group="")


@pytest.fixture
def daemon(scene: Scene, config: NodeConfig, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setattr("hactl.daemon.api.routes.LIMITS", Limits(per_second=1e6, burst=1e6))
    with serving(scene, config) as daemon:
        yield daemon


def ask(path: str, request: bytes, *, more: Sequence[bytes] = ()) -> tuple[int, dict[str, Any]]:
    """Status and document of the answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(path)
        try:
            connection.sendall(request)
            for chunk in more:
                connection.sendall(chunk)
        except (BrokenPipeError, ConnectionResetError):
            pass
        raw = b""
        with contextlib.suppress(ConnectionResetError):  # what was not read, it says after its answer
            while chunk := connection.recv(65536):
                raw += chunk
    head, _, body = raw.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def posted(config: NodeConfig, route: str, body: bytes) -> tuple[int, dict[str, Any]]:
    head = f"POST /v1/{route} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    return ask(config.api_socket, head + body)


def rss_kb() -> int:
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1])


def test_a_body_that_is_too_large_is_not_read(daemon: StandIn, config: NodeConfig) -> None:
    head = b"POST /v1/failover HTTP/1.1\r\nHost: x\r\n"
    before = rss_kb()
    for request, more in (
        (head + b"Content-Length: 300000000\r\n\r\n", [b"x" * 65536] * 1000),
        (head + b"Content-Length: 99999999999999999999999\r\n\r\n", ()),
        (head + b"Transfer-Encoding: chunked\r\n\r\n", [b"10000\r\n" + b"x" * 65536 + b"\r\n"] * 1000),
    ):
        code, answer = ask(config.api_socket, request, more=more)
        assert code in (400, 413) and answer["kind"] == "bad"
        assert str(LARGEST_BODY) in answer["error"] or code == 400  # a length that no number holds
    assert rss_kb() - before < 20_000
    assert client.get(config.api_socket, "/v1/healthz", 10)["live"]


ODD = [
    b"", b"x", b"[]", b"null", b'{"group": 1}', b'{"group": null}', b'{"group": ["vip"]}', b'{"group": "vip", "to": 5}',
    b'{"group": "\\ud800", "node": "\\udcff", "service": "\\ud800"}', b'{"group": "\xff"}', b"[" * 60_000,
    b'{"group": ' + b"[" * 60_000, b'{"group": NaN}', b'{"group": 1e999}', b'{"group": "vip", "to": "a\\nb"}',
]  # fmt: skip
ODD_OF = {
    "node/standby": [b'{"node": "n1", "force": "yes"}', b'{"node": "n1", "check": 1}', b'{"node": "n1\\u0000"}'],
    "service/drain": [
        b'{"service": "api", "node": "n3", "reason": "' + b"x" * 201 + b'"}',
        b'{"service": "api", "node": "n3", "reason": "\\u001b[2J"}',
        b'{"service": "api", "node": "n3", "reason": "two\\nlines"}',
    ],
    "fence": [b'{"node": "n1", "action": "on\\u202e"}'],
}


@pytest.mark.parametrize("route", WRITING)
def test_what_is_no_request_is_refused(daemon: StandIn, config: NodeConfig, scene: Scene, route: str) -> None:
    before = scene.view.revision
    for body in (*ODD, *ODD_OF.get(route, ())):
        code, answer = posted(config, route, body)
        assert code == 400 and answer["kind"] == "bad" and answer["error"], (body[:80], answer)
    assert scene.view.revision == before


def test_what_is_no_text_is_named(daemon: StandIn, config: NodeConfig) -> None:
    for body, problem in (
        (b'{"group": "vip", "to": "a\\nb"}', "`to` has the control character \\x0a"),
        (b'{"group": "' + b"x" * 201 + b'"}', "`group` has 201 characters: 200 at most"),
        (b'{"group": 1}', "must be a JSON object with group: Expected `str`, got `int` - at `$.group`"),
    ):
        assert problem in posted(config, "failover", body)[1]["error"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(route=st.sampled_from(WRITING), body=st.binary(max_size=200) | st.from_regex(rb'\{"[a-z]+": .{0,30}\}'))
def test_any_body_has_an_answer(daemon: StandIn, config: NodeConfig, route: str, body: bytes) -> None:
    code, answer = posted(config, route, body)
    assert code in (400, 409) and answer["error"]


def test_a_fault_of_ours_is_an_answer(daemon: StandIn, config: NodeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "online", lambda *_: {}["x"])
    with pytest.raises(CliError, match=r"a fault of hactl's \(KeyError\): its log has more"):
        client.post(config.api_socket, "/v1/node/online", {"node": "n1"}, 10)
    monkeypatch.setattr(document, "status", lambda *_, **__: {}["x"])
    with pytest.raises(CliError, match="a fault of hactl's"):
        client.get(config.api_socket, "/v1/status", 10)


def test_followers_are_few_and_cost_one_watch(daemon: StandIn, config: NodeConfig, scene: Scene) -> None:
    threads = threading.active_count()
    event_log.note(scene.store, KEYS, "n1", "first", {})
    followers = [client.stream(config.api_socket, "/v1/events?follow=1&n=1") for _ in range(event_feed.FOLLOWERS)]
    assert {next(follower)["event"] for follower in followers} == {"first"}
    assert threading.active_count() - threads < 10
    with pytest.raises(CliError, match="too many follow the events"):
        next(client.stream(config.api_socket, "/v1/events?follow=1&n=1"))
    for number in range(3):
        event_log.note(scene.store, KEYS, "n3", f"later-{number}", {})
    for follower in followers:
        assert [next(follower)["event"] for _ in range(3)] == ["later-0", "later-1", "later-2"]
    followers.pop().close()
    with_place = until(lambda: _joined(config), "the place of one that left is free")
    assert with_place["event"] == "later-2"
    for follower in followers:
        follower.close()


def _joined(config: NodeConfig) -> dict[str, Any] | None:
    lines = client.stream(config.api_socket, "/v1/events?follow=1&n=1")
    try:
        return next(lines)
    except CliError:
        return None
    finally:
        lines.close()


def test_one_user_cannot_take_all_places_of_followers() -> None:
    async def main() -> None:
        feed = event_feed.EventFeed(daemon_of_one_event())
        many = [await feed.join(1, "1000") for _ in range(event_feed.FOLLOWERS)]
        with pytest.raises(event_feed.TooManyError):
            await feed.join(1, "1000")
        other = await feed.join(1, "0")
        assert [line async for line in many[0].lines()]  # what it had, and its end
        await asyncio.wait_for(anext(other.lines()), 10)
        for follower in (*many, other):
            feed.leave(follower)
        assert feed._places.taken == 0

    asyncio.run(main())


def daemon_of_one_event() -> Any:
    """As much of a daemon as the feed needs."""
    store = MemoryStore()
    store.txn(Txn((), (Put(KEYS.identity, Identity("u", 1).to_json()),)), timeout_s=5)
    event_log.note(store, KEYS, "n1", "first", {})

    async def query(call: Any, *args: Any) -> Any:
        return await asyncio.to_thread(call, *args)

    return SimpleNamespace(store=store, keys=KEYS, query=query)


def test_events_go_out_in_large_parts_between_which_the_loop_does_other_work() -> None:
    """A thousand lines to each of 32 followers, or a hundred at once after an outage of etcd, must not keep it."""

    async def main() -> None:
        follower, turns = event_feed.Follower(), 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(others())
        follower.earlier = [b"%d %s\n" % (number, b"x" * 300) for number in range(1000)]
        for number in range(400):
            follower.put((number, b"later\n"))
        follower.put(None)
        before, chunks = turns, []
        async for chunk in follower.lines():
            chunks.append(chunk)
        assert b"".join(chunks) == b"".join(follower.earlier) + b"later\n" * 400
        assert max(map(len, chunks)) <= CHUNK and len(chunks) < 15
        assert turns - before >= len(chunks) - 1
        other.cancel()

    asyncio.run(main())


def test_many_who_wait_for_one_answer_go_on_a_few_at_a_time() -> None:
    async def main() -> None:
        made, iteration, went_on = asyncio.Event(), 0, Counter[int]()

        async def make() -> str:
            await made.wait()
            return "it"

        async def count() -> None:
            nonlocal iteration
            while True:
                iteration += 1
                await asyncio.sleep(0)

        async def wait() -> None:
            assert await answer.get() == "it"
            went_on[iteration] += 1

        answer, counting = shared.Shared(make), asyncio.create_task(count())
        waiting = [asyncio.create_task(wait()) for _ in range(10 * shared.AT_ONCE)]
        await asyncio.sleep(0)
        made.set()
        await asyncio.gather(*waiting)
        assert max(went_on.values()) <= 2 * shared.AT_ONCE  # it is counted between two turns
        assert len(went_on) >= 5
        counting.cancel()

    asyncio.run(main())


def test_a_large_answer_goes_out_in_parts() -> None:
    async def main() -> list[Any]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        for body in (b"{}", b"x" * CHUNK, b"x" * (3 * CHUNK + 1), b""):
            sent.clear()
            await routes.Answer(body)({"type": "http"}, None, send)
            head, *parts = sent
            assert dict(head["headers"])[b"content-length"] == str(len(body)).encode()
            assert b"".join(part["body"] for part in parts) == body
            assert all(len(part["body"]) <= CHUNK for part in parts)
            assert [part.get("more_body", False) for part in parts] == [True] * (len(parts) - 1) + [False]
        return sent

    asyncio.run(main())


def test_a_follower_that_falls_behind_is_ended() -> None:
    follower = event_feed.Follower()
    for number in range(event_feed.WAITING + 1):
        follower.put((number, b"x"))
    assert follower.queue.qsize() == 1 and follower.queue.get_nowait() is None
    follower.abort()
    assert follower.queue.get_nowait() is None


def test_waits_have_an_end_and_are_woken(daemon: StandIn, config: NodeConfig, scene: Scene) -> None:
    for words in ("nan", "-1", "0"):
        mark = client.get(config.api_socket, "/v1/status", 10)["mark"]
        began = time.monotonic()
        assert client.get(config.api_socket, f"/v1/status?seen={mark}&wait={words}", 10)["mark"] == mark
        assert time.monotonic() - began < 4
    marks: list[str] = []
    waiting = [
        threading.Thread(
            target=lambda: marks.append(client.get(config.api_socket, f"/v1/status?seen={mark}&wait=inf", 10)["mark"])
        )
        for _ in range(20)
    ]
    for thread in waiting:
        thread.start()
    scene.put(KEYS.standby("n3"), "anna")
    for thread in waiting:
        thread.join(10)
    assert len(marks) == 20 and mark not in marks


def test_a_command_is_not_kept_out_by_many_who_watch(
    scene: Scene, config: NodeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All places are taken; one is free in a moment. And where none is, it says so."""
    monkeypatch.setattr("hactl.daemon.api.routes.LIMITS", Limits(connections=2, per_second=1e6, burst=1e6))
    with serving(scene, config), contextlib.ExitStack() as stack:
        watching = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2)]
        for watcher in watching:
            watcher.connect(config.api_socket)
            watcher.sendall(b"GET /v1/events?follow=1 HTTP/1.0\r\n\r\n")
            assert b"200" in watcher.recv(12)
        monkeypatch.setattr(client, "BUSY_S", 0.0)
        for call in (lambda: client.get(config.api_socket, "/v1/healthz", 10), lambda: post_online(config)):
            with pytest.raises(CliError, match="too many connections at one time"):
                call()
        with pytest.raises(CliError, match="too many connections at one time"):
            next(client.stream(config.api_socket, "/v1/events?follow=1"))
        monkeypatch.setattr(client, "BUSY_S", 10.0)
        monkeypatch.setattr(client.time, "sleep", lambda _: watching[0].close())
        assert post_online(config) == {"changed": False}


def post_online(config: NodeConfig) -> dict[str, Any]:
    return client.post(config.api_socket, "/v1/node/online", {"node": "n1"}, 10)


def test_who_may_look_may_not_change(daemon: StandIn, config: NodeConfig, scene: Scene) -> None:
    assert client.get(config.read_socket, "/v1/status", 10)["cluster"] == "demo"
    before = scene.view.revision
    for route in (*WRITING, "fence/test"):
        code, answer = ask(config.read_socket, f"POST /v1/{route} HTTP/1.0\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        assert (code, answer["kind"]) == (403, "forbidden")
    assert scene.view.revision == before


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_groups(daemon: StandIn, config: NodeConfig, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may connect to which socket, as the kernel has it; the command finds the one that is for it."""
    for path, group in ((config.api_socket, 12345), (config.read_socket, 12346)):
        os.chown(path, 0, group)
        Path(path).chmod(0o660)
    for directory in (Path(config.run_dir), *Path(config.run_dir).parents):
        if directory != Path("/"):
            directory.chmod(stat.S_IMODE(directory.stat().st_mode) | 0o055)

    def outcome(group: int) -> tuple[str, str]:
        """Of a look and of a change, by a user in this group."""
        read_end, write_end = os.pipe()
        if (pid := os.fork()) == 0:
            said = []
            try:
                os.setgroups([group])
                os.setgid(65534)
                os.setuid(65534)
                monkeypatch.setattr(client, "sudo_user", lambda: "anna")  # says that it is sudo's: it is not root
                for call in (
                    Backend(config).status,
                    lambda: Backend(config).do(Standby("n1", force=True)),
                ):
                    try:
                        said.append("done" if call() else "")
                    except CliError as error:
                        said.append(str(error))
                os.write(write_end, json.dumps(said).encode())
            finally:
                os._exit(0)
        os.close(write_end)
        with os.fdopen(read_end) as file:
            look, change = json.loads(file.read())
        os.waitpid(pid, 0)
        return look, change

    assert outcome(12345) == ("done", "done")
    assert scene.view.standby["n1"].record.endswith("@n2") and "anna" not in scene.view.standby["n1"].record
    assert outcome(12346) == ("done", "you may not change anything here: be root")
    assert outcome(4711) == ("you may not use hactl here: be root", "you may not change anything here: be root")


def test_the_message_names_the_group() -> None:
    config = NodeConfig(cluster="demo", node="n2", run_dir="/nowhere")
    assert "be root, or a member of the group `hactl` or `hactl-read`" in str(Backend(config)._not_allowed())
    assert issubclass(NotAllowedError, CliError)


def test_sudo_is_kept_and_root_alone_is_believed(
    daemon: StandIn, config: NodeConfig, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "anna")
    client.post(config.api_socket, "/v1/node/standby", {"node": "n3"}, 10)
    name = getpass.getuser()
    requested_by = f"{name} (sudo anna)@n2" if os.getuid() == 0 else f"{name}@n2"
    assert scene.view.standby["n3"].record == requested_by
    monkeypatch.setenv("SUDO_USER", "anna\x1b[2J")
    client.post(config.api_socket, "/v1/node/online", {"node": "n3"}, 10)
    client.post(config.api_socket, "/v1/node/standby", {"node": "n3"}, 10)
    assert scene.view.standby["n3"].record == f"{name}@n2"
    head = b"POST /v1/node/online HTTP/1.0\r\nContent-Length: 13\r\nHactl-Sudo-User: a%1bb\r\n\r\n"
    code, answer = ask(config.api_socket, head + b'{"node":"n3"}')
    assert code == (400 if os.getuid() == 0 else 200), answer


def test_the_old_name_of_the_operating_group() -> None:
    assert parse_node('cluster = "c"\nnode = "n"\nsocket_group = "ops"').operate_group == "ops"
    with pytest.raises(ConfigErrors, match=r"socket_group: is the old name of `operate_group`, which is given, too"):
        parse_node('cluster = "c"\nnode = "n"\nsocket_group = "ops"\noperate_group = "x"')
