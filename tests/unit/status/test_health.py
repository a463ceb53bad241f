"""What nodes tell each other of their HAProxy's servers."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from hactl.status.health import NodeHealth, ProbeHealth, ServerHealth, current, decode, encode, plain_status
from tests.support.scene import Scene

WELL = NodeHealth("n1", "sid-1", "2026-01-01T00:00:00Z", "2.6.12", True, "", {"api": {"n1": ServerHealth()}})


def test_there_and_back() -> None:
    down = ServerHealth("DOWN", 1, 7, "L4CON", "Connection refused", 1795000000)
    told = replace(
        WELL, services={"api": {"n1": ServerHealth(), "n2": down}}, probes={"api": ProbeHealth("failed", 1.5)}
    )
    assert decode(encode(told)) == told
    assert decode(encode(told)).server("api", "n2") == down  # type: ignore[union-attr]
    assert decode(encode(told)).server("api", "n9") is None  # type: ignore[union-attr]


def test_what_is_normal_takes_no_room() -> None:
    services = {f"service-{number}": {name: ServerHealth() for name in ("n1", "n2", "n3")} for number in range(200)}
    assert len(encode(replace(WELL, services=services))) < 12_000
    down = ServerHealth("DOWN", 1, 99, "L7TOUT", "at initial connection step of tcp-check", 1795000000)
    services = {name: dict.fromkeys(servers, down) for name, servers in services.items()}
    assert len(encode(replace(WELL, services=services))) < 150_000  # etcd takes 1.5 MB


def test_what_a_later_version_adds_is_left_out() -> None:
    raw = json.loads(encode(WELL))
    raw["services"]["api"]["n1"]["queue"] = 5
    raw["colour"] = "red"
    assert decode(json.dumps(raw)) == WELL


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"node": "n1"}', '"x"'])
def test_what_is_no_document(text: str) -> None:
    assert decode(text) is None


def test_it_holds_as_long_as_its_session() -> None:
    scene = Scene()
    scene.join("n1", "n2")
    documents = {name: replace(WELL, node=name, session_id="s-n1") for name in ("n1", "n2", "n3")}
    assert set(current(documents, scene.view)) == {"n1"}
    assert set(current(documents, scene.view, "n3")) == {"n1", "n3"}
    scene.kill("n1")
    assert not current(documents, scene.view)


@pytest.mark.parametrize(
    ("status", "plain"),
    [("UP", "UP"), ("UP 1/3", "UP"), ("DOWN 1/2", "DOWN"), ("no check", "no check"), ("DOWN (agent)", "DOWN (agent)")],
)
def test_haproxys_counting_is_no_news(status: str, plain: str) -> None:
    assert plain_status(status) == plain
