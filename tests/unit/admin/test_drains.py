"""What may be drained, what is refused, and how the sessions that are left are counted."""

from __future__ import annotations

from typing import Any

import pytest

from election.records import Drain
from election.store import Delete, Put
from hactl.admin import drains, health_store, nodes
from hactl.admin.errors import NoSuchError, RefusedError
from hactl.status.health import NodeHealth, ServerHealth
from tests.support.scene import CLUSTER, KEYS, Scene

SERVICES = """\
  - name: web
    binds: ["10.0.0.30:80"]
    port: 80
    nodes: [n1, n2]
    servers:
      - {name: outside, address: 192.0.2.9}
      - {name: second, address: 192.0.2.8, node: n1}
  - name: solo
    binds: ["10.0.0.30:81"]
    port: 81
    nodes: [n2]
  - name: db
    binds: ["10.0.0.30:3306"]
    port: 3306
    writer: elected
    group: database
  - name: redis
    binds: ["10.0.0.30:6379"]
    port: 6379
    check: {kind: redis, role: master}
"""


@pytest.fixture
def scene() -> Scene:
    scene = Scene(cluster=CLUSTER + SERVICES)
    scene.join("n1", "n2", "n3")
    scene.own("database", "n1")
    return scene


def drain(scene: Scene, service: str, node: str, **more: Any) -> tuple[Drain, bool]:
    return drains.drain(scene.store, scene.view, scene.spec, service, node, "anna@n3", **more)


def undrain(scene: Scene, service: str, node: str) -> bool:
    return drains.undrain(scene.store, scene.view, scene.spec, service, node)


def progress(scene: Scene, service: str, node: str) -> dict[str, Any]:
    return drains.progress(scene.store, scene.view, scene.spec, service, node)


def tell(
    scene: Scene, node: str, *, session_id: str = "", running: bool = True, **services: dict[str, ServerHealth]
) -> None:
    """What a node's HAProxy says."""
    health = NodeHealth(node, session_id or f"s-{node}", running=running, services=services)
    assert health_store.write(scene.store, KEYS, health, scene.view.sessions[node].create_revision)


def test_a_drain_is_written_once_and_taken_back_once(scene: Scene) -> None:
    request, new = drain(scene, "api", "n1", reason="disk")
    assert new and (request.by, request.reason) == ("anna@n3", "disk") and request.at
    assert scene.view.drains["api/n1"].record == request
    assert drain(scene, "api", "n1", reason="another") == (request, False)
    assert undrain(scene, "api", "n1")
    assert not undrain(scene, "api", "n1")
    assert scene.view.drains == {}


def test_a_drain_holds_only_on_what_was_looked_at(scene: Scene) -> None:
    view = scene.view
    drain(scene, "api", "n2")
    with pytest.raises(RefusedError, match="changed meanwhile"):
        drains.drain(scene.store, view, scene.spec, "api", "n3", "anna")
    assert set(scene.view.drains) == {"api/n2"}


@pytest.mark.parametrize(
    ("service", "node", "reason", "kind"),
    [
        ("apo", "n1", "no service `apo`; did you mean `api`?", NoSuchError),
        ("api", "n9", "no node `n9`", NoSuchError),
        ("web", "n3", "service web has no server on n3", NoSuchError),
        ("db", "n1", "one server in use.*`hactl failover database`", RefusedError),
        ("solo", "n2", "no other server of solo is in use", RefusedError),
    ],
)
def test_a_drain_is_refused(scene: Scene, service: str, node: str, reason: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=reason):
        drain(scene, service, node)
    assert scene.view.drains == {}


def test_the_last_server_in_use_is_drained_by_force_alone(scene: Scene) -> None:
    drain(scene, "api", "n1")
    scene.put(KEYS.drain("*", "n2"), Drain("anna"))
    with pytest.raises(RefusedError, match="no other server of api"):
        drain(scene, "api", "n3")
    assert drain(scene, "api", "n3", force=True)[1]


def test_a_server_that_is_down_everywhere_does_not_count(scene: Scene) -> None:
    down = {"n1": ServerHealth(), "n2": ServerHealth("DOWN"), "n3": ServerHealth("DOWN")}
    tell(scene, "n1", api=down)
    tell(scene, "n2", api=down)
    tell(scene, "n3", api=down)
    with pytest.raises(RefusedError, match="no other server of api"):
        drain(scene, "api", "n1")
    tell(scene, "n2", api={**down, "n3": ServerHealth()})
    assert drain(scene, "api", "n1")[1]


def test_all_services_of_a_node(scene: Scene) -> None:
    """Refused when one of them has no other server. One server in use by election or for its role is not drained."""
    roles = {"n1": ServerHealth(), "n2": ServerHealth("DOWN"), "n3": ServerHealth("DOWN")}
    for name in roles:
        tell(scene, name, redis=roles, api={"n1": ServerHealth()})
    with pytest.raises(RefusedError, match="no other server of solo is in use"):
        drain(scene, "*", "n2")
    assert not scene.view.drains
    assert drain(scene, "*", "n1")[1]
    tell(scene, "n1", redis=roles, api={"n1": ServerHealth("DRAIN", 0)})
    assert progress(scene, "*", "n1")["waiting"] == ["n2", "n3"]
    with pytest.raises(RefusedError, match="no other server of redis is in use"):
        drain(scene, "redis", "n1")
    with pytest.raises(RefusedError, match="every service is drained on n1: `hactl node online n1`"):
        undrain(scene, "api", "n1")
    assert nodes.online(scene.store, scene.view, scene.spec, "n1")
    assert scene.view.drains == {}


def test_a_server_that_is_on_no_node_is_drained_by_its_name(scene: Scene) -> None:
    assert drain(scene, "web", "outside")[1]
    with pytest.raises(NoSuchError, match="no node `second`"):
        drain(scene, "web", "second")  # it is drained with its node


def test_what_is_left_is_the_sessions_of_all_balancers(scene: Scene) -> None:
    drain(scene, "web", "n1")
    gone, left = ServerHealth("DRAIN", 0), ServerHealth("DRAIN", 0, sessions=3)
    other = ServerHealth(sessions=9)
    tell(scene, "n1", web={"n1": left, "second": left, "n2": other})
    tell(scene, "n2", web={"n1": gone, "second": ServerHealth(), "n2": other})  # has not taken notice of all
    draining = progress(scene, "web", "n1")
    assert draining["drain"]["by"] == "anna@n3"
    assert (draining["sessions"], draining["waiting"]) == ({"n1": 6}, ["n2", "n3"])
    tell(scene, "n2", web={"n1": gone, "second": gone, "n2": other})
    tell(scene, "n3", running=False)
    assert progress(scene, "web", "n1")["sessions"] == {"n1": 6, "n2": 0}
    assert progress(scene, "web", "n1")["waiting"] == []


def test_what_a_dead_session_has_said_does_not_count(scene: Scene) -> None:
    drain(scene, "api", "n1")
    tell(scene, "n1", session_id="earlier", api={"n1": ServerHealth("DRAIN", 0)})
    assert progress(scene, "api", "n1")["waiting"] == ["n1", "n2", "n3"]
    scene.kill("n3")
    assert progress(scene, "api", "n1")["waiting"] == ["n1", "n2"]


def test_where_nothing_is_to_be_drained_nothing_is_waited_for(scene: Scene) -> None:
    scene.txn(Put(KEYS.drain("web", "n3"), Drain("anna").to_json()), Delete(KEYS.standby("n1")))
    assert progress(scene, "web", "n3") | {"drain": None} == {"drain": None, "sessions": {}, "waiting": []}


def test_standby_and_online_can_be_repeated(scene: Scene) -> None:
    store, spec = scene.store, scene.spec
    assert nodes.standby(store, scene.view, spec, "n1", "anna", check=True) == (["database"], 0)
    assert scene.view.standby == {}
    assert nodes.standby(store, scene.view, spec, "n1", "anna") == (["database"], scene.view.revision)
    assert nodes.standby(store, scene.view, spec, "n1", "berta") == (["database"], 0)  # changes nothing
    assert scene.view.standby["n1"].record == "anna"
    scene.put(KEYS.drain("*", "n1"), Drain("anna"))
    assert nodes.online(store, scene.view, spec, "n1")
    assert (scene.view.standby, scene.view.drains) == ({}, {})
    assert not nodes.online(store, scene.view, spec, "n1")
    with pytest.raises(NoSuchError, match="no node `n9`"):
        nodes.online(store, scene.view, spec, "n9")
