"""`hactl service drain`, and the drain that `hactl node standby` does first; by the daemon, and by etcd itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from election.records import Drain
from hactl.admin import event_log, health_store
from hactl.cli import service
from hactl.config.node import NodeConfig
from hactl.status.health import NodeHealth, ServerHealth
from tests.integration.cli.conftest import Run
from tests.support.scene import KEYS, Scene
from tests.support.stand_in import serving
from tests.support.waiting import until


def tell(scene: Scene, sessions: int, *, drained: bool = True) -> None:
    """Every node's HAProxy says how many sessions the server on n1 has; n1 has all of them."""
    for name in ("n1", "n2", "n3"):
        count = sessions if name == "n1" else 0
        server = ServerHealth("DRAIN", 0, count) if drained else ServerHealth(sessions=count)
        health = NodeHealth(name, f"s-{name}", running=True, services={"api": {"n1": server, "n2": ServerHealth()}})
        assert health_store.write(scene.store, KEYS, health, scene.view.sessions[name].create_revision)


@contextmanager
def balancers(scene: Scene, *sessions: int) -> Iterator[None]:
    """Take notice of the drain, and then tell of so many sessions, one number after the other."""

    def run() -> None:
        until(lambda: scene.view.drains, "the drain is written")
        for count in sessions:
            tell(scene, count)
            time.sleep(2 * service.LOOK_S)

    tell(scene, 2, drained=False)
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(20)
        assert not thread.is_alive()


def newest_event(scene: Scene) -> str:
    return event_log.read(scene.store, KEYS, 1)[0][0].event


def test_drain_shows_the_sessions_left_and_undrain(hactl: Run, scene: Scene, either: str) -> None:
    with balancers(scene, 2, 1, 0):
        status, out, _ = hactl("service", "drain", "api", "n1", "--reason", "disk")
    assert status == 0
    assert out.startswith("api on n1 gets no new connections\n")
    for said in ("2 sessions left: 2 through n1", "1 session left: 1 through n1", "no session left"):
        assert said in out
    request = scene.view.drains["api/n1"].record
    assert request.by.endswith("@n2") and request.reason == "disk"
    until(lambda: newest_event(scene) == "asked_drain", "the history has it")
    assert f"already (by {request.by}, {request.at})" in hactl("service", "drain", "api", "n1")[1]
    assert hactl("service", "undrain", "api", "n1")[:2] == (0, "api on n1 gets connections again\n")
    until(lambda: newest_event(scene) == "asked_undrain", "the history has it")
    assert hactl("service", "undrain", "api", "n1")[:2] == (0, "api on n1 was not drained\n")


def test_drain_that_is_not_over_in_time_stays(hactl: Run, scene: Scene, either: str) -> None:
    with balancers(scene, 2):
        status, _, err = hactl("service", "drain", "api", "n1", "--timeout", "1.2s")
    assert status == 3
    assert "not in time: 2 sessions left: 2 through n1. It stays drained" in err
    assert "`hactl service undrain api n1`" in err
    assert set(scene.view.drains) == {"api/n1"}


def test_drain_waits_for_balancers_to_take_notice(hactl: Run, scene: Scene, either: str) -> None:
    tell(scene, 2, drained=False)
    status, out, _ = hactl("service", "drain", "api", "n1", "--timeout", "0.6s")
    assert status == 3 and "waiting for the balancer of n1, n2, n3 to take notice" in out


def test_drain_no_wait(hactl: Run, scene: Scene, either: str) -> None:
    status, out, _ = hactl("service", "drain", "*", "n1", "--no-wait")
    assert (status, out) == (0, "every service on n1 gets no new connections\n")
    assert set(scene.view.drains) == {"*/n1"}


def test_drain_interrupted_says_what_stays(
    hactl: Run, scene: Scene, config: NodeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, looks = service._left, iter([1])

    def interrupt(answer: dict[str, object]) -> tuple[str, bool]:
        if next(looks, None) is None:
            raise KeyboardInterrupt
        return look(answer)

    tell(scene, 2)
    monkeypatch.setattr(service, "_left", interrupt)
    with serving(scene, config):
        status, _, err = hactl("service", "drain", "api", "n1")
    assert status == 130
    assert (
        "interrupted: 2 sessions left: 2 through n1. It stays drained; to undo: `hactl service undrain api n1`" in err
    )
    assert set(scene.view.drains) == {"api/n1"}


@pytest.mark.parametrize(
    ("words", "status", "problem"),
    [
        (("drain", "apo", "n1"), 2, "no service `apo`; did you mean `api`?"),
        (("drain", "api", "n9"), 2, "no node `n9`"),
        (("undrain", "api", "n9"), 2, "no node `n9`"),
        (("drain", "api", "n1", "--timeout", "soon"), 2, "`soon` is no duration"),
    ],
)
def test_refused_commands(
    hactl: Run, scene: Scene, either: str, words: tuple[str, ...], status: int, problem: str
) -> None:
    code, _, err = hactl("service", *words)
    assert code == status and problem in err


def test_the_last_server_is_refused(hactl: Run, scene: Scene, either: str) -> None:
    for name in ("n2", "n3"):
        scene.put(KEYS.drain("api", name), Drain("anna"))
    until(lambda: "no other server of api" in hactl("service", "drain", "api", "n1", "--no-wait")[2], "it is seen")
    assert hactl("service", "drain", "api", "n1", "--no-wait", "--force")[0] == 0


def test_standby_drains_first(hactl: Run, scene: Scene, either: str) -> None:
    with balancers(scene, 1, 0):
        status, out, _ = hactl("node", "standby", "n1", "--no-wait")
    assert status == 0
    assert out.splitlines()[0] == "n1: its servers get no new connections"
    assert "1 session left: 1 through n1" in out and "leaving it now: vip" in out
    view = scene.view
    assert set(view.drains) == {"*/n1"} and set(view.standby) == {"n1"}
    until(lambda: "n1 is in use again" in hactl("node", "online", "n1")[1], "it is seen")
    view = scene.view
    assert (view.drains, view.standby) == ({}, {})


def test_standby_does_not_wait_for_ever(hactl: Run, scene: Scene, either: str) -> None:
    with balancers(scene, 1):
        status, out, err = hactl("node", "standby", "n1", "--drain-timeout", "1.2s", "--no-wait")
    assert status == 0 and "going on all the same" in out and "not in time" in err
    assert set(scene.view.standby) == {"n1"}


def test_standby_that_is_refused_drains_nothing(hactl: Run, scene: Scene, either: str) -> None:
    scene.put(KEYS.standby("n1"), "anna")
    until(lambda: "standby" in hactl("status")[1], "it is seen")
    assert hactl("node", "standby", "n2")[0] == 1  # database could run nowhere
    assert scene.view.drains == {}
