"""How the other nodes see a group, and when that is a failure of the group."""

from __future__ import annotations

from dataclasses import replace

import pytest

from election.records import ClientViewReport, Failure, Report
from hactl.decide import client_view
from hactl.decide.client_reports import unseen_because
from hactl.decide.resources import settle
from hactl.decide.state import Out
from hactl.model.events import GroupProbed
from hactl.model.probes import HealthProbe, Rhythm, TcpCheck
from tests.support.scene import KEYS, Scene
from tests.unit.decide.test_overlap import Node

PROBE = HealthProbe(TcpCheck(80), Rhythm(interval_ms=1000, timeout_ms=500, fall=2))
SETTLED_MS = 3_500.0


class Probed(Node):
    """n2, which runs `vip` in its ownership 7, of which the other nodes ask the address."""

    def __init__(self, name: str = "n2") -> None:
        scene = Scene()
        scene.join("n1", "n2", "n3")
        scene.own("vip", "n2", epoch=7)
        super().__init__(scene, name)
        self.run.spec = replace(self.run.spec, overlap=False, probes=(PROBE,), restarts=1)
        self.run.granted, self.run.epoch, self.run.health = 7, 7, {"address": "running"}
        self.run.since_running = self.now
        self.now = self.now.plus(SETTLED_MS)

    def say(self, *levels: str, epoch: int = 7, session: str = "") -> None:
        """What n1 and n3 report of it."""
        for name, level in zip(("n1", "n3"), levels, strict=False):
            view = {"vip": ClientViewReport(epoch=epoch, level=level, why="tcp: refused")} if level else {}
            report = Report(session or f"s-{name}", 1, client_views=view)
            self.scene.put(KEYS.report(name), report)
        self.state.view = self.scene.view

    def looks(self, ms: float = 0.0) -> bool:
        self.now = self.now.plus(ms)
        return client_view.must_restart(self.state, self.run, Out(self.state, self.now))


@pytest.fixture
def owner() -> Probed:
    return Probed()


@pytest.mark.parametrize(
    ("levels", "reason"),
    [
        (("failed", "failed"), "n1, n3 cannot reach it: tcp: refused"),
        (("failed", "unreached"), "n1 cannot reach it: tcp: refused"),
        (("", "failed"), "n3 cannot reach it: tcp: refused"),
        (("failed", "well"), ""),
        (("unreached", "unreached"), ""),
        (("well", "unreached"), ""),
        (("", ""), ""),
    ],
)
def test_it_has_failed_when_who_saw_it_well_sees_it_fail_and_nobody_sees_it_well(
    owner: Probed, levels: tuple[str, str], reason: str
) -> None:
    owner.say(*levels)
    assert unseen_because(owner.state.view, "vip") == reason
    assert owner.looks() == bool(reason)
    assert owner.run.restarts == bool(reason)


@pytest.mark.parametrize("about", [{"epoch": 6}, {"session": "an earlier one"}])
def test_what_was_said_of_an_earlier_ownership_or_in_an_earlier_session_does_not_count(
    owner: Probed, about: dict[str, str]
) -> None:
    owner.say("failed", "failed", **about)  # type: ignore[arg-type]
    assert not owner.looks()


def test_nor_does_what_a_dead_node_said(owner: Probed) -> None:
    owner.say("failed", "failed")
    for name in ("n1", "n3"):
        owner.scene.delete(KEYS.node(name))
    owner.state.view = owner.scene.view
    assert not owner.looks()


def test_it_is_not_counted_again_before_the_reports_can_be_of_after_the_restart(owner: Probed) -> None:
    owner.say("failed", "failed")
    assert owner.looks()
    owner.run.health["address"] = "stopped"
    assert not owner.looks()  # it is stopped: now it is started
    owner.run.health["address"], owner.run.since_running = "running", owner.now
    assert not owner.looks(SETTLED_MS - 1)
    assert owner.run.restarts == 1
    assert not owner.looks(1)  # the second time it waits
    assert owner.run.restarts == 2
    assert owner.looks(500)


def test_where_it_can_go_nowhere_it_is_left_as_it_is(owner: Probed) -> None:
    """Restarts beyond `restarts` would not help, and would hurt those clients that reach it."""
    owner.say("failed", "failed")
    owner.run.restarts = 2
    assert not owner.looks(100_000)
    owner.run.retry_at = None
    out = Out(owner.state, owner.now.plus(1e9))
    settle(owner.state, owner.run, out)
    assert owner.run.restarts == 2  # it runs, and is not well: nothing is forgotten
    owner.say("well", "failed")
    settle(owner.state, owner.run, out)
    assert owner.run.restarts == 0


def test_what_gets_well_while_it_waits_is_not_restarted(owner: Probed) -> None:
    owner.run.spec, owner.run.restarts = replace(owner.run.spec, restarts=5), 3
    owner.say("failed", "failed")
    assert not owner.looks()
    assert owner.run.unseen
    owner.say("well", "failed")
    assert not owner.looks(60_000)
    assert not owner.run.unseen


class Prober(Probed):
    """n1, which asks."""

    def __init__(self) -> None:
        super().__init__("n1")
        self.state.view = self.scene.view

    def hears(self, *, well: bool, epoch: int = 7) -> ClientViewReport:
        client_view.probed(self.state, GroupProbed("vip", epoch, well, "" if well else "refused"))
        return client_view.own_views(self.state).get("vip", {})


def test_it_fails_only_what_it_saw_well_in_this_ownership() -> None:
    node = Prober()
    assert node.hears(well=False) == {"epoch": 7, "level": "unreached", "why": "refused"}
    assert node.hears(well=True) == {"epoch": 7, "level": "well"}
    assert node.hears(well=False) == {"epoch": 7, "level": "failed", "why": "refused"}
    node.scene.own("vip", "n2", epoch=8)
    node.state.view = node.scene.view
    assert client_view.own_views(node.state) == {}
    assert node.hears(well=False, epoch=8)["level"] == "unreached"


def test_the_next_daemon_goes_on_with_what_was_reported() -> None:
    node = Prober()
    node.say("well")
    assert client_view.own_views(node.state)["vip"]["level"] == "well"
    assert node.hears(well=False)["level"] == "failed"
    node = Prober()
    node.say("well", session="an earlier one")
    assert client_view.own_views(node.state) == {}
    assert node.hears(well=False)["level"] == "unreached"


@pytest.mark.parametrize(
    ("owner", "state", "asks"),
    [("n2", "owned", True), ("n1", "owned", False), ("n2", "handoff", False), ("n2", "released", False)],
)
def test_who_asks(owner: str, state: str, asks: bool) -> None:
    node = Prober()
    node.scene.own("vip", owner, epoch=7, state=state)
    node.state.view = node.scene.view
    assert (client_view.epoch_to_ask(node.state, "vip") == 7) == asks
    if asks:
        node.scene.delete(KEYS.node("n2"))
        node.state.view = node.scene.view
        assert client_view.epoch_to_ask(node.state, "vip") == 0


def test_a_failure_of_the_clients_keeps_the_group_off_the_node_like_any_other(owner: Probed) -> None:
    owner.say("failed", "failed")
    owner.run.restarts = 1
    out = Out(owner.state, owner.now)
    client_view.must_restart(owner.state, owner.run, out)
    writes = [effect.txn.success[0] for effect in out.effects if hasattr(effect, "txn")]
    [write] = writes
    assert Failure.from_json(write.value).reason == "n1, n3 cannot reach it: tcp: refused"  # type: ignore[union-attr]
