"""What is left of a node that is gone for good, and when it may be forgotten."""

from __future__ import annotations

import pytest

from election.records import DeviceReport, Drain, Failure
from hactl.admin.errors import RefusedError
from hactl.admin.nodes import forget, remembered
from hactl.config.load import check_text
from tests.support.scene import CLUSTER, KEYS, Scene

WITHOUT_N3 = check_text(CLUSTER.replace("  - {name: n3, address: 10.0.0.13}\n", ""), "").spec


@pytest.fixture
def gone(scene: Scene) -> Scene:
    """n3 has been in use, and has ended in order."""
    scene.put(KEYS.standby("n3"), "anna")
    scene.put(KEYS.drain("*", "n3"), Drain("anna", "", ""))
    scene.put(KEYS.drain("api", "n3"), Drain("anna", "", ""))
    scene.put(KEYS.failure("vip", "n3"), Failure(1, "address", "broken"))
    scene.put(KEYS.failure("vip", "n2"), Failure(1, "address", "broken"))
    scene.put(KEYS.devices("n3"), DeviceReport("", "", 1))
    scene.kill("n3", state="safe", evidence="self-stop")
    return scene


def test_nothing_is_left(gone: Scene) -> None:
    assert forget(gone.store, gone.view, WITHOUT_N3, "n3")
    keys = [kv.key for kv in gone.store.snapshot("/hactl", timeout_s=1).items]
    assert not [key for key in keys if key.endswith("/n3")]
    assert KEYS.failure("vip", "n2") in keys and KEYS.member("n2") in keys
    assert not forget(gone.store, gone.view, WITHOUT_N3, "n3")


def test_a_record_that_others_need_stays(gone: Scene) -> None:
    """What is not known to be stopped, and what a group names as its owner."""
    fence = KEYS.fence("n3")
    assert fence in remembered(gone.view, "n3")
    gone.join("n3")
    gone.own("vip", "n3")
    gone.kill("n3", state="safe", evidence="off")
    assert fence not in remembered(gone.view, "n3")
    gone.join("n3")
    gone.delete(KEYS.group("vip"))
    gone.kill("n3")
    assert fence not in remembered(gone.view, "n3")


def test_a_node_that_is_there_is_not_forgotten(gone: Scene) -> None:
    with pytest.raises(RefusedError, match=r"take it out of cluster.yaml first"):
        forget(gone.store, gone.view, gone.spec, "n3")
    gone.join("n3")
    with pytest.raises(RefusedError, match="n3 is alive"):
        forget(gone.store, gone.view, WITHOUT_N3, "n3")


def test_a_session_that_is_opened_meanwhile_keeps_everything(gone: Scene) -> None:
    view = gone.view
    gone.join("n3")
    with pytest.raises(RefusedError, match="changed meanwhile"):
        forget(gone.store, view, WITHOUT_N3, "n3")
    assert KEYS.fence("n3") in remembered(gone.view, "n3")
