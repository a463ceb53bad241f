"""What operators have planned for a group: stopped, restarted, banned from a node."""

from __future__ import annotations

import pytest

from election.records import Ban, Failure, Maintenance, Restart, Scheduled, Stop
from hactl.decide.placement.plan import plan
from hactl.model import events
from tests.support.daemon import Daemon
from tests.support.scene import KEYS, Scene
from tests.unit.decide.test_first_steps import scene
from tests.unit.decide.test_group_steps import adopted, beside, settle

WALL_MS = 1_800_000_000_000


def restart(here: Scene, daemon: Daemon, epoch: int | None = None) -> list[str]:
    """Ask for a restart in the ownership that there is; what n1 does."""
    own = here.view.groups["vip"].record
    here.put(KEYS.restart("vip"), Restart("r1", own.epoch if epoch is None else epoch, "anna"))
    before = len(daemon.done)
    settle(daemon)
    return [step for step in daemon.done[before:] if step not in ("report", "renew")]


def test_a_group_that_is_stopped_is_released_and_stays_so_whatever_restarts() -> None:
    here = scene()
    daemon = beside(here)
    assert daemon.health == {"vip/address": "running"}
    here.put(KEYS.stopped("vip"), Stop("anna"))
    settle(daemon)
    assert here.view.groups["vip"].record.state == "released"
    assert daemon.health == {"vip/address": "stopped"}
    other = beside(here, "n2")  # one that begins finds the request
    for each in (daemon, other):
        settle(each).wait(500)
    assert "acquire" not in other.done and daemon.done.count("start vip/address") == 1
    here.delete(KEYS.stopped("vip"))
    settle(daemon)
    assert daemon.health == {"vip/address": "running"}


def test_a_request_to_stop_that_cannot_be_read_stops_all_the_same() -> None:
    here = scene()
    daemon = beside(here)
    here.put(KEYS.stopped("vip"), "{")
    settle(daemon)
    assert daemon.health == {"vip/address": "stopped"}


def test_a_restart_keeps_the_ownership_and_is_carried_out_once() -> None:
    here = scene()
    daemon = beside(here)
    epoch = here.view.groups["vip"].record.epoch
    done = restart(here, daemon)
    assert [step for step in done if step != "unregister vip/address"] == [
        "stop vip/address", "register vip/address", "start vip/address", "restarted",
    ]  # fmt: skip
    assert here.view.groups["vip"].record.epoch == epoch and not here.view.restarts
    assert settle(daemon).done.count("start vip/address") == 2


@pytest.mark.parametrize("epoch", [1, 1 << 50])
def test_a_restart_of_another_ownership_is_deleted(epoch: int) -> None:
    here = scene()
    daemon = beside(here)
    assert restart(here, daemon, epoch) == ["restarted"]
    assert not here.view.restarts and daemon.done.count("start vip/address") == 1


def test_a_daemon_that_was_restarted_meanwhile_carries_the_restart_out() -> None:
    here = scene()
    here.join("n1")
    here.own("vip", "n1", epoch=7)
    here.put(KEYS.restart("vip"), Restart("r1", 7))
    daemon = adopted(here)
    daemon.health["vip/address"] = "running"
    daemon.begin()
    settle(daemon)
    assert daemon.done.count("stop vip/address") == daemon.done.count("start vip/address") == 1
    assert not here.view.restarts


def test_a_ban_moves_the_group_and_keeps_it_away() -> None:
    here = scene()
    daemon = beside(here)
    here.join("n2")
    settle(daemon)
    here.put(KEYS.ban("vip", "n1"), Ban("anna"))
    settle(daemon)
    own = here.view.groups["vip"].record
    assert (own.node, own.state, own.reason) == ("n2", "handoff", "banned by anna")
    group = here.spec.group("vip")
    assert group is not None
    choice = plan(here.spec, here.view).choice(group.name)
    assert choice.candidates == ("n2",) and choice.excluded == {"n1": "banned by anna"}


def test_a_ban_from_the_last_node_stops_the_group() -> None:
    here = scene()
    daemon = beside(here)
    here.put(KEYS.ban("vip", "n1"), Ban("anna"))
    settle(daemon)
    assert here.view.groups["vip"].record.state == "released" and daemon.health == {"vip/address": "stopped"}


def test_a_failure_of_a_stopped_group_ends_though_no_node_was_tried() -> None:
    here = scene()
    both = beside(here), beside(here, "n2")
    here.put(KEYS.stopped("vip"), Stop("anna"))
    here.put(KEYS.failure("vip", "n1"), Failure(3, "address", "no link"))
    for _ in range(round(61_000 / 250)):
        for daemon in both:
            daemon.wait(250)
        for daemon in both:
            daemon.watch()
    assert set(here.view.sessions) == {"n1", "n2"} and not here.view.failures


class TestTheEndOfABan:
    """By the wall clock of the first live node."""

    def banned(self, name: str, until_ms: int) -> tuple[Scene, Daemon]:
        here = scene()
        here.join("n2" if name == "n1" else "n1")
        daemon = beside(here, name)
        here.put(KEYS.ban("vip", "n2"), Ban("anna", "", until_ms))
        settle(daemon)
        return here, daemon

    def renewed(self, daemon: Daemon, ms: float) -> Daemon:
        """Time passes, with renewals that come back."""
        for _ in range(round(ms / 250)):
            daemon.wait(250)
            daemon.watch()
        return daemon

    def test_it_is_not_before_its_time(self) -> None:
        here, daemon = self.banned("n1", WALL_MS + 1000)
        daemon.run(events.TimeOfDay(WALL_MS))
        self.renewed(daemon, 500)
        assert here.view.bans
        self.renewed(daemon, 750)
        assert not here.view.bans and daemon.notes["planned_over"] == {"key": "ban/vip/n2"}

    def test_it_waits_for_a_clock(self) -> None:
        here, daemon = self.banned("n1", WALL_MS - 1000)
        self.renewed(daemon, 500)
        assert here.view.bans
        daemon.run(events.TimeOfDay(WALL_MS))
        assert not here.view.bans

    def test_the_next_node_waits_a_heartbeat_longer(self) -> None:
        here, daemon = self.banned("n2", WALL_MS - 100)
        daemon.run(events.TimeOfDay(WALL_MS))
        assert here.view.bans
        self.renewed(daemon, 250)
        assert not here.view.bans

    def test_one_without_an_end_has_none(self) -> None:
        here, daemon = self.banned("n1", 0)
        daemon.run(events.TimeOfDay(WALL_MS))
        self.renewed(daemon, 2000)
        assert here.view.bans


class TestAMoveAtATime:
    """Begun by the owner, by its wall clock."""

    def scheduled(self, at_ms: int, to: str = "n2") -> tuple[Scene, Daemon]:
        here = scene()
        daemon = beside(here)
        here.join("n2")
        here.put(KEYS.scheduled("vip"), Scheduled("m1", to, at_ms, by="anna"))
        settle(daemon)
        return here, daemon

    def test_it_begins_when_its_time_has_come(self) -> None:
        here, daemon = self.scheduled(WALL_MS + 1000)
        daemon.run(events.TimeOfDay(WALL_MS))
        assert here.view.scheduled and "scheduled" not in daemon.done
        daemon.wait(900)
        assert here.view.scheduled
        daemon.wait(200)
        settle(daemon)
        own = here.view.groups["vip"].record
        assert (own.node, own.state, own.reason) == ("n2", "handoff", "moved by anna")
        assert not here.view.scheduled and not here.view.moves

    @pytest.mark.parametrize(
        ("at_ms", "to", "reason"),
        [
            (WALL_MS - 600_001, "n2", "its time was over before it could begin"),
            (WALL_MS - 1, "n1", "it runs there already"),
        ],
    )
    def test_it_is_void(self, at_ms: int, to: str, reason: str) -> None:
        here, daemon = self.scheduled(at_ms, to)
        daemon.run(events.TimeOfDay(WALL_MS))
        settle(daemon)
        assert not here.view.scheduled and here.view.groups["vip"].record.node == "n1"
        assert daemon.notes["move_refused"]["reason"] == reason

    def test_a_target_that_cannot_be_is_found_then(self) -> None:
        here, daemon = self.scheduled(WALL_MS - 1)
        here.put(KEYS.standby("n2"), "anna")
        settle(daemon)
        daemon.run(events.TimeOfDay(WALL_MS))
        settle(daemon)
        assert not here.view.scheduled and not here.view.moves and here.view.groups["vip"].record.node == "n1"
        assert "in standby" in daemon.notes["move_refused"]["reason"]

    def test_not_while_it_is_left_alone(self) -> None:
        here, daemon = self.scheduled(WALL_MS - 1)
        here.put(KEYS.maintenance("vip"), Maintenance())
        settle(daemon)
        daemon.run(events.TimeOfDay(WALL_MS))
        settle(daemon)
        assert here.view.scheduled and here.view.groups["vip"].record.state == "unmanaged"
