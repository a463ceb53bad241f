"""The API on a real unix socket, asked by the real client."""

from __future__ import annotations

import getpass
import grp
import os
import socket
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from election.records import Failure
from hactl.admin import event_log
from hactl.cli import client
from hactl.cli.client import NoDaemonError, WaitError
from hactl.cli.common import CliError
from hactl.config.node import NodeConfig
from hactl.serving.sockets import unix_listener
from hactl.status.health import NodeHealth, ServerHealth
from tests.support.scene import KEYS, Scene
from tests.support.stand_in import StandIn, serving
from tests.support.waiting import until

ME = f"{getpass.getuser()}@n2"


def get(config: NodeConfig, target: str) -> dict[str, object]:
    return client.get(config.api_socket, target, 10)


def post(config: NodeConfig, target: str, **body: object) -> dict[str, object]:
    return client.post(config.api_socket, target, body, 10)


def test_status(daemon: StandIn, config: NodeConfig) -> None:
    status = get(config, "/v1/status")
    assert (status["version"], status["cluster"], status["asked"], status["source"]) == (1, "demo", "n2", "daemon")
    assert status["local"] is not None


def test_status_has_every_balancers_view(daemon: StandIn, config: NodeConfig, scene: Scene) -> None:
    scene.balance("n1", {"n3": ServerHealth("DOWN", check="L4CON")})
    daemon.health = NodeHealth("n2", "s-n2", running=True, services={"api": {"n3": ServerHealth("MAINT")}})

    def words() -> dict[str, str]:
        document: Any = get(config, "/v1/status")
        return {name: balancer["word"] for name, balancer in document["services"][0]["servers"][2]["balancers"].items()}

    assert words() == {"n1": "down", "n2": "disabled", "n3": "up"}  # of its own HAProxy, as it is now
    daemon.state.store_away = True
    assert words() == {"n2": "disabled"}  # etcd is not waited for


def test_status_waits_for_a_change(daemon: StandIn, config: NodeConfig, scene: Scene) -> None:
    mark = get(config, "/v1/status")["mark"]
    began = time.monotonic()
    assert get(config, f"/v1/status?seen={mark}&wait=0.3")["mark"] == mark
    assert time.monotonic() - began >= 0.3
    answers: list[dict[str, object]] = []
    asking = threading.Thread(target=lambda: answers.append(get(config, f"/v1/status?seen={mark}&wait=5")))
    asking.start()
    scene.put(KEYS.standby("n3"), "anna")
    asking.join(10)
    assert answers and answers[0]["mark"] != mark
    nodes = answers[0]["nodes"]
    assert isinstance(nodes, list) and [node["state"] for node in nodes] == ["online", "online", "standby"]


def test_group(daemon: StandIn, config: NodeConfig, scene: Scene) -> None:
    answer = get(config, "/v1/groups/vip")
    assert isinstance(answer["group"], dict)
    assert (answer["group"]["owner"], answer["move"], answer["revision"]) == ("n1", None, scene.view.revision)
    with pytest.raises(CliError, match="no group `vpi`") as wrong:
        get(config, "/v1/groups/vpi")
    assert wrong.value.status == 2


def test_failover_says_who_asked(daemon: StandIn, config: NodeConfig, scene: Scene) -> None:
    answer = post(config, "/v1/failover", group="vip", to="n3")
    move = scene.move("vip")
    assert move is not None and (move.id, move.by, move.to) == (answer["id"], ME, "n3")
    assert answer["revision"] == scene.view.moves["vip"].mod_revision
    [entry] = until(lambda: event_log.read(scene.store, KEYS, 5)[0], "the history has it")
    assert (entry.event, entry.data) == ("asked_failover", {"group": "vip", "to": "n3", "by": ME})
    assert post(config, "/v1/failover/withdraw", group="vip", id=answer["id"]) == {"withdrawn": True}
    assert scene.move("vip") is None


def test_cleanup(daemon: StandIn, config: NodeConfig, scene: Scene) -> None:
    scene.put(KEYS.failure("vip", "n2"), Failure(3, "address", "no link"))
    until(lambda: daemon.state.view.failures, "the failure is seen")
    assert post(config, "/v1/group/cleanup", group="vip", node="") == {
        "nodes": ["n2"], "unblocked": False, "freed": False,
    }  # fmt: skip
    assert not scene.view.failures and scene.view.cleanups["vip"].record.by == ME
    until(lambda: not daemon.state.view.failures, "its end is seen")
    assert post(config, "/v1/group/cleanup", group="vip", node="n2") == {
        "nodes": [], "unblocked": False, "freed": False,
    }  # fmt: skip


def test_standby_and_online(daemon: StandIn, config: NodeConfig, scene: Scene) -> None:
    answer = post(config, "/v1/node/standby", node="n1", force=False)
    assert answer == {"groups": ["vip", "database"], "revision": scene.view.standby["n1"].mod_revision}
    assert scene.view.standby["n1"].record == ME
    assert post(config, "/v1/node/online", node="n1") == {"changed": True}
    assert not scene.view.standby
    assert post(config, "/v1/node/online", node="n1") == {"changed": False}


def test_confirm_waits_for_the_lease_as_this_node_saw_it(daemon: StandIn, config: NodeConfig, scene: Scene) -> None:
    scene.kill("n1")
    until(lambda: "n1" in daemon.state.view.fences, "it is seen")
    with pytest.raises(WaitError) as waiting:
        post(config, "/v1/fence/confirm", node="n1")
    assert 0 < waiting.value.wait_ms <= 3750 * 1.025
    seen = daemon.state.observer.dead["n1"]
    seen.since = seen.since.plus(-3750 * 1.025)
    assert post(config, "/v1/fence/confirm", node="n1") == {"sid": "s-n1"}
    assert scene.view.fences["n1"].record.by == ME


def test_errors_have_their_exit_statuses(daemon: StandIn, config: NodeConfig, scene: Scene) -> None:
    for target, body, problem, status in (
        ("/v1/failover", {"group": "vip", "to": "n1"}, "is on n1 already", 1),
        ("/v1/failover", {"group": "vpi"}, "no group", 2),
        ("/v1/failover", {}, "must be a JSON object with group", 2),
        ("/v1/status?seen=x&wait=soon", None, "`wait` must be a number", 2),
        ("/v1/nothing", None, "HTTP status 404", 1),
    ):
        with pytest.raises(CliError, match=problem) as wrong:
            _ = get(config, target) if body is None else post(config, target, **body)
        assert wrong.value.status == status
    scene.store.close()
    with pytest.raises(CliError, match="closed") as wrong:
        post(config, "/v1/failover", group="vip")
    assert wrong.value.status == 1


def test_events_are_followed(daemon: StandIn, config: NodeConfig, scene: Scene) -> None:
    event_log.note(scene.store, KEYS, "n1", "first", {})
    event_log.note(scene.store, KEYS, "n1", "second", {})
    lines = client.stream(config.api_socket, "/v1/events?follow=1&n=1")
    assert next(lines)["event"] == "second"
    event_log.note(scene.store, KEYS, "n3", "third", {"a": 1})
    event = next(lines)
    assert (event["event"], event["node"], event["data"]) == ("third", "n3", {"a": 1})
    lines.close()
    listed = get(config, "/v1/events?n=2")["events"]
    assert isinstance(listed, list) and [event["event"] for event in listed] == ["second", "third"]


def test_timeline_is_of_the_whole_cluster(daemon: StandIn, config: NodeConfig, scene: Scene) -> None:
    for group in ("vip", "database", "vip"):
        done = {"group": group, "reason": "planned", "from": "", "to": "n1", "marks": {}, "phases": {}}
        event_log.note(scene.store, KEYS, "n1", "failover", done)
    timelines = get(config, "/v1/timeline?group=vip&n=9")["timelines"]
    assert isinstance(timelines, list) and [timeline["group"] for timeline in timelines] == ["vip", "vip"]
    newest = get(config, "/v1/timeline?n=1")["timelines"]
    assert isinstance(newest, list) and newest == timelines[-1:]


def test_the_socket_is_roots_and_the_groups(scene: Scene, config: NodeConfig, tmp_path: Path) -> None:
    (tmp_path / "hactl.sock").touch()  # left by a daemon that was killed
    with serving(scene, config):
        mode = Path(config.api_socket).stat()
        assert (stat.S_IMODE(mode.st_mode), mode.st_uid) == (0o600, os.getuid())
    assert not Path(config.api_socket).exists()
    with pytest.raises(NoDaemonError):
        get(config, "/v1/status")


def test_the_group_may_use_it(tmp_path: Path) -> None:
    group = grp.getgrgid(os.getgroups()[-1] if os.getgroups() else os.getgid())
    path = str(tmp_path / "api.sock")
    unix_listener(path, group.gr_gid).close()
    attributes = Path(path).stat()
    assert (stat.S_IMODE(attributes.st_mode), attributes.st_gid) == (0o660, group.gr_gid)
    unix_listener(path, None).close()
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600


def test_a_daemon_that_does_not_answer(tmp_path: Path) -> None:
    path = str(tmp_path / "frozen.sock")
    with socket.socket(socket.AF_UNIX) as frozen:
        frozen.bind(path)
        frozen.listen()
        with pytest.raises(NoDaemonError, match="does not answer"):
            client.get(path, "/v1/status", 0.1)
        with pytest.raises(CliError, match="whether it was done is unknown"):
            client.post(path, "/v1/failover", {}, 0.1)
    with pytest.raises(NoDaemonError):
        client.post(path, "/v1/failover", {}, 0.1)
