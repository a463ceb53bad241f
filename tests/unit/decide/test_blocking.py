"""Resources that cannot be stopped, or not even registered; groups that are blocked, and what ends that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from election.records import Block, Cleanup, Session
from election.store import KeyValue
from fencing.topology import Device, Level, NodeFencing, Target, Topology
from hactl.decide import node as decide
from hactl.decide.blocking import block, self_fence
from hactl.decide.resources import acted, registered
from hactl.decide.state import Out
from hactl.model import effects, events
from hactl.model.purposes import Purpose
from tests.support.scene import KEYS, LEASE_MS, Scene
from tests.unit.decide.test_overlap import Node


@pytest.fixture
def owner() -> Node:
    """n2 owns the group, which is to take its node down rather than be blocked there."""
    scene = Scene()
    scene.join("n1", "n2", "n3")
    scene.own("vip", "n2")
    node = Node(scene, "n2")
    group = node.run.spec = replace(node.run.spec, on_stop_failure="self-fence")
    node.state.cluster = replace(scene.spec, groups=(group, *scene.spec.groups[1:]))
    node.run.granted, node.run.registered = 7, {"address"}
    node.state.view = scene.view
    return node


def cannot_stop(node: Node) -> list[str]:
    """Its stop and its kill fail; what follows: purposes of what is sent, and "self-fence"."""
    wanted: list[str] = []
    node.state.view = node.scene.view
    for action in ("stop", "kill"):
        out = Out(node.state, node.now)
        node.run.acting["address"] = (99, action)  # type: ignore[assignment]
        acted(node.state, node.run, "address", events.Acted(99, False, "failed", "it hangs"), out)
        wanted += [effect.purpose for effect in out.effects if isinstance(effect, effects.SendTxn)]
        wanted += ["self-fence" for effect in out.effects if isinstance(effect, effects.SelfFence)]
        for send in [effect for effect in out.effects if isinstance(effect, effects.SendTxn)]:
            result = node.scene.store.txn(send.txn, timeout_s=5)
            node.state.view = node.scene.view
            after = decide.step(node.state, events.TxnDone(send.id, result), node.now).effects
            wanted += ["self-fence" for effect in after if isinstance(effect, effects.SelfFence)]
    return wanted


def test_a_node_blocks_the_group_before_it_takes_itself_down(owner: Node) -> None:
    assert cannot_stop(owner) == ["block", "self-fence"]
    assert owner.scene.view.blocks["vip"].record.node == "n2"


def test_no_second_node_goes_down_for_it(owner: Node) -> None:
    owner.scene.put(KEYS.blocked("vip"), Block("n1", "another", "address", "it hangs"))
    assert cannot_stop(owner) == []


def test_the_last_node_does_not_go_down(owner: Node) -> None:
    owner.scene.kill("n1")
    owner.scene.kill("n3")
    assert cannot_stop(owner) == []
    assert not owner.scene.view.blocks


def test_two_nodes_go_down_for_two_groups_one_after_the_other(owner: Node) -> None:
    """What both groups need is broken everywhere."""
    scene = owner.scene
    scene.put(KEYS.blocked("database"), Block("n1", scene.holder("n1").session_id, "mariadb", "it hangs"))
    assert cannot_stop(owner) == ["block"]  # n1 goes first, and lives yet
    scene.kill("n1")
    assert cannot_stop(owner) == []
    assert owner.state.noted["down"].startswith("self_fence_waits")
    scene.put(KEYS.node("n1"), Session("s-new", "machine-n1", "boot-n1", LEASE_MS, 1))
    assert cannot_stop(owner) == ["self-fence"]


def test_the_node_that_blocked_its_group_first_waits_for_no_other(owner: Node) -> None:
    scene, me = owner.scene, owner.scene.holder("n2")
    scene.put(KEYS.blocked("vip"), Block("n2", me.session_id, "address", "it hangs"))
    scene.put(KEYS.blocked("database"), Block("n1", scene.holder("n1").session_id, "mariadb", "it hangs"))
    assert cannot_stop(owner) == ["self-fence"]


def test_earlier_blocks_are_known_first(owner: Node) -> None:
    """The answer to the block comes before the watch has told of another's."""
    known = owner.scene.view
    scene, me = owner.scene, owner.scene.holder("n2")
    scene.put(KEYS.blocked("vip"), Block("n2", me.session_id, "address", "it hangs"))
    first = scene.view.blocks["vip"]
    known.learn(
        KEYS.blocked("vip"),
        KeyValue(KEYS.blocked("vip"), first.record.to_json(), first.mod_revision, first.mod_revision),
        first.mod_revision,
    )
    owner.state.view, out = known, Out(owner.state, owner.now)
    self_fence(owner.state, owner.run, out)
    assert out.effects == []
    owner.state.view = scene.view
    self_fence(owner.state, owner.run, out)
    assert [effect for effect in out.effects if isinstance(effect, effects.SelfFence)]


@pytest.fixture
def fenceable(owner: Node) -> Node:
    """The same, but it has the others fence it: it has a device."""
    group = owner.run.spec = replace(owner.run.spec, fencing="required", overlap=False, on_stop_failure="fence")
    level = Level((Target("bmc", "2"),))
    topology = Topology({"bmc": Device("bmc", "fence_dummy")}, {"n2": NodeFencing((level,), action="off")})
    spec = owner.scene.spec
    owner.state.cluster = replace(spec, groups=(group, *spec.groups[1:]), fencing=topology)
    return owner


def test_a_node_has_itself_fenced_and_holds_no_session_any_more(fenceable: Node) -> None:
    """Nothing is switched off while a session is there (S5)."""
    session = fenceable.scene.view.sessions["n2"]
    assert cannot_stop(fenceable) == ["block"]
    view = fenceable.scene.view
    assert view.blocks["vip"].record.fenced
    [send] = [pending for pending in fenceable.state.pending.values() if pending.purpose is Purpose.ASK_FENCE]
    assert fenceable.scene.store.txn(send.txn, timeout_s=5).succeeded
    view = fenceable.scene.view
    record = view.fences["n2"].record
    assert "n2" not in view.sessions
    assert (record.state, record.wanted, record.session_id, record.session_revision, record.deposed_revision) == (
        "pending", "off", session.record.session_id, session.create_revision, 0,
    )  # fmt: skip
    assert record.by == "n2: vip/address"


def test_it_asks_for_that_again_only_once_the_group_was_cleaned_up(fenceable: Node) -> None:
    fenceable.scene.put(KEYS.blocked("vip"), Block("n1", "another", "address", "it hangs", fenced=True))
    assert cannot_stop(fenceable) == []
    assert not fenceable.state.sending(Purpose.ASK_FENCE)
    fenceable.scene.delete(KEYS.blocked("vip"))
    assert cannot_stop(fenceable) == ["block"]
    assert fenceable.state.sending(Purpose.ASK_FENCE)


@pytest.mark.parametrize("lacks", ["device", "required", "peers"])
def test_without_what_it_takes_it_waits_for_an_operator(fenceable: Node, lacks: str) -> None:
    cluster = fenceable.state.cluster
    assert cluster is not None
    if lacks == "device":
        fenceable.state.cluster = replace(cluster, fencing=Topology())
    elif lacks == "required":
        fenceable.run.spec = replace(fenceable.run.spec, fencing="lease")
    else:
        fenceable.scene.kill("n1")
        fenceable.scene.kill("n3")
    assert cannot_stop(fenceable) == []
    assert not fenceable.scene.view.blocks


def test_a_group_whose_node_was_fenced_starts_elsewhere(owner: Node) -> None:
    scene = owner.scene
    scene.own("vip", "n1", state="released")
    scene.put(KEYS.blocked("vip"), Block("n3", "s", "address", "it hangs", fenced=True))
    owner.run.granted = 0
    owner.wait(60_000)
    owner.look("stopped")
    owner.wait(60_000)
    assert owner.look() == ["acquire"]


def test_a_block_that_lingers_does_not_outlast_a_cleanup(owner: Node) -> None:
    out = Out(owner.state, owner.now)
    block(owner.state, owner.run, "address", "it hangs", out)
    (send,) = [effect for effect in out.effects if isinstance(effect, effects.SendTxn)]
    owner.scene.put(KEYS.cleanup("vip"), Cleanup("one", "", "anna"))
    assert not owner.scene.store.txn(send.txn, timeout_s=5).succeeded


def test_a_group_never_started_here_takes_no_node_down(owner: Node) -> None:
    owner.run.registered.clear()
    assert cannot_stop(owner) == []


def test_a_blocked_group_is_started_nowhere_until_a_cleanup(owner: Node) -> None:
    scene = owner.scene
    scene.own("vip", "n1", state="released")
    scene.put(KEYS.blocked("vip"), Block("n3", "s", "address", "it hangs"))
    owner.run.granted = 0
    owner.wait(60_000)
    assert owner.look("stopped") == []
    owner.wait(60_000)
    assert owner.look() == []
    assert owner.run.waiting.startswith("blocked: n3 took itself down since address could not be stopped (it hangs)")
    scene.delete(KEYS.blocked("vip"))
    owner.look()
    owner.wait(60_000)
    assert owner.look() == ["acquire"]


def test_a_cleanup_forgets_what_failed_here_once(owner: Node) -> None:
    owner.run.registered.clear()
    owner.look("stopped")
    registered(owner.state, owner.run, "address", False, "no such network", Out(owner.state, owner.now))
    registered(owner.state, owner.run, "address", False, "no such network", Out(owner.state, owner.now))
    assert owner.run.failure == "start failed: no such network"
    assert owner.look() == []  # it waits
    owner.scene.put(KEYS.cleanup("vip"), Cleanup("one", "n1", "anna"))
    assert owner.look() == []  # of another node
    owner.scene.put(KEYS.cleanup("vip"), Cleanup("two", "n2", "anna"))
    assert owner.look() == ["register"]
    assert (owner.run.restarts, owner.run.failure) == (0, "")
    registered(owner.state, owner.run, "address", False, "no such network", Out(owner.state, owner.now))
    owner.look()
    assert owner.run.restarts == 1


def test_a_resource_that_cannot_be_registered_waits_also_where_its_record_cannot_be_read(owner: Node) -> None:
    owner.run.registered.clear()
    owner.scene.put(KEYS.group("vip"), "oops")
    assert owner.look("stopped") == ["register"]
    for _ in range(2):
        registered(owner.state, owner.run, "address", False, "no such network", Out(owner.state, owner.now))
    assert owner.look() == []
    assert owner.run.failure == "start failed: no such network"
