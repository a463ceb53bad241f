"""The end of an overlap, as its new owner and its old one see it. What they do together is the simulation's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from election.clock import Instant
from election.records import Failure, Report
from hactl.decide import node as decide
from hactl.decide.groups import step_group
from hactl.decide.local_group import LocalGroup
from hactl.decide.overlap import LONGEST_MOVE_MS, deadline_ms
from hactl.decide.resources import registered
from hactl.decide.state import NodeState, Out
from hactl.model import effects, events
from hactl.model.cluster import GroupSpec
from tests.support.scene import KEYS, Scene, at
from tests.support.specs import resource_spec
from tests.support.stand_in import node_state


class Node:
    """A node in the place of its daemon: what it sends is carried out at once."""

    def __init__(self, scene: Scene, name: str) -> None:
        self.scene, self.now = scene, at(1_000_000)
        self.state: NodeState = node_state(scene.spec, name)
        me = scene.holder(name)
        self.state.phase = self.state.session.state = "live"
        self.state.session.session_id, self.state.session.session_revision = me.session_id, me.session_revision
        self.state.session.valid_until = self.now.plus(3_600_000)
        self.state.guard_ready = True
        config = scene.view.config
        assert config is not None
        self.state.config_seen = self.state.config_rev = config.mod_revision
        group = scene.spec.group("vip")
        assert group is not None
        self.run = self.state.runs["vip"] = LocalGroup(group, health={"address": "stopped"})
        self.notes: list[str] = []

    def look(self, health: events.Health | None = None) -> list[str]:
        """Let it go on; what it does: purposes of what it sends, actions on the resource, registrations."""
        if health is not None:
            self.run.acting.clear()
            self.run.health["address"] = health
        self.state.view, out = self.scene.view, Out(self.state, self.now)
        step_group(self.state, self.run, out)
        wanted = []
        for effect in out.effects:
            if isinstance(effect, effects.SendTxn):
                result = self.scene.store.txn(effect.txn, timeout_s=5)
                assert result.succeeded
                decide.step(self.state, events.TxnDone(effect.id, result), self.now)
                wanted.append(effect.purpose)
            elif isinstance(effect, effects.Act):
                wanted.append(effect.action)
            elif isinstance(effect, effects.GuardRegister):
                wanted.append("register")
            elif isinstance(effect, effects.Note):
                self.notes.append(effect.event)
        return wanted

    def refuse(self, problem: str) -> None:
        """The resource could not be registered."""
        registered(self.state, self.run, "address", False, problem, Out(self.state, self.now))

    def wait(self, ms: float) -> None:
        self.now: Instant = self.now.plus(ms)


@pytest.fixture
def scene() -> Scene:
    """n2 owns the group since a moment; n1, who had it before, still runs it."""
    cluster = Scene()
    cluster.join("n1", "n2", "n3")
    cluster.own("vip", "n2", phase="stopped", holders=(cluster.holder("n1"),), overlap=True, reason="moved by anna")
    return cluster


@pytest.fixture
def new(scene: Scene) -> Node:
    node = Node(scene, "n2")
    node.run.granted = 7
    return node


@pytest.fixture
def old(scene: Scene) -> Node:
    node = Node(scene, "n1")
    node.run.health["address"] = "running"
    return node


def fail(new: Node) -> None:
    """It cannot be registered, as often as it is tried."""
    for _ in range(new.run.spec.restarts + 1):
        assert new.look() == ["register"]
        assert new.look() == []  # its answer is waited for
        new.refuse("10.0.0.30/24 is not in any network of this node")
        new.wait(60_000 if new.run.restarts <= new.run.spec.restarts else 0)
        new.run.overlap_seen = None  # not what this is about


def test_a_new_owner_that_fails_gives_it_back_and_the_old_one_takes_it(scene: Scene, new: Node, old: Node) -> None:
    fail(new)
    assert new.look() == ["release"]
    own = scene.view.groups["vip"].record
    assert (own.state, own.node, [holder.node for holder in own.holders]) == ("released", "n2", ["n1"])
    assert scene.view.failures["vip/n2"].record.reason.endswith("is not in any network of this node")
    assert new.notes[-1] == "group_given_back"
    assert new.look() == []  # a promise: nothing is started here any more
    assert old.look() == ["acquire"]
    own = scene.view.groups["vip"].record
    assert (own.state, own.node, own.holders) == ("owned", "n1", ())
    assert own.reason.startswith("n2 could not start it: start failed: 10.0.0.30/24 is not in any")


def test_a_start_that_hangs_is_ended_when_the_move_has_taken_too_long(scene: Scene, new: Node) -> None:
    new.run.registered.add("address")
    assert new.look() == ["start"]
    new.wait(deadline_ms(new.run.spec) - 1)
    assert new.look() == []
    new.wait(1)
    assert new.look() == ["kill"]
    assert new.look("stopped") == ["release"]
    assert scene.view.groups["vip"].record.reason == "n2 did not start it within 5 s"


def test_an_old_owner_that_died_gets_nothing_back(scene: Scene, new: Node) -> None:
    fail(new)
    scene.kill("n1")
    new.wait(10_000)
    assert new.look() == ["register"]  # it goes on trying, as an ordinary owner
    assert scene.view.groups["vip"].record.state == "owned"


def test_a_group_that_is_disabled_ends_on_both_sides(scene: Scene, new: Node, old: Node) -> None:
    for node in (new, old):
        node.run.spec = replace(node.run.spec, enabled=False)
    assert old.look() == ["stop"]
    assert new.look() == ["release"]
    assert old.look("stopped") == ["leave"]
    own = scene.view.groups["vip"].record
    assert (own.state, own.holders) == ("released", ())


def test_an_old_owner_in_standby_stops_a_group_given_back(scene: Scene, new: Node, old: Node) -> None:
    scene.put(KEYS.standby("n1"), "anna")
    assert old.look() == []  # it serves until the new owner does
    fail(new)
    assert new.look() == ["release"]
    assert old.look() == ["stop"]
    assert old.look("stopped") == ["leave"]
    assert scene.view.groups["vip"].record.holders == ()


def test_an_old_owner_in_standby_does_not_wait_for_a_new_one_without_end(scene: Scene, old: Node) -> None:
    scene.put(KEYS.standby("n1"), "anna")
    assert old.look() == []
    old.wait(deadline_ms(old.run.spec) + 2 * old.state.timing.lease_ms)
    assert old.look() == ["stop"]


@pytest.mark.parametrize("state", ["handoff", "released", "owned"])
@pytest.mark.parametrize("health", ["stopped", "failed"])
@pytest.mark.parametrize("unable", ["failed", "unfit", "held back"])
def test_an_old_owner_that_lost_it_and_cannot_start_it_again_leaves_it_to_others(
    scene: Scene, old: Node, state: str, health: events.Health, unable: str
) -> None:
    scene.own("vip", "n2", state=state, phase="stopped", holders=(scene.holder("n1"),), overlap=True)
    if unable == "failed":
        scene.put(KEYS.failure("vip", "n1"), Failure(3, "address", "no link"))
    elif unable == "unfit":
        scene.put(KEYS.report("n1"), Report("s-n1", 1, {}, {}, {"vip": {"level": "unfit", "why": "no link"}}))
    else:
        old.state.watchdog_missing = True
    if state != "owned":
        scene.kill("n2", state="safe")
    done = old.look(health)
    if health == "failed":
        assert done in (["stop"], ["kill"])
        done = old.look("stopped")
    assert done == ["leave"]
    assert scene.view.groups["vip"].record.holders == ()


def test_an_old_owner_whose_daemon_began_anew_looks_whether_it_still_runs(scene: Scene, old: Node) -> None:
    old.run.health.clear()
    assert old.look() == ["probe"]
    assert old.look("running") == []
    assert scene.view.groups["vip"].record.holders == (scene.holder("n1"),)


def test_a_move_has_a_deadline_however_long_its_starts_may_take() -> None:
    resources = tuple(resource_spec(f"r{number}", "vip", start_timeout_ms=40_000) for number in range(5))
    assert deadline_ms(GroupSpec("g", resources)) == LONGEST_MOVE_MS
    assert deadline_ms(GroupSpec("g", resources[:1])) == 40_000
