"""`hactl group …`, by the daemon's socket and by etcd itself."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from hactl.admin import event_log
from tests.integration.cli.conftest import Run
from tests.integration.cli.test_wait import Terminal, beside
from tests.support.scene import KEYS, Scene
from tests.support.waiting import until


def test_stop_waits_until_it_is_stopped_and_start_until_it_runs(hactl: Run, scene: Scene, either: str) -> None:
    def released() -> None:
        until(lambda: scene.view.stopped, "it is asked for")
        scene.own("database", "n2", phase="stopping")
        time.sleep(0.5)
        scene.own("database", "n2", state="released", phase="stopped")

    with beside(released):
        status, out, _ = hactl("group", "stop", "database", "--reason", "new disks")
    assert status == 0 and "ms  database is stopping on n2\n" in out and out.endswith("ms  database is stopped\n")
    assert "database  stopped" in hactl("status")[1]
    assert "group database is stopped (by " in hactl("status")[1] and "new disks" in hactl("status")[1]
    assert hactl("wait", "settled", "--for", "5s")[0] == 0
    until(
        lambda: "asked_stop" in [entry.event for entry in event_log.read(scene.store, KEYS, 5)[0]], "the history has it"
    )

    def runs() -> None:
        until(lambda: not scene.view.stopped, "it is asked for")
        time.sleep(0.5)
        scene.own("database", "n1", epoch=9)

    with beside(runs):
        status, out, _ = hactl("group", "start", "database")
    assert status == 0 and out.endswith("ms  database is running\n")
    assert "database was not stopped by an operator" in hactl("group", "start", "database")[1]


def test_a_restart_is_over_when_it_was_carried_out(hactl: Run, scene: Scene, either: str) -> None:
    """It is shown as running until its owner has heard of the request."""
    done = []

    def restarted() -> None:
        until(lambda: scene.view.restarts, "it is asked for")
        time.sleep(0.6)
        scene.own("vip", "n1", phase="stopping")
        time.sleep(0.3)
        done.append(time.monotonic())
        scene.own("vip", "n1")
        scene.delete(KEYS.restart("vip"))

    with beside(restarted):
        status, out, _ = hactl("group", "restart", "vip")
        assert done and time.monotonic() >= done[0]
    assert status == 0 and "vip is running, and to be restarted on n1" in out


def test_ban_and_clear(hactl: Run, scene: Scene, either: str) -> None:
    def move() -> None:
        until(lambda: scene.view.bans, "it is asked for")
        scene.own("vip", "n2", phase="starting")
        time.sleep(0.6)
        scene.own("vip", "n2")

    with beside(move):
        status, out, _ = hactl("group", "ban", "vip", "n1", "--for", "1h", "--reason", "noise")
    assert status == 0 and "vip is banned from n1 until 20" in out and "leaving n1 now" in out
    assert out.endswith("ms  vip is running on n2\n")
    until(lambda: "group vip is banned from n1 until 20" in hactl("status")[1], "it is seen")
    assert "`hactl group clear vip n1`" in hactl("status")[1]
    status, out, _ = hactl("group", "clear", "vip")
    assert status == 0 and out.startswith("vip is no longer banned from n1\n") and out.endswith("running on n2\n")
    until(lambda: "vip was not banned from any node" in hactl("group", "clear", "vip")[1], "it is seen")


def test_a_ban_that_is_not_carried_out_in_time(hactl: Run, scene: Scene, either: str) -> None:
    status, _, err = hactl("group", "ban", "vip", "n1", "--timeout", "0.6s")
    assert status == 3 and "error: not in time: vip is on n1, and belongs on n" in err and scene.view.bans
    assert hactl("group", "clear", "vip", "--no-wait")[:2] == (0, "vip is no longer banned from n1\n")
    assert hactl("group", "ban", "vip", "n3", "--timeout", "0.6s")[0] == 0  # it was not there


def test_what_would_hurt_others_is_said_first(
    hactl: Run, scene: Scene, either: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, _, err = hactl("group", "stop", "vip", "--no-wait")
    assert status == 1 and "nobody reaches api while group vip is stopped. Nothing was done; `--yes`" in err
    monkeypatch.setattr(sys, "stdin", Terminal("\n"))
    assert hactl("group", "stop", "vip", "--no-wait")[0] == 1 and not scene.view.stopped
    assert hactl("group", "stop", "vip", "--no-wait", "--yes")[0] == 0 and set(scene.view.stopped) == {"vip"}
    until(lambda: "is stopped" in hactl("status")[1], "it is seen")
    monkeypatch.setattr(sys, "stdin", sys.__stdin__)
    scene.put(KEYS.standby("n1"), "anna")
    until(lambda: "standby" in hactl("status")[1], "it is seen")
    status, _, err = hactl("group", "ban", "database", "n2")
    assert status == 1 and "no other node may run group database now, so the ban would stop it" in err


@pytest.mark.parametrize(
    ("words", "status", "problem"),
    [
        (("stop", "vpi"), 2, "no group `vpi`; did you mean `vip`?"),
        (("start", "vpi"), 2, "no group `vpi`"),
        (("restart", "vpi"), 2, "no group `vpi`"),
        (("ban", "vip", "n9"), 2, "no node `n9`"),
        (("ban", "database", "n3"), 1, "may not run on n3 anyway"),
        (("ban", "vip", "n1", "--for", "soon"), 2, "`soon` is no duration"),
        (("clear", "vip", "n9"), 2, "no node `n9`"),
        (("stop", "vip", "--reason", "a\nb", "--yes"), 2, "`reason` "),
    ],
)
def test_refused(hactl: Run, scene: Scene, either: str, words: tuple[str, ...], status: int, problem: str) -> None:
    code, _, err = hactl("group", *words)
    assert code == status and problem in err
    assert not scene.view.stopped and not scene.view.bans


def test_a_move_at_a_time(hactl: Run, scene: Scene, either: str) -> None:
    status, out, _ = hactl("failover", "vip", "--to", "n3", "--at", "2099-01-01T10:00Z")
    assert status == 2 and not scene.view.scheduled  # too far away
    at = datetime.now(UTC) + timedelta(hours=1)
    status, out, _ = hactl("failover", "vip", "--to", "n3", "--at", f"{at:%Y-%m-%dT%H:%M:%S}Z")
    assert status == 0 and f"vip: to n3 at {at:%Y-%m-%d %H:%M:%S} UTC" in out
    until(lambda: "group vip is to move to n3 at 20" in hactl("status")[1], "it is seen")
    status, out, _ = hactl("failover", "vip", "--cancel")
    assert (status, out) == (0, "vip: the planned move is cancelled\n") and not scene.view.scheduled
    until(lambda: "no move was planned" in hactl("failover", "vip", "--cancel")[1], "it is seen")
    for words, problem in ((("--at", "soon"), "`soon` is no time"), (("--at", "22:00", "--cancel"), "give one")):
        status, _, err = hactl("failover", "vip", *words)
        assert status == 2 and problem in err
