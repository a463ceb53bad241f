"""Groups that are left alone: how that begins, what happens meanwhile, and how they are taken again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from election.records import Ban, GroupReport, Maintenance, Move, Ownership, Restart, Stop
from election.store import Put
from hactl.decide.placement.plan import plan
from hactl.decide.planned import ALL, key_of, node_scope
from hactl.decide.suspicion import owns_required
from hactl.model import events
from tests.support.daemon import Daemon, boot
from tests.support.scene import KEYS, Scene
from tests.unit.decide.test_first_steps import scene
from tests.unit.decide.test_group_steps import adopted, beside, settle

ACTS = ("start", "stop", "kill")


def acts(daemon: Daemon, since: int = 0) -> list[str]:
    return [step for step in daemon.done[since:] if step.startswith(ACTS)]


def key(scope: str) -> str:
    return key_of(KEYS, scope)


def alone(scope: str = "vip") -> tuple[Scene, Daemon]:
    """n1 runs vip, and has left it alone."""
    here = scene()
    daemon = beside(here)
    here.put(key(scope), Maintenance("anna"))
    settle(daemon)
    return here, daemon


def come_back(daemon: Daemon) -> None:
    """It begins, and opens a session as soon as its last one is over."""
    daemon.begin()
    for _ in range(60):
        daemon.wait(250)
        daemon.watch()
    assert daemon.state.phase == "live"


NODE = node_scope("n1")


@pytest.mark.parametrize("scope", ["vip", ALL, NODE])
def test_the_owner_leaves_it_alone_and_the_guard_lets_go(scope: str) -> None:
    here, daemon = alone(scope)
    own = here.view.groups["vip"].record
    assert (own.node, own.state) == ("n1", "unmanaged")
    assert daemon.health == {"vip/address": "running"} and daemon.done[-1] == "report"
    assert daemon.done.index("unmanage") < daemon.done.index("unregister vip/address")
    assert daemon.notes["group_unmanaged"] == {"group": "vip", "by": "anna", "until": ""}


def test_a_request_that_cannot_be_read_counts() -> None:
    here = scene()
    daemon = beside(here)
    here.put(KEYS.maintenance("vip"), "{")
    settle(daemon)
    assert here.view.groups["vip"].record.state == "unmanaged"


def test_what_was_begun_comes_to_its_end_first() -> None:
    here = scene()
    daemon = Daemon(here, "n1")
    daemon.unanswered = {"act"}
    daemon.begin()
    for _ in range(3):
        daemon.watch()
    probing = daemon.last("act")
    daemon.unanswered = set()
    here.put(KEYS.maintenance("other"), Maintenance())
    daemon.run(events.Acted(probing.id, True, "stopped"))
    settle(daemon)
    assert here.view.groups["vip"].record.state == "owned" and daemon.health["vip/address"] == "running"
    daemon.unanswered = {"act"}
    here.put(KEYS.restart("vip"), Restart("r1", here.view.groups["vip"].record.epoch))
    settle(daemon)
    here.put(KEYS.maintenance("vip"), Maintenance())
    settle(daemon)
    assert here.view.groups["vip"].record.state == "owned"  # it is being stopped
    daemon.unanswered = set()
    daemon.health["vip/address"] = "stopped"
    daemon.run(events.Acted(daemon.last("act").id, True, "stopped"))
    settle(daemon)
    assert here.view.groups["vip"].record.state == "unmanaged" and daemon.health["vip/address"] == "running"


@pytest.mark.parametrize(
    "wish",
    [
        lambda here: here.put(KEYS.stopped("vip"), Stop("anna")),
        lambda here: here.put(KEYS.standby("n1"), "anna"),
        lambda here: here.put(KEYS.ban("vip", "n1"), Ban("anna")),
        lambda here: here.put(KEYS.move("vip"), Move("i", "n2", "n1", here.holder("n1").session_revision)),
    ],
)
def test_nothing_is_stopped_or_moved_meanwhile(wish: object) -> None:
    here, daemon = alone()
    here.join("n2")
    since = len(daemon.done)
    wish(here)  # type: ignore[operator]
    settle(daemon)
    assert acts(daemon, since) == [] and here.view.groups["vip"].record.state == "unmanaged"


def test_what_fails_is_not_started_and_counts_for_nothing() -> None:
    here, daemon = alone()
    since = len(daemon.done)
    for _ in range(5):
        daemon.run(events.Observed("vip", "address", "failed", "gone"))
        daemon.run(events.Observed("vip", "address", "stopped", "gone"))
    settle(daemon).wait(500)
    assert acts(daemon, since) == [] and not here.view.failures
    assert daemon.notes["resource_failed"]["reason"] == "gone (maintenance)"


def test_the_end_of_the_lease_stops_nothing() -> None:
    here, daemon = alone()
    since = len(daemon.done)
    daemon.unanswered = {"renew", "report", "list"}
    daemon.wait(3500)
    assert daemon.state.emergency and acts(daemon, since) == []
    here.kill("n1")
    daemon.unanswered = set()
    settle(daemon)
    daemon.wait(300)
    settle(daemon)
    assert daemon.state.phase == "live" and daemon.log.count("session_opened") == 2
    assert acts(daemon, since) == [] and here.view.groups["vip"].record.state == "unmanaged"


def test_a_guard_that_dies_ends_the_daemon_and_stops_nothing() -> None:
    _, daemon = alone()
    since = len(daemon.done)
    assert "exit 1" in daemon.run(events.GuardLost()) and acts(daemon, since) == []


def test_a_daemon_without_a_guard_stops_nothing_that_is_left_alone() -> None:
    here = scene()
    here.join("n1")
    here.own("vip", "n1", state="unmanaged")
    here.put(KEYS.maintenance("vip"), Maintenance())
    daemon = Daemon(here, "n1", boot("n1"))  # in the same boot: nobody knows what runs
    daemon.health["vip/address"] = "running"
    come_back(daemon)
    assert acts(daemon) == [] and here.view.groups["vip"].record.state == "unmanaged"


def test_others_start_nothing_and_stop_nothing_that_they_did_not_start() -> None:
    here = scene()
    here.join("n2")
    here.own("vip", "n2", state="unmanaged")
    here.put(KEYS.maintenance("vip"), Maintenance())
    daemon = beside(here)
    daemon.run(events.Observed("vip", "address", "running", "an operator is at work"))
    settle(daemon).wait(500)
    assert acts(daemon) == []


@pytest.mark.parametrize("state", ["released", "", "owned"])
def test_a_group_without_an_owner_is_not_taken(state: str) -> None:
    here = scene()
    if state:
        here.join("n2")
        here.own("vip", "n2", state=state)
        here.kill("n2", state="safe", evidence="off")
    here.put(KEYS.maintenance(ALL), Maintenance())
    daemon = beside(here)
    assert acts(daemon) == [] and "acquire" not in daemon.done
    here.delete(KEYS.maintenance(ALL))
    for _ in range(10):
        daemon.wait(250)
        settle(daemon)
    assert acts(daemon) == ["start vip/address"]


class TestTheEnd:
    """The request is gone."""

    def test_what_runs_is_held_by_the_guard_before_it_is_taken_again(self) -> None:
        here, daemon = alone()
        before, since = here.view.groups["vip"].record, len(daemon.done)
        here.delete(KEYS.maintenance("vip"))
        settle(daemon)
        done = [step for step in daemon.done[since:] if step not in ("report", "renew")]
        assert done == ["leavealone", "probe", "probe vip/address", "register vip/address", "resume"]
        own = here.view.groups["vip"].record
        assert (own.node, own.state) == ("n1", "owned") and own.epoch > before.epoch and not here.view.probes

    def test_what_does_not_run_is_started(self) -> None:
        here, daemon = alone()
        daemon.health["vip/address"] = "stopped"  # by hand, unseen
        since = len(daemon.done)
        here.delete(KEYS.maintenance("vip"))
        settle(daemon)
        assert acts(daemon, since) == ["start vip/address"]

    def test_it_is_not_started_beside_a_copy_elsewhere(self) -> None:
        here, daemon = alone()
        here.join("n2")
        settle(daemon)
        daemon.health["vip/address"] = "stopped"
        since = len(daemon.done)
        here.delete(KEYS.maintenance("vip"))
        settle(daemon)
        self.answer(here, "n2", {"phase": "running"})
        settle(daemon)
        assert (
            acts(daemon, since) == [] and daemon.state.runs["vip"].waiting == "it runs on n2, outside of any ownership"
        )
        self.answer(here, "n2", {"phase": "stopped"})
        settle(daemon)
        assert acts(daemon, since) == ["start vip/address"]

    @pytest.mark.parametrize("scope", ["vip", ALL, NODE])
    def test_an_answer_of_an_earlier_end_does_not_count(self, scope: str) -> None:
        here, daemon = alone(scope)
        here.join("n2")
        here.delete(key(scope))
        settle(daemon)
        first = here.view.probes["vip"].mod_revision
        here.put(key(scope), Maintenance())
        settle(daemon)
        self.answer(here, "n2", {"phase": "stopped"})
        here.delete(key(scope))
        settle(daemon)
        assert here.view.probes["vip"].mod_revision > first and here.view.groups["vip"].record.state == "unmanaged"
        self.answer(here, "n2", {"phase": "stopped"})
        settle(daemon)
        assert here.view.groups["vip"].record.state == "owned"

    def test_the_next_session_of_the_node_takes_it_again(self) -> None:
        here = scene()
        here.join("n1")
        here.own("vip", "n1", state="unmanaged")
        here.kill("n1", state="safe", evidence="self-stop")
        daemon = Daemon(here, "n1", boot("n1", last_session_id="s-n1"))
        daemon.health["vip/address"] = "running"
        come_back(daemon)
        assert acts(daemon) == [] and here.view.groups["vip"].record.state == "owned"

    def test_a_daemon_that_adopted_the_session_takes_it_again(self) -> None:
        here = scene()
        here.join("n1")
        here.own("vip", "n1", state="unmanaged")
        daemon = adopted(here)
        daemon.health["vip/address"] = "running"
        daemon.begin()
        settle(daemon)
        assert acts(daemon) == [] and here.view.groups["vip"].record.state == "owned"

    def test_a_guard_that_does_not_take_it_is_asked_again_later(self) -> None:
        here, daemon = alone()
        daemon.unanswered = {"register"}
        here.delete(KEYS.maintenance("vip"))
        settle(daemon)
        asked = daemon.done.count("register vip/address")
        daemon.run(events.GuardAnswered("vip/address", False, "No space left on device"))
        daemon.wait(100)
        assert (
            daemon.done.count("register vip/address") == asked and here.view.groups["vip"].record.state == "unmanaged"
        )
        daemon.wait(1000)
        assert daemon.done.count("register vip/address") == asked + 1

    def answer(self, here: Scene, name: str, entry: GroupReport) -> None:
        """A node answers the question that there is."""
        report, probe = here.view.reports[name].record, here.view.probes["vip"].mod_revision
        here.put(KEYS.report(name), replace(report, groups={"vip": entry}, probes={"vip": probe}))


def test_nobody_is_fenced_for_what_is_left_alone() -> None:
    here = Scene()
    here.join("n1", "n2")
    here.own("database", "n1")
    holder = here.holder("n1")
    assert owns_required(here.view, here.spec, holder)
    for scope in ("database", ALL):
        here.put(KEYS.maintenance(scope), Maintenance())
        assert not owns_required(here.view, here.spec, holder)
        here.delete(KEYS.maintenance(scope))
    here.own("database", "n1", state="unmanaged")
    assert owns_required(here.view, here.spec, holder)  # afterwards


class TestOfANode:
    """`hactl maintenance on --node n1`."""

    def test_what_it_has_is_left_alone_and_nothing_else(self) -> None:
        here = Scene()
        here.join("n1", "n2")
        here.own("vip", "n1")
        here.own("database", "n2")
        daemon = adopted(here)
        daemon.health["vip/address"] = "running"
        daemon.begin()
        here.put(key(NODE), Maintenance())
        settle(daemon)
        assert {name: known.record.state for name, known in here.view.groups.items()} == {
            "vip": "unmanaged", "database": "owned"
        }  # fmt: skip

    def test_no_group_comes_to_it(self) -> None:
        here = Scene()
        here.join("n1", "n2", "n3")
        here.own("vip", "n1")
        here.own("database", "n2")
        here.put(key(NODE), Maintenance())
        choices = plan(here.spec, here.view)
        assert choices.choice("vip").candidates == ("n1", "n2", "n3")
        assert choices.choice("database").candidates == ("n2",)
        assert choices.choice("database").excluded["n1"] == "in maintenance"
        here.own("database", "n2", state="released")
        assert plan(here.spec, here.view).choice("database").candidates == ("n2",)
        here.own("database", "n1", state="released")  # it has it no more
        assert plan(here.spec, here.view).choice("database").candidates == ("n2",)
        here.delete(KEYS.group("database"))
        assert plan(here.spec, here.view).choice("database").candidates == ("n2",)

    def test_an_overlap_that_was_begun_may_give_it_back(self) -> None:
        here = Scene()
        here.join("n1", "n2", "n3")
        here.put(key(NODE), Maintenance())
        here.own("vip", "n2", holders=(here.holder("n1"),))
        assert "n1" in plan(here.spec, here.view).choice("vip").candidates

    def test_what_was_handed_to_it_is_not_to_leave(self) -> None:
        here = Scene()
        here.join("n1", "n2", "n3")
        here.put(key(NODE), Maintenance())
        here.own("vip", "n1", state="handoff")
        choice = plan(here.spec, here.view).choice("vip")
        assert "n1" in choice.candidates and "n1" not in choice.stops

    def test_what_was_handed_to_it_before_is_accepted_and_left_alone(self) -> None:
        here = scene()
        here.join("n2")
        here.own("vip", "n2")
        daemon = beside(here)
        holder = here.holder("n1")
        offered = Ownership("n1", holder.session_id, holder.session_revision, 99, "handoff", reason="moved")
        here.txn(Put(KEYS.group("vip"), offered.to_json()), Put(key(NODE), Maintenance().to_json()))
        for _ in range(5):
            daemon.wait(250)
            settle(daemon)
        own = here.view.groups["vip"].record
        assert (own.node, own.state, daemon.health["vip/address"]) == ("n1", "unmanaged", "running")

    def test_it_is_not_fenced_whatever_it_holds(self) -> None:
        here = Scene()
        here.join("n1", "n2")
        here.own("database", "n2", holders=(here.holder("n1"),))
        assert owns_required(here.view, here.spec, here.holder("n1"))
        here.put(key(NODE), Maintenance())
        assert not owns_required(here.view, here.spec, here.holder("n1"))
        assert owns_required(here.view, here.spec, here.holder("n2"))

    def test_a_lost_group_of_it_is_not_taken(self) -> None:
        here = scene()
        here.join("n2")
        here.own("vip", "n2")
        here.put(key(node_scope("n2")), Maintenance())
        here.kill("n2", state="safe", evidence="off")
        daemon = beside(here)
        for _ in range(20):
            daemon.wait(250)
            settle(daemon)
        assert acts(daemon) == [] and here.view.groups["vip"].record.node == "n2"
        here.delete(key(node_scope("n2")))
        for _ in range(20):
            daemon.wait(250)
            settle(daemon)
        assert acts(daemon) == ["start vip/address"]

    def test_it_is_taken_again_as_it_is_found(self) -> None:
        here, daemon = alone(NODE)
        since = len(daemon.done)
        here.delete(key(NODE))
        settle(daemon)
        assert acts(daemon, since) == [] and here.view.groups["vip"].record.state == "owned"

    def test_one_that_begins_again_meanwhile_is_heeded(self) -> None:
        here, daemon = alone(NODE)
        here.join("n2")
        here.delete(key(NODE))
        settle(daemon)
        TestTheEnd().answer(here, "n2", {"phase": "stopped"})
        answered = daemon.seen()
        here.put(key(NODE), Maintenance())
        daemon.unanswered = {"resume"}
        daemon.run(answered)  # it sees the answer, and not yet that it begins again
        sent = daemon.last("resume").txn
        assert not here.store.txn(sent, timeout_s=5).succeeded
        here.delete(key(NODE))
        assert here.store.txn(sent, timeout_s=5).succeeded


def test_what_was_left_alone_is_known_to_have_been_started_here() -> None:
    """Else it would count as stopped, and be given away, when its state cannot be told afterwards."""
    here, daemon = alone()
    run = daemon.state.runs["vip"]
    assert not run.registered and run.started
    run.health = dict.fromkeys(run.health, "failed")
    run.stop_failed = "its monitor hangs"
    assert not run.barred and run.phase == "blocked"
    assert here.view.groups["vip"].record.state == "unmanaged"
