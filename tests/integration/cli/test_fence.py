"""`hactl fence …`: asked, watched, looked at, tested; with a daemon and without."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from election.records import DeviceReport, FenceRecord
from election.store import Store
from hactl.admin import event_log
from hactl.cli import fence as cli_fence
from hactl.config.node import NodeConfig
from tests.integration.cli.conftest import Run
from tests.support.scene import KEYS, Scene, fenced
from tests.support.waiting import until

TOWER = "{name: switch, agent: /opt/fence_tower, options: {ip: 10.0.1.1}, status_timeout: 1s}"
NODES = ("n1", "n2", "n3")


@pytest.fixture
def scene(store: Store, config: NodeConfig) -> Scene:
    """With a switch for all nodes: vip on n1, database on n2."""
    scene = Scene(store, fenced(TOWER))
    scene.join(*NODES)
    scene.own("vip", "n1")
    scene.own("database", "n2")
    return scene


def report(scene: Scene, by: str, test: str = "", *broken: str) -> None:
    targets = tuple(
        {
            "node": name, "device": "switch", "plug": name, "ok": name not in broken, "power": "on",
            "detail": "no route" if name in broken else "", "seconds": 0.25, "since": "2026-01-31T12:00:00Z",
        }
        for name in NODES
    )  # fmt: skip
    scene.put(KEYS.devices(by), DeviceReport(test, "2026-01-31T12:00:00Z", 1, targets))


class Beside:
    """The actions of other nodes meanwhile, in a thread."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=self._run, args=(work,))
        self._failed: list[BaseException] = []

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._failed.append(error)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join(20)
        assert not self._thread.is_alive() and not self._failed, self._failed


def step(scene: Scene, **more: Any) -> None:
    """The fence record of n1 goes on."""
    key = KEYS.fence("n1")
    kept, _ = scene.store.get(key, timeout_s=5)
    assert kept is not None
    scene.put(key, replace(FenceRecord.from_json(kept.value), **more))


def executor(scene: Scene) -> None:
    """n3 fences n1 at the second attempt."""
    until(lambda: "n1" in scene.view.fences, "it is asked for")
    step(scene, state="acting", executor="n3/s-n3", attempts=1, action_ms=10_000)
    step(scene, state="pending", failures=1, last="no route")
    step(scene, state="acting", attempts=2)
    step(scene, state="safe", evidence="off", by="n3", power="off", last="")
    step(scene, power="", executor="")


# --- hactl fence NODE ---------------------------------------------------------------------------------------------


def test_fence_watches_until_it_is_off_and_on_again(hactl: Run, scene: Scene, either: str) -> None:
    with Beside(lambda: executor(scene)):
        status, out, _ = hactl("fence", "n1", "--yes")
    assert status == 0, out
    lines = out.splitlines()
    assert lines[0] == "n1: reboot asked for; its session has ended"
    assert lines[-1].endswith("ms  safe (off, by n3)")
    assert "n1" not in scene.view.sessions
    until(
        lambda: [entry.event for entry in event_log.read(scene.store, KEYS, 1)[0]] == ["fence_asked"], "it is history"
    )


def test_fence_off_without_waiting(hactl: Run, scene: Scene, either: str) -> None:
    status, out, _ = hactl("fence", "--off", "n1", "-y", "--no-wait")
    assert (status, out) == (0, "n1: off asked for; its session has ended\n")
    record = scene.view.fences["n1"].record
    assert (record.wanted, record.state) == ("off", "pending") and record.by.endswith("@n2")


def test_fence_not_in_time(hactl: Run, scene: Scene, either: str) -> None:
    status, _, err = hactl("fence", "n1", "--yes", "--timeout", "1")
    assert status == 3
    assert "not in time: waiting for a node to fence it; it goes on: `hactl fence status`" in err


def test_a_reboot_is_not_over_before_it_is_on_again(hactl: Run, scene: Scene, either: str) -> None:
    def switch_off() -> None:
        until(lambda: "n1" in scene.view.fences, "it is asked for")
        step(scene, state="safe", evidence="off", by="n3", power="off", executor="n3/s-n3")

    with Beside(switch_off):
        status, _, err = hactl("fence", "n1", "--yes", "--timeout", "2")
    assert status == 3 and "not in time: safe (off, by n3); waiting for n3 to switch it on again" in err


def test_fence_of_a_node_that_stopped_by_itself(hactl: Run, scene: Scene, either: str) -> None:
    def stop() -> None:
        until(lambda: "n1" in scene.view.fences, "it is asked for")
        step(scene, state="safe", evidence="self-stop", by="n1")

    with Beside(stop):
        status, _, err = hactl("fence", "n1", "--yes")
    assert status == 1 and "n1 was not switched off: its session is over otherwise (self-stop)" in err


class Terminal:
    """Standard input that is a terminal, on which `answer` is written."""

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        return self.answer + "\n"


def test_fence_asks_and_shows_the_consequences(
    hactl: Run, scene: Scene, either: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("n"))
    status, _, err = hactl("fence", "n1")
    assert status == 1 and "n1" in scene.view.sessions and "n1" not in scene.view.fences
    assert "n1 is online and runs vip." in err
    assert "It will be switched off, then on again, as if its power failed, by switch n1." in err
    assert "At the last test of the devices NOBODY could fence it" in err
    assert "Fence n1 now? [y/N]" in err and "nothing was done" in err
    report(scene, "n3")
    until(lambda: "could be fenced by n3" in hactl("fence", "n1", "--off")[2], "the test is seen")
    assert "switched off, and left off" in hactl("fence", "n1", "--off")[2]
    monkeypatch.setattr(sys, "stdin", Terminal("y"))
    assert hactl("fence", "n1", "--no-wait")[0] == 0
    assert "n1" in scene.view.fences


@pytest.mark.parametrize(
    ("words", "status", "problem"),
    [
        (("fence", "n9", "--yes"), 2, "no node `n9`"),
        (("fence", "statsu", "--yes"), 2, "no node `statsu`"),
        (("fence", "n1"), 2, "give --yes"),
        (("fence", "n1", "--off", "--reboot"), 2, "--off, --reboot or --on: give one"),
    ],
)
def test_refused_commands(
    hactl: Run, scene: Scene, either: str, words: tuple[str, ...], status: int, problem: str
) -> None:
    code, _, err = hactl(*words)
    assert code == status and problem in err
    assert "n1" in scene.view.sessions


def test_a_node_that_is_safe_already(hactl: Run, scene: Scene, either: str) -> None:
    scene.kill("n1", state="safe", evidence="reboot")
    until(lambda: "safe" in hactl("fence", "status")[1], "it is seen")
    status, _, err = hactl("fence", "n1", "--yes")
    assert status == 1 and "n1 is known to be stopped already (reboot, by n2)" in err


def test_a_node_may_be_called_as_a_command_is(hactl: Run, scene: Scene, either: str) -> None:
    assert "no node `status`" in hactl("fence", "node", "status", "--yes")[2]


# --- status and history -------------------------------------------------------------------------------------------


def test_status(hactl: Run, scene: Scene, either: str) -> None:
    assert hactl("fence", "status")[1] == "no session has died yet\n"
    scene.kill("n1", state="safe", evidence="reboot")
    scene.kill("n2", executor="n3/s-n3", attempts=4, failures=1, last="no route", wanted="off")
    status, out, _ = until(lambda: "n2" in (result := hactl("fence", "status"))[1] and result, "both are seen")
    assert status == 0
    assert [" ".join(line.split()) for line in out.splitlines()] == [
        "NODE STATE HOW FENCED BY ATTEMPTS LAST WAITING FOR",
        "n2 pending off asked for by n2 n3 4 (1 rounds failed) no route n3 to fence it, after 1 failed rounds",
        "n1 safe reboot, by n2 - - - -",
        "n2: fix its devices, or make sure that it is off and say so: `hactl fence confirm n2`",
    ]
    fences = json.loads(hactl("fence", "status", "--json")[1])
    assert [(fence["node"], fence["attempts"]) for fence in fences] == [("n1", 0), ("n2", 4)]


def test_history(hactl: Run, scene: Scene, either: str) -> None:
    assert hactl("fence", "history")[1] == "no event of fencing is known\n"
    for by, event, data in (
        ("n2", "session_opened", {}),
        ("n2", "peer_deposed", {"node": "n1"}),
        ("n2", "fence_acted", {"node": "n1", "device": "switch", "action": "off", "ok": True}),
        ("n3", "fence_device_failed", {"target": "n2", "device": "switch", "problem": "no route"}),
        ("n3", "fence_asked", {"on": "n1", "action": "off"}),
    ):
        event_log.note(scene.store, KEYS, by, event, data)

    assert len(hactl("fence", "history")[1].splitlines()) == 4
    assert "session_opened" not in hactl("fence", "history")[1]
    events = [json.loads(line)["event"] for line in hactl("fence", "history", "n1", "--json")[1].splitlines()]
    assert events == ["peer_deposed", "fence_acted", "fence_asked"]
    assert json.loads(hactl("fence", "history", "-n", "1", "--json")[1])["event"] == "fence_asked"
    assert hactl("fence", "history", "n3")[1] == "no event of fencing of n3 is known\n"


# --- test ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(cli_fence, "SLACK_S", -3.0)  # of 4 s that the devices may take
    yield


def answering(scene: Scene, *names: str, broken: tuple[str, ...] = ()) -> Beside:
    def answer() -> None:
        before = scene.view.fence_test
        request = until(lambda: (now := scene.view.fence_test) != before and now, "a test is requested")
        for name in names:
            report(scene, name, request.record.id, *broken)

    return Beside(answer)


def test_a_test_in_which_all_is_well(hactl: Run, scene: Scene, either: str) -> None:
    with answering(scene, *NODES):
        status, out, _ = hactl("fence", "test")
    assert [" ".join(line.split()) for line in out.splitlines()] == [
        "NODE DEVICE ASKED BY n1 ASKED BY n2 ASKED BY n3",
        "n1 switch n1 on 250 ms on 250 ms on 250 ms",
        "n2 switch n2 on 250 ms on 250 ms on 250 ms",
        "n3 switch n3 on 250 ms on 250 ms on 250 ms",
        "n1: can be fenced by n2, n3",
        "n2: can be fenced by n1, n3",
        "n3: can be fenced by n1, n2",
    ]
    assert status == 0


def test_a_device_that_fails_is_named_with_its_words(hactl: Run, scene: Scene, either: str) -> None:
    with answering(scene, *NODES, broken=("n1",)):
        status, out, _ = hactl("fence", "test")
    assert status == 1
    assert "switch n1 fails when asked by n1, n2, n3: no route (since 2026-01-31T12:00:00Z)" in out.splitlines()
    assert "n1: can NOT be fenced by any other node that is alive" in out
    assert "n1    switch n1  failed" in out


def test_a_node_that_does_not_answer_is_named(hactl: Run, scene: Scene, either: str, impatient: None) -> None:
    report(scene, "n3", "an-earlier-test")
    with answering(scene, "n1", "n2"):
        status, out, _ = hactl("fence", "test", "--json")
    document = json.loads(out)
    assert status == 1 and (document["ok"], document["silent"]) == (False, ["n3"])
    assert [device["node"] for device in document["devices"]] == ["n1", "n2"]


def test_nothing_to_test(hactl: Run, store: Store, config: NodeConfig) -> None:
    scene = Scene(store)
    scene.join("n1")
    status, _, err = hactl("fence", "test")
    assert status == 1 and "no node has `fencing` in cluster.yaml" in err
