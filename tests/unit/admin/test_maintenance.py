"""What is written for `hactl maintenance`, and the operator's word about a node that left a group alone."""

from __future__ import annotations

from typing import Any

import pytest

from election.records import Maintenance
from hactl.admin import fencing, maintenance
from hactl.admin.errors import NoSuchError, RefusedError
from hactl.admin.planned import Ending
from hactl.decide.planned import all_maintenance
from tests.support.scene import KEYS, Scene

ENDING = Ending(1_800_000_000_000, "2027-01-15T08:00:00+00:00")


def known(scene: Scene) -> Any:
    return scene.store, scene.view, scene.spec


@pytest.mark.parametrize("scope", ["*", "vip", "node:n1"])
def test_on_and_off(scene: Scene, scope: str) -> None:
    done = maintenance.begin(*known(scene), scope, "anna", ending=ENDING, reason="new switch")
    asked = all_maintenance(scene.view)[scope].record
    assert (asked.by, asked.until_ms, asked.until, asked.reason) == ("anna", *ENDING, "new switch") and asked.at
    assert (done.changed, done.until, done.also, done.lost) == (True, ENDING.until, [], [])
    maintenance.begin(*known(scene), scope, "berta", ending=Ending())
    assert all_maintenance(scene.view)[scope].record.until_ms == 0
    assert maintenance.end(*known(scene), scope).changed and not all_maintenance(scene.view)
    assert not maintenance.end(*known(scene), scope).changed


def test_what_else_is_in_maintenance_is_named(scene: Scene) -> None:
    scene.put(KEYS.maintenance("*"), Maintenance("anna"))
    scene.put(KEYS.maintenance("vip"), Maintenance("anna"))
    assert maintenance.end(*known(scene), "*").also == ["vip"]
    scene.put(KEYS.maintenance("*"), Maintenance("anna"))
    assert maintenance.end(*known(scene), "vip").also == ["*"]
    assert maintenance.end(*known(scene), "database").also == ["*"]


def test_groups_of_a_lost_owner_are_named(scene: Scene) -> None:
    scene.own("database", "n2")
    scene.kill("n1")
    assert maintenance.begin(*known(scene), "*", "anna", ending=Ending()).lost == ["vip"]
    assert maintenance.begin(*known(scene), "database", "anna", ending=Ending()).lost == []


def test_of_a_node_the_groups_that_it_has_are_named(scene: Scene) -> None:
    scene.own("vip", "n1")
    scene.own("database", "n2")
    done = maintenance.begin(*known(scene), "node:n1", "anna", ending=Ending())
    assert (done.groups, done.also, done.lost) == (["vip"], [], [])
    scene.put(KEYS.maintenance("vip"), Maintenance("anna"))
    scene.put(KEYS.maintenance("database"), Maintenance("anna"))
    scene.put(KEYS.maintenance("*"), Maintenance("anna"))
    done = maintenance.begin(*known(scene), "node:n3", "anna", ending=Ending())  # it has nothing
    assert (done.groups, done.also) == ([], ["*"])
    scene.delete(KEYS.maintenance("*"))
    scene.kill("n1")
    done = maintenance.begin(*known(scene), "node:n1", "anna", ending=Ending())
    assert (done.groups, done.also, done.lost) == (["vip"], ["vip"], ["vip"])
    assert maintenance.end(*known(scene), "vip").also == ["node:n1"]
    assert maintenance.end(*known(scene), "node:n1").groups == ["vip"]


def test_a_node_that_is_not_there(scene: Scene) -> None:
    for call in (
        lambda: maintenance.begin(*known(scene), "node:n9", "anna", ending=Ending()),
        lambda: maintenance.end(*known(scene), "node:n9"),
    ):
        with pytest.raises(NoSuchError, match="no node `n9`"):
            call()


def test_a_group_that_is_not_there(scene: Scene) -> None:
    for call in (
        lambda: maintenance.begin(*known(scene), "vpi", "anna", ending=Ending()),
        lambda: maintenance.end(*known(scene), "vpi"),
    ):
        with pytest.raises(NoSuchError, match="no group `vpi`; did you mean `vip`"):
            call()


def test_a_node_that_ended_in_order_is_confirmed_for_what_it_left_alone(scene: Scene) -> None:
    scene.own("vip", "n1", state="unmanaged")
    scene.kill("n1", state="safe", evidence="self-stop")
    fencing.confirm(*known(scene), "n1", "anna", 0.0)
    assert scene.view.fences["n1"].record.evidence == "confirmed"
    with pytest.raises(RefusedError, match="is known to be stopped already"):
        fencing.confirm(*known(scene), "n1", "berta", 0.0)


def test_a_node_that_left_nothing_alone_needs_no_word(scene: Scene) -> None:
    scene.own("vip", "n2", state="unmanaged")
    scene.kill("n1", state="safe", evidence="self-stop")
    with pytest.raises(RefusedError, match="is known to be stopped already"):
        fencing.confirm(*known(scene), "n1", "anna", 0.0)
