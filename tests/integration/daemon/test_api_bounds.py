"""The API takes little: bodies, texts, waits, connections."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hactl.admin import nodes
from hactl.cli import client
from hactl.cli.common import CliError
from hactl.config.node import NodeConfig
from hactl.daemon.api.bodies import LARGEST_BODY
from hactl.serving.limits import Limits
from hactl.status import document
from tests.support.scene import KEYS, Scene
from tests.support.stand_in import StandIn, serving

from .raw_http import WRITING, ask


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
def test_an_invalid_body_is_refused(daemon: StandIn, config: NodeConfig, scene: Scene, route: str) -> None:
    before = scene.view.revision
    for body in (*ODD, *ODD_OF.get(route, ())):
        code, answer = posted(config, route, body)
        assert code == 400 and answer["kind"] == "bad" and answer["error"], (body[:80], answer)
    assert scene.view.revision == before


def test_the_problem_of_an_invalid_text_is_named(daemon: StandIn, config: NodeConfig) -> None:
    for body, problem in (
        (b'{"group": "vip", "to": "a\\nb"}', "`to` has the control character \\x0a"),
        (b'{"group": "' + b"x" * 201 + b'"}', "`group` has 201 characters: 200 at most"),
        (b'{"group": 1}', "must be a JSON object with group: Expected `str`, got `int` - at `$.group`"),
    ):
        assert problem in posted(config, "failover", body)[1]["error"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


def test_a_command_is_not_kept_out_by_many_watchers(
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
