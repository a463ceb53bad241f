"""What operators may plan for a group, and what is refused or asked with which words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from election.records import Ban, Maintenance, Stop
from hactl.admin import moves, nodes, planned
from hactl.admin.errors import BadInputError, HarmError, NoSuchError, RefusedError
from tests.support.scene import CLUSTER, KEYS, Scene

NEVER = planned.Ending()


def test_stop_and_start(scene: Scene) -> None:
    done = planned.stop(*known(scene), "database", "anna", reason="new disks")
    assert (done.changed, done.node, done.revision) == (True, "n1", scene.view.revision)
    stop = scene.view.stopped["database"].record
    assert (stop.by, stop.reason) == ("anna", "new disks") and stop.at
    again = planned.stop(*known(scene), "database", "berta")
    assert not again.changed and scene.view.stopped["database"].record.by == "anna"
    assert planned.start(*known(scene), "database").changed
    assert not scene.view.stopped and not planned.start(*known(scene), "database").changed


def test_a_group_behind_which_services_are_is_stopped_when_that_is_meant(scene: Scene) -> None:
    with pytest.raises(HarmError, match="nobody reaches api while group vip is stopped"):
        planned.stop(*known(scene), "vip", "anna")
    assert not scene.view.stopped
    assert planned.stop(*known(scene), "vip", "anna", force=True).changed
    scene.delete(KEYS.stopped("vip"))
    scene.own("vip", "n1", state="released")
    assert planned.stop(*known(scene), "vip", "anna").changed  # it runs nowhere: nothing is lost


@pytest.mark.parametrize("relation", ["after", "together_with"])
def test_a_group_that_others_need_is_stopped_when_that_is_meant(relation: str) -> None:
    text = CLUSTER.replace("  - name: database\n", f"  - name: database\n    {relation}: [vip]\n").partition(
        "services:"
    )[0]
    scene = Scene(cluster=text)
    scene.join("n1", "n2")
    scene.own("vip", "n1")
    with pytest.raises(HarmError, match="database must run with or after group vip, and stop with it"):
        planned.stop(*known(scene), "vip", "anna")
    assert planned.stop(*known(scene), "vip", "anna", force=True).changed


def test_restart_names_the_ownership(scene: Scene) -> None:
    done = planned.restart(*known(scene), "vip", "anna")
    assert done.node == "n1" and scene.view.restarts["vip"].record.epoch == scene.view.groups["vip"].record.epoch


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda scene: scene.own("vip", "n1", state="released"), "runs nowhere"),
        (lambda scene: scene.own("vip", "n1", state="unmanaged"), "is left alone"),
        (lambda scene: scene.own("vip", "n1", state="handoff"), "is on its way to n1"),
        (lambda scene: scene.own("vip", "n1", holders=(scene.holder("n2"),)), "is on its way to n1"),
        (lambda scene: scene.kill("n1"), "n1, which has group vip, is lost"),
        (lambda scene: scene.put(KEYS.stopped("vip"), "{}"), "hactl group start vip"),
        (lambda scene: scene.put(KEYS.group("vip"), "{"), "cannot be read"),
    ],
)
def test_what_cannot_be_restarted(scene: Scene, change: Callable[[Scene], Any], words: str) -> None:
    change(scene)
    with pytest.raises(RefusedError, match=words):
        planned.restart(*known(scene), "vip", "anna")
    assert not scene.view.restarts


def test_a_ban_with_an_end(scene: Scene) -> None:
    ending = planned.ending(3_600_000, 1_800_000_000)
    assert ending == (1_800_003_600_000, "2027-01-15T09:00:00+00:00")
    done = planned.ban(*known(scene), "vip", "n1", "anna", ending=ending, reason="noise")
    ban = scene.view.bans["vip/n1"].record
    assert (ban.by, ban.until_ms, ban.until, ban.reason) == ("anna", *ending, "noise")
    assert (done.node, done.until) == ("n1", ending.until)
    planned.ban(*known(scene), "vip", "n1", "berta", ending=NEVER)
    assert scene.view.bans["vip/n1"].record.until_ms == 0


@pytest.mark.parametrize("for_ms", [-1.0, 400 * 86_400_000.0, float("nan")])
def test_a_duration_that_is_none(for_ms: float) -> None:
    with pytest.raises(BadInputError, match="between 0 and 366 days"):
        planned.ending(for_ms, 1_800_000_000)


def test_a_ban_that_would_leave_no_node_is_asked(scene: Scene) -> None:
    scene.put(KEYS.ban("database", "n2"), Ban("berta"))
    with pytest.raises(HarmError, match="no other node may run group database now, so the ban would stop it"):
        planned.ban(*known(scene), "database", "n1", "anna", ending=NEVER)
    assert set(scene.view.bans) == {"database/n2"}
    planned.ban(*known(scene), "database", "n1", "anna", ending=NEVER, force=True)
    assert set(scene.view.bans) == {"database/n1", "database/n2"}


@pytest.mark.parametrize(
    ("group", "node", "kind", "words"),
    [
        ("vpi", "n1", NoSuchError, "no group `vpi`; did you mean `vip`"),
        ("vip", "n9", NoSuchError, "no node `n9`"),
        ("database", "n3", RefusedError, "may not run on n3 anyway: its nodes are n1, n2"),
    ],
)
def test_bans_that_make_no_sense(scene: Scene, group: str, node: str, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        planned.ban(*known(scene), group, node, "anna", ending=NEVER)
    assert not scene.view.bans


def test_clear(scene: Scene) -> None:
    for node in ("n1", "n2", "n3"):
        scene.put(KEYS.ban("vip", node), Ban("anna"))
    scene.put(KEYS.ban("database", "n1"), Ban("anna"))
    cleared = planned.clear(*known(scene), "vip", "n2")
    assert (cleared.nodes, cleared.revision) == (["n2"], scene.view.revision)
    assert planned.clear(*known(scene), "vip", "").nodes == ["n1", "n3"]
    assert set(scene.view.bans) == {"database/n1"}
    assert planned.clear(*known(scene), "vip", "").nodes == []
    with pytest.raises(NoSuchError, match="no group `vpi`"):
        planned.clear(*known(scene), "vpi", "")


def known(scene: Scene) -> Any:
    return scene.store, scene.view, scene.spec


def test_a_move_at_a_time(scene: Scene) -> None:
    now = 1_800_000_000.0
    done = moves.schedule(*known(scene), "vip", "n3", "anna", now + 3600, now)
    record = scene.view.scheduled["vip"].record
    assert (record.to, record.at_ms, record.by) == ("n3", 1_800_003_600_000, "anna")
    assert done.until == record.at == "2027-01-15T09:00:00+00:00"
    moves.schedule(*known(scene), "vip", "", "berta", now + 60, now)
    assert scene.view.scheduled["vip"].record.to == ""
    assert moves.cancel(*known(scene), "vip") and not scene.view.scheduled
    assert not moves.cancel(*known(scene), "vip")


@pytest.mark.parametrize(
    ("group", "to", "after_s", "words"),
    [
        ("vpi", "", 60, "no group `vpi`"),
        ("vip", "n9", 60, "no node `n9`"),
        ("database", "n3", 60, "may not run on n3: its nodes are n1, n2"),
        ("vip", "n3", 0, "must be later than now"),
        ("vip", "n3", -60, "must be later than now"),
        ("vip", "n3", 400 * 86_400, "within a year"),
    ],
)
def test_moves_that_cannot_be_planned(scene: Scene, group: str, to: str, after_s: float, words: str) -> None:
    now = 1_800_000_000.0
    with pytest.raises(RefusedError, match=words):
        moves.schedule(*known(scene), group, to, "anna", now + after_s, now)
    assert not scene.view.scheduled


BROKER = """groups:
  - {name: broker, run: all, resources: [{name: rabbit, systemd: {unit: rabbitmq-server.service}}]}
"""
FOLLOWED = CLUSTER.replace("groups:\n", BROKER).replace("    mode: http\n", "    mode: http\n    group: broker\n")


@pytest.fixture
def cloned() -> Scene:
    scene = Scene(cluster=FOLLOWED)
    scene.join("n1", "n2", "n3")
    return scene


def test_what_runs_on_every_node_is_restarted_on_one_after_the_other(cloned: Scene) -> None:
    done = planned.restart(*known(cloned), "broker", "anna")
    assert (done.changed, done.node) == (True, "")
    first = cloned.view.restarts["broker"]
    assert first.record.epoch == 0 and first.mod_revision == done.revision
    assert planned.restart(*known(cloned), "broker", "anna").revision > done.revision  # it begins anew


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda scene: scene.put(KEYS.stopped("broker"), Stop("anna")),
            "is stopped by anna: `hactl group start broker`",
        ),
        (lambda scene: scene.put(KEYS.maintenance("*"), Maintenance("anna")), "is left alone"),
    ],
)
def test_what_runs_on_every_node_and_cannot_be_restarted(
    cloned: Scene, change: Callable[[Scene], Any], words: str
) -> None:
    change(cloned)
    with pytest.raises(RefusedError, match=words):
        planned.restart(*known(cloned), "broker", "anna")
    assert not cloned.view.restarts


def test_what_runs_on_every_node_is_not_moved(cloned: Scene) -> None:
    words = "group broker runs on every node, so it cannot be moved: .* `hactl group ban broker NODE`"
    with pytest.raises(RefusedError, match=words):
        moves.failover(*known(cloned), "broker", "n2", "anna")
    with pytest.raises(RefusedError, match=words):
        moves.schedule(*known(cloned), "broker", "", "anna", 2e9, 1e9)


def test_the_last_instance_is_taken_away_when_that_is_meant(cloned: Scene) -> None:
    done = planned.ban(*known(cloned), "broker", "n1", "anna", ending=NEVER)
    assert done.node == "n1"
    assert nodes.standby(*known(cloned), "n2", "anna")[0] == ["broker"]
    with pytest.raises(HarmError, match="no other node may run group broker now"):
        planned.ban(*known(cloned), "broker", "n3", "anna", ending=NEVER)
    with pytest.raises(HarmError, match="no other node may run broker now"):
        nodes.standby(*known(cloned), "n3", "anna")
    assert planned.ban(*known(cloned), "broker", "n3", "anna", ending=NEVER, force=True).changed


def test_what_runs_on_every_node_is_stopped_when_that_is_meant(cloned: Scene) -> None:
    with pytest.raises(HarmError, match="nobody reaches api while group broker is stopped"):
        planned.stop(*known(cloned), "broker", "anna")
    assert planned.stop(*known(cloned), "broker", "anna", force=True).changed
    assert planned.start(*known(cloned), "broker").changed
