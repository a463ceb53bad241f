"""`hactl maintenance`, `hactl group unmanage` and `manage`, by the daemon's socket and by etcd itself."""

from __future__ import annotations

import time

import pytest

from tests.integration.cli.conftest import Run
from tests.integration.cli.test_wait import beside
from tests.support.scene import Scene
from tests.support.waiting import until


def test_on_returns_when_the_owners_have_taken_notice(hactl: Run, scene: Scene, either: str) -> None:
    def leave() -> None:
        until(lambda: scene.view.maintenance, "it is asked for")
        time.sleep(0.4)
        scene.own("vip", "n1", state="unmanaged")
        time.sleep(0.4)
        scene.own("database", "n2", state="unmanaged")

    with beside(leave):
        status, out, _ = hactl("maintenance", "on", "--for", "2h", "--reason", "new switch")
    assert status == 0 and out.startswith("everything is in maintenance; ends at 20")
    assert "ms  vip is running on n1; database is running on n2\n" in out and out.endswith("ms  left alone\n")
    shown = hactl("status")[1]
    assert (
        "EVERYTHING IS IN MAINTENANCE until 20" in shown
        and "new switch" in shown
        and "vip       unmanaged  n1" in shown
    )
    assert hactl("wait", "vip=unmanaged", "--for", "5s")[0] == 0

    def take() -> None:
        until(lambda: not scene.view.maintenance, "it has ended")
        time.sleep(0.4)
        scene.own("vip", "n1", epoch=9)
        scene.own("database", "n2", epoch=9)

    with beside(take):
        status, out, _ = hactl("maintenance", "off")
    assert status == 0 and out.endswith("ms  hactl looks after it again\n")
    assert "everything is not in maintenance" in hactl("maintenance", "off")[1]


def test_one_group(hactl: Run, scene: Scene, either: str) -> None:
    scene.own("vip", "n1", state="unmanaged")
    status, out, _ = hactl("group", "unmanage", "vip")
    assert status == 0 and "to end it: `hactl maintenance off --group vip`" in out
    assert set(scene.view.maintenance) == {"vip"}
    status, _, err = hactl("maintenance", "off", "--group", "vip", "--timeout", "0.6s")
    assert status == 3 and "not in time: vip is unmanaged on n1" in err and not scene.view.maintenance


def test_one_node(hactl: Run, scene: Scene, either: str) -> None:
    """vip is on n1, database on n2."""

    def leave() -> None:
        until(lambda: scene.view.node_maintenance, "it is asked for")
        time.sleep(0.4)
        scene.own("vip", "n1", state="unmanaged")

    with beside(leave):
        status, out, _ = hactl("maintenance", "on", "--node", "n1", "--reason", "new disk")
    assert status == 0 and out.startswith("node n1 is in maintenance; to end it: `hactl maintenance off --node n1`\n")
    assert "left alone with it: vip; no group comes to it, and it is not fenced\n" in out
    assert "ms  vip is running on n1\n" in out and out.endswith("ms  left alone\n")
    shown = hactl("status")[1]
    assert "NODE n1 IS IN MAINTENANCE" in shown and "new disk" in shown and "vip       unmanaged  n1" in shown
    assert "may not run on n1: in maintenance" in hactl("failover", "database", "--to", "n1")[2]
    status, out, err = hactl("maintenance", "off", "--node", "n1", "--timeout", "0.6s")
    assert status == 3 and "not in time: vip is unmanaged on n1" in err and not scene.view.node_maintenance
    assert "node n1 is not in maintenance" in hactl("maintenance", "off", "--node", "n1")[1]


def test_what_is_lost_is_not_waited_for(hactl: Run, scene: Scene, either: str) -> None:
    scene.own("vip", "n1", state="unmanaged")
    scene.kill("n2")
    until(lambda: "n2 was lost" in hactl("status")[1] or "database does not run" in hactl("status")[1], "it is seen")
    status, out, _ = hactl("maintenance", "on")
    assert status == 0 and "database: lost with its node, and stays so until the maintenance has ended" in out


def test_two_at_one_time(hactl: Run, scene: Scene, either: str) -> None:
    assert hactl("maintenance", "on", "--no-wait")[0] == hactl("group", "unmanage", "vip", "--no-wait")[0] == 0
    until(lambda: "GROUP vip IS IN MAINTENANCE" in hactl("status")[1], "it is seen")
    out = hactl("maintenance", "off", "--no-wait")[1]
    assert "still in maintenance: vip; to end that: `hactl maintenance off --group vip`" in out
    assert set(scene.view.maintenance) == {"vip"}


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("maintenance", "on", "--group", "vpi"), "no group `vpi`; did you mean `vip`?"),
        (("maintenance", "on", "--for", "soon"), "`soon` is no duration"),
        (("maintenance", "on", "--node", "n9"), "no node `n9`"),
        (("maintenance", "off", "--node", "n9"), "no node `n9`"),
        (("maintenance", "on", "--node", "n1", "--group", "vip"), "give --group or --node, not both"),
        (("group", "manage", "vpi"), "no group `vpi`"),
    ],
)
def test_refused(hactl: Run, scene: Scene, either: str, words: tuple[str, ...], problem: str) -> None:
    status, _, err = hactl(*words)
    assert status == 2 and problem in err and not scene.view.maintenance
