"""Services in the status document: what the balancers think, condensed, and what an operator is told of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from election.records import Drain
from hactl.cli.output import Style
from hactl.cli.status_view import render
from hactl.status import document as status
from hactl.status.health import ProbeHealth, ServerHealth
from hactl.status.services import servers_of, word
from tests.support.scene import CLUSTER, KEYS, Scene

MORE = """\
  - name: db
    binds: ["10.0.0.31:3306"]
    port: 3306
    writer: elected
    group: database
    nodes: [n1, n2]
  - name: outside
    binds: ["10.0.0.30:6000"]
    port: 6000
    members: false
    servers:
      - {name: far, address: 192.0.2.7, port: 6001, node: n3}
      - {name: six, address: "2001:db8::1"}
    probe: {kind: tcp}
"""
DOWN = ServerHealth("DOWN", check="L4CON", detail="Connection refused", since=1)
MAINT, DRAINED = ServerHealth("MAINT", sessions=1), ServerHealth("UP", weight=0, sessions=2)


@pytest.fixture
def scene() -> Scene:
    scene = Scene(cluster=CLUSTER + MORE)
    scene.join("n1", "n2", "n3")
    scene.own("vip", "n1")
    scene.own("database", "n2")
    for name in ("n1", "n2", "n3"):
        scene.balance(name)
    return scene


def document(scene: Scene) -> dict[str, Any]:
    return status.status(scene.view, scene.spec, "n2", health=scene.health)


def service(scene: Scene, name: str) -> dict[str, Any]:
    return next(entry for entry in document(scene)["services"] if entry["name"] == name)


def told(scene: Scene) -> list[tuple[str, str]]:
    return [(warning["level"], warning["what"]) for warning in document(scene)["warnings"]]


def row(scene: Scene, name: str) -> str:
    """The service's line on the screen, without what stands before its servers."""
    line = next(line for line in render(document(scene), Style()).splitlines() if line.startswith(f"{name} "))
    return line.split("  ", 1)[1].strip()


def everywhere(scene: Scene, **servers: ServerHealth) -> None:
    for name in scene.view.sessions:
        scene.balance(name, servers)


def test_servers_are_nodes_and_then_those_listed(scene: Scene) -> None:
    servers = {each.name: servers_of(each, scene.spec) for each in scene.spec.services}
    assert servers["api"][1] == ("n2", "n2", "10.0.0.12:5000")
    assert [each.name for each in servers["db"]] == ["n1", "n2"]
    assert servers["outside"] == [("far", "n3", "192.0.2.7:6001"), ("six", "", "[2001:db8::1]:6000")]


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (ServerHealth(), "up"),
        (ServerHealth("no check"), "up"),
        (DOWN, "down"),
        (ServerHealth("DOWN (agent)"), "down"),
        (MAINT, "disabled"),
        (ServerHealth("MAINT (via other/n1)"), "disabled"),
        (ServerHealth("DRAIN"), "drained"),
        (ServerHealth("NOLB"), "drained"),
        (DRAINED, "drained"),
        (ServerHealth("SOMETHING new"), "something new"),
    ],
)
def test_haproxys_words(server: ServerHealth, said: str) -> None:
    assert word(server) == said


def test_where_all_is_well_there_are_names_alone(scene: Scene) -> None:
    assert told(scene) == []
    assert row(scene, "api").split() == ["3", "of", "3", "up", "10.0.0.30:5000", "n1,", "n2,", "n3"]
    assert [server["state"] for server in service(scene, "api")["servers"]] == ["up"] * 3
    assert service(scene, "api")["servers"][0]["haproxy"] == "UP"


def test_one_dead_server_of_three_is_a_warning(scene: Scene) -> None:
    everywhere(scene, n3=DOWN)
    assert told(scene) == [("warning", "server n3 of api is down: L4CON Connection refused")]
    assert row(scene, "api").endswith("n1; n2; n3: down (L4CON Connection refused)")


def test_one_server_left_says_so_and_none_is_an_error(scene: Scene) -> None:
    everywhere(scene, n1=DOWN, n3=DOWN)
    assert ("warning", "service api has one server left, n2") in told(scene)
    assert ("error", "service db has no server left") not in told(scene)
    everywhere(scene, n1=DOWN, n2=DOWN, n3=DOWN)
    levels = {text: level for level, text in told(scene)}
    assert levels["services api, db have no server left"] == "error"
    assert not any("is down" in text for text in levels)  # it is said already
    assert row(scene, "api").endswith("n1, n2, n3: all down (L4CON Connection refused)")


def test_a_role_that_one_server_has() -> None:
    """Those that have another are well, unless they do not answer at all."""
    redis = "  - {name: redis, binds: ['10.0.0.30:6379'], port: 6379, check: {kind: redis, role: master}}\n"
    scene = Scene(cluster=CLUSTER[: CLUSTER.index("  - name: api")] + redis)
    scene.join("n1", "n2", "n3")
    scene.own("vip", "n1")
    scene.own("database", "n2")
    replica = ServerHealth("DOWN", check="L7TOUT", detail="at step 4 of tcp-check", since=1)
    everywhere(scene, n1=replica, n3=replica)
    assert (told(scene), service(scene, "redis")["role"]) == ([], "master")
    everywhere(scene, n1=replica, n3=DOWN)
    assert told(scene) == [("warning", "server n3 of redis is down: L4CON Connection refused")]
    everywhere(scene, n1=replica, n2=replica, n3=replica)
    assert told(scene) == [("error", "service redis has no server left")]


def test_what_many_services_have_in_common_is_said_once() -> None:
    services = "".join(f'  - {{name: s{n}, binds: ["10.0.0.30:{6000 + n}"], port: {6000 + n}}}\n' for n in range(20))
    scene = Scene(cluster=CLUSTER + services)
    scene.join("n1", "n2", "n3")
    scene.own("vip", "n1")
    scene.own("database", "n2")
    everywhere(scene, n3=DOWN)
    assert told(scene) == [("warning", "server n3 of api, s0, s1 and 18 more is down: L4CON Connection refused")]


def test_balancers_that_disagree_are_named(scene: Scene) -> None:
    scene.balance("n1", {"n3": DOWN})
    assert told(scene) == [("warning", "balancers disagree on server n3 of api: down says n1, up say n2 and n3")]
    assert row(scene, "api").startswith("2 of 3 up")
    assert row(scene, "api").endswith("n1; n2; n3: down says n1, up say n2 and n3")


def test_a_balancer_without_a_server_while_others_have_some(scene: Scene) -> None:
    scene.balance("n1", dict.fromkeys(("n1", "n2", "n3"), DOWN))
    assert ("error", "services api, db have no server left as seen from n1") in told(scene)


def test_what_a_dead_session_has_said_does_not_count(scene: Scene) -> None:
    scene.balance("n1", {"n3": DOWN}, session_id="of-before")
    assert told(scene) == [("notice", "the state of the servers as HAProxy on n1 sees it is not known")]
    assert set(service(scene, "api")["servers"][2]["balancers"]) == {"n2", "n3"}
    balancer = document(scene)["balancers"][0]
    assert (balancer["live"], balancer["told"], balancer["running"]) == (True, False, False)


def test_servers_of_a_node_that_is_gone_are_not_mentioned(scene: Scene) -> None:
    scene.kill("n3")
    everywhere(scene, n3=DOWN)
    assert not any("server n3" in text for _, text in told(scene))
    assert row(scene, "api").endswith("n3: down (L4CON Connection refused), node is not live")


def test_drained_servers_and_their_sessions(scene: Scene) -> None:
    scene.put(KEYS.drain("api", "n3"), Drain("anna"))
    assert row(scene, "api").endswith("n1; n2; n3: drained")  # the balancers have not taken notice
    everywhere(scene, n3=DRAINED)
    assert service(scene, "api")["servers"][2]["drained"]
    assert row(scene, "api").endswith("n1; n2; n3: drained, 6 sessions")
    assert told(scene) == []


def test_one_writer(scene: Scene) -> None:
    everywhere(scene, n1=ServerHealth("MAINT"))
    assert [server["writer"] for server in service(scene, "db")["servers"]] == [False, True]
    assert row(scene, "db").startswith("writer n2") and row(scene, "db").endswith("n1: not the writer; n2")
    assert not any("db" in text for _, text in told(scene))
    everywhere(scene, n1=ServerHealth("MAINT"), n2=DOWN)
    assert ("error", "service db has no server left") in told(scene)


def test_a_writer_that_nobody_elects(scene: Scene) -> None:
    scene.own("database", "n2", state="released")
    everywhere(scene, n1=ServerHealth("MAINT"), n2=ServerHealth("MAINT"))
    texts = [text for level, text in told(scene) if level == "error" and "db" in text]
    assert texts == ["service db has no writer: no node owns group database (released)"]
    assert row(scene, "db").startswith("no writer")


def test_haproxy_that_does_not_run_or_not_as_wanted(scene: Scene) -> None:
    scene.balance("n1", running=False, error="no binary", services={})
    scene.balance("n3", error="unknown keyword 'x'")
    assert [text for level, text in told(scene) if level == "error"] == [
        "HAProxy does not run on n1: no binary",
        "HAProxy on n3 does not run as configured: unknown keyword 'x'",
    ]


def test_haproxy_of_a_group_is_wanted_where_the_group_is() -> None:
    text = CLUSTER.replace("    overlap: true\n", "", 1).replace(
        "vip: {address: 10.0.0.30/24, interface: eth0}\n",
        "vip: {address: 10.0.0.30/24, interface: eth0}\n      - name: balancer\n        haproxy: {}\n",
        1,
    )
    scene = Scene(cluster=text)
    scene.join("n1", "n2", "n3")
    scene.own("vip", "n1")
    scene.own("database", "n2")
    for name in ("n2", "n3"):
        scene.balance(name, running=False, services={})
    assert [balancer["wanted"] for balancer in document(scene)["balancers"]] == [True, False, False]
    assert told(scene) == []


def test_a_probe(scene: Scene) -> None:
    assert service(scene, "outside")["probe"] == {
        "kind": "tcp", "target": "10.0.0.30:6000", "by": ["n2", "n3"], "outcome": "unknown", "nodes": {},
    }  # fmt: skip
    assert "not yet" in row(scene, "outside")
    failed = ProbeHealth("failed", 3000.0, "no answer within 3 s", 1)
    for name in ("n1", "n2"):  # the VIP is on n1: what it says is of before
        scene.balance(name, probes={"outside": failed})
    scene.balance("n3", probes={"outside": ProbeHealth("completed", 12.0)})
    text = "service outside: the probe through 10.0.0.30:6000 fails from n2: no answer within 3 s"
    assert told(scene) == [("warning", text)]
    scene.balance("n3", probes={"outside": failed})
    assert told(scene) == [("error", text.replace("from n2", "from n2 and n3"))]
    for name in ("n2", "n3"):
        scene.balance(name, probes={"outside": ProbeHealth("completed", 12.0)})
    assert "completed 12 ms" in row(scene, "outside") and told(scene) == []


def test_a_probe_without_a_vip_to_ask() -> None:
    scene = Scene(cluster=CLUSTER + "    probe: {kind: tcp}\n")
    scene.spec = replace(scene.spec, groups=())
    scene.join("n1", "n2", "n3")
    assert ("warning", "service api is not probed: it has no bind on a VIP") in told(scene)
