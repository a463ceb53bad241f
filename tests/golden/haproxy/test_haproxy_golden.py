"""HAProxy's files as they are written. `HACTL_UPDATE_GOLDEN=1 pytest tests/golden/haproxy` writes them anew."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hactl.haproxy.diff.parse import read_binds
from hactl.haproxy.render.document import render
from hactl.haproxy.routing import Routing
from hactl.haproxy.settings import HaproxySettings
from hactl.model.cluster import ClusterSpec, NodeSpec
from tests.support.haproxy_servers import read_servers
from tests.support.specs import haproxy_options, service_spec

HERE = Path(__file__).parent

SETTINGS = HaproxySettings("/run/hactl/haproxy")

THREE = (NodeSpec("c1", "192.168.0.10"), NodeSpec("c2", "192.168.0.11"), NodeSpec("c3", "192.168.0.12"))

ALL_LIVE = ["c1 weight 100", "c2 weight 100", "c3 weight 100"]

TWO_V6 = (NodeSpec("left", "fd00::a"), NodeSpec("right", "fd00::b"))


@dataclass(frozen=True)
class Case:
    cluster: ClusterSpec
    live: frozenset[str]
    node: str = "c1"
    servers: dict[str, list[str]] = field(default_factory=dict)


WEB = service_spec("horizon", ("192.168.0.30:80",), 8080, "http", check={"kind": "http", "path": "/auth/login/"})

KEYSTONE = service_spec("keystone-public", (":5000", "192.168.0.30:35357"), 5001)

DATABASE = service_spec(
    "mysql",
    ("192.168.0.30:3306",),
    3307,
    balance="first",
    nodes=["c3", "c1"],
    check={"inter_ms": 1500, "fastinter_ms": 250, "downinter_ms": 3000, "rise": 3, "fall": 5},
    timeouts={"client_ms": 5_400_000, "server_ms": 5_400_000},
    retries=1,
    maxconn=500,
    server={"maxconn": 200},
    extra=["option tcp-check", "tcp-check connect port 9200"],
)

CASES = {
    "plain": Case(
        ClusterSpec("lab", THREE, services=(WEB, KEYSTONE)),
        frozenset({"c1", "c2", "c3"}),
        servers={"horizon": ALL_LIVE, "keystone-public": ALL_LIVE},
    ),
    "one-node-not-live": Case(
        ClusterSpec("lab", THREE, services=(WEB,)),
        frozenset({"c1", "c3"}),
        node="c3",
        servers={"horizon": ["c1 weight 100", "c2 weight 1", "c3 weight 100"]},
    ),
    "every-setting": Case(
        ClusterSpec(
            "lab",
            THREE,
            services=(DATABASE,),
            haproxy=haproxy_options(
                maxconn=500,
                nbthread=2,
                hard_stop_after_ms=1500,
                user="",
                group="",
                log=[],
                extra_global=["tune.bufsize 32768"],
                extra_defaults=["option splice-auto"],
            ),
        ),
        frozenset({"c1", "c2", "c3"}),
        servers={"mysql": ["c3 weight 100", "c1 weight 100"]},
    ),
    "ipv6": Case(
        ClusterSpec(
            "six",
            TWO_V6,
            services=(
                service_spec(
                    "api",
                    ("[fd00::30]:443", "[::]:8443", "10.0.0.30:6000-6003"),
                    6443,
                    check={"kind": "none"},
                    server={"dead_peer_ms": 1250},
                ),
            ),
        ),
        frozenset({"right"}),
        node="left",
        servers={"api": ["left weight 1", "right weight 100"]},
    ),
    "no-node-live": Case(
        ClusterSpec("lab", THREE, services=(KEYSTONE,)),
        frozenset(),
        servers={"keystone-public": ["c1 weight 1", "c2 weight 1", "c3 weight 1"]},
    ),
}


def rendered(name: str) -> str:
    case = CASES[name]
    return render(case.cluster, Routing(case.live), case.node, SETTINGS, revision=42)


@pytest.mark.parametrize("name", CASES)
def test_rendered_as_recorded(name: str) -> None:
    golden = HERE / f"{name}.cfg"
    if os.environ.get("HACTL_UPDATE_GOLDEN"):
        golden.write_text(rendered(name))
    assert rendered(name) == golden.read_text()


def test_every_recorded_file_has_its_case() -> None:
    assert {file.stem for file in HERE.glob("*.cfg")} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_servers_and_binds_are_read_back(name: str) -> None:
    case = CASES[name]
    text = (HERE / f"{name}.cfg").read_text()
    addresses = {node.name: node.address for node in case.cluster.nodes}
    in_file = read_servers(text)
    assert {
        proxy: [" ".join((server.name, *server.words)) for server in servers] for proxy, servers in in_file.items()
    } == case.servers
    for service in case.cluster.services:
        assert {(server.address, server.port) for server in in_file[service.name]} == {
            (addresses[server.name], service.port) for server in in_file[service.name]
        }
        binds = [f"*{bind}" if bind.startswith(":") else bind for bind in service.binds]
        assert read_binds(text)[service.name] == binds
