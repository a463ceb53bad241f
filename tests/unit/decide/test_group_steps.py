"""What a node does with a group: given what the store says of it, these effects."""

from __future__ import annotations

import pytest

from election.records import Block, Confirm, Failure, Move, Ownership
from hactl.decide.routing import owners
from hactl.model import events
from tests.support.daemon import BEGAN_MS, Daemon, boot
from tests.support.scene import KEYS, LEASE_MS, Scene, at
from tests.unit.decide.test_first_steps import scene

HEARTBEAT_MS = 250.0


def settle(daemon: Daemon) -> Daemon:
    """Until nothing comes through the watch any more."""
    for _ in range(5):
        daemon.watch()
    return daemon


def beside(here: Scene, name: str = "n1") -> Daemon:
    """A node that takes part in what is there."""
    daemon = Daemon(here, name)
    daemon.begin()
    return settle(daemon)


def adopted(here: Scene) -> Daemon:
    """n1's next daemon, which goes on with the session `s-n1` that the guard holds."""
    guard = events.GuardFacts("s-n1", at(BEGAN_MS + 3000), False, ("vip/address",), 2)
    return Daemon(here, "n1", boot("n1", guard, last_session_id="s-n1"))


def test_a_resource_that_died_with_the_daemon_is_started_by_an_ownership_of_its_own() -> None:
    here = scene()
    here.join("n1")
    here.own("vip", "n1", epoch=7)
    daemon = adopted(here)
    daemon.begin()
    done = [step for step in daemon.done if step in ("reclaim", "start vip/address")]
    assert done == ["reclaim", "start vip/address"]
    assert here.view.groups["vip"].record.epoch > 7


def test_a_group_that_is_found_running_goes_on_in_the_ownership_that_is_there() -> None:
    here = scene()
    here.join("n1")
    here.own("vip", "n1", epoch=7)
    daemon = adopted(here)
    daemon.health["vip/address"] = "running"
    daemon.begin()
    assert "reclaim" not in daemon.done
    assert here.view.reports["n1"].record.groups["vip"]["epoch"] == 7


def test_a_group_that_another_node_owns_is_killed_here() -> None:
    here = scene()
    here.join("n2")
    here.own("vip", "n2")
    daemon = beside(here)
    assert daemon.run(events.Observed("vip", "address", "running", "somebody started it"))[0] == "kill vip/address"
    assert "group_not_mine" in daemon.log


def test_a_handoff_is_accepted_before_anything_is_started() -> None:
    here = scene()
    here.join("n2")
    here.own("vip", "n2")
    daemon = beside(here)
    mine = here.view.sessions["n1"]
    own = Ownership("n1", mine.record.session_id, mine.create_revision, 9, "handoff")
    here.put(KEYS.group("vip"), own)
    done = daemon.watch()
    assert done.index("accept") < done.index("register vip/address") < done.index("start vip/address")


def test_the_last_node_in_standby_releases_the_group_to_nobody() -> None:
    here = scene()
    daemon = beside(here)
    assert daemon.health == {"vip/address": "running"}
    here.put(KEYS.standby("n1"), "anna")
    settle(daemon)
    assert here.view.groups["vip"].record.state == "released"
    assert daemon.health == {"vip/address": "stopped"}


def test_a_failure_on_the_only_node_does_not_make_the_group_leave() -> None:
    here = scene()
    daemon = beside(here)
    here.put(KEYS.failure("vip", "n1"), Failure(3, "address", "no link"))
    settle(daemon)
    assert here.view.groups["vip"].record.state == "owned"
    assert daemon.health == {"vip/address": "running"}


def test_a_group_is_left_alone_where_it_is_unmanaged() -> None:
    here = scene()
    here.join("n2")
    here.own("vip", "n2", state="unmanaged")
    here.kill("n2", state="safe")
    daemon = beside(here)
    assert "acquire" not in daemon.done


def test_a_group_that_is_blocked_is_started_by_nobody_until_it_is_unblocked() -> None:
    here = scene()
    here.put(KEYS.blocked("vip"), Block("n2", "s", "address", "it hangs"))
    daemon = beside(here)
    assert "acquire" not in daemon.done
    assert daemon.state.runs["vip"].waiting.startswith("blocked: n2 took itself down")
    here.delete(KEYS.blocked("vip"))
    settle(daemon)
    assert daemon.health == {"vip/address": "running"}


def test_a_group_without_an_owner_that_runs_on_two_nodes_is_kept_by_the_first_of_them() -> None:
    here = scene()
    here.join("n1")
    here.report("n1", {"vip": {"phase": "running", "epoch": 0, "resources": {"address": "running"}}})
    daemon = Daemon(here, "n2")
    daemon.health["vip/address"] = "running"
    daemon.begin()
    settle(daemon)
    assert "kill vip/address" in daemon.done


def test_a_group_without_an_owner_that_runs_here_is_not_stopped_before_the_daemon_is_told_to_release() -> None:
    here = scene()
    here.join("n2")  # n2 never says whether it runs there
    daemon = Daemon(here, "n1")
    daemon.health["vip/address"] = "running"
    daemon.begin()
    settle(daemon)
    assert daemon.health == {"vip/address": "running"}
    daemon.run(events.Shutdown(True))
    assert daemon.health == {"vip/address": "stopped"}


def test_a_sick_resource_that_nobody_owns_keeps_only_this_node_away() -> None:
    here = scene()
    here.join("n2")
    here.put(KEYS.standby("n1"), "anna")
    daemon = Daemon(here, "n1")
    daemon.health["vip/address"] = "failed"
    daemon.begin()
    settle(daemon)
    assert daemon.state.runs["vip"].barred
    assert "kill vip/address" not in daemon.done


def test_a_group_whose_ownership_cannot_be_read_is_stopped_when_the_daemon_is_told_to_release() -> None:
    here = scene()
    daemon = beside(here)
    here.put(KEYS.group("vip"), "oops")
    settle(daemon)
    assert daemon.health == {"vip/address": "running"}
    daemon.run(events.Shutdown(True))
    assert daemon.health == {"vip/address": "stopped"}


def test_a_move_of_a_group_that_cannot_be_read_is_neither_carried_out_nor_void() -> None:
    here = scene()
    daemon = beside(here)
    here.put(KEYS.group("vip"), "oops")
    here.put(KEYS.move("vip"), Move("m", "n2", "n1", 1, "anna"))
    settle(daemon)
    assert "vip" in here.view.moves


@pytest.mark.parametrize(
    ("to", "reason"),
    [("n1", "it runs there already"), ("n2", "n2: no live session"), ("", "no other node may run it")],
)
def test_a_move_to_nowhere_is_refused(to: str, reason: str) -> None:
    here = scene()
    daemon = beside(here)
    mine = here.view.sessions["n1"]
    here.put(KEYS.move("vip"), Move("m", to, "n1", mine.create_revision, "anna"))
    settle(daemon)
    assert here.view.moves == {}
    assert daemon.notes["move_refused"]["reason"] == reason


def test_a_word_about_a_session_that_is_stopped_already_is_taken_away() -> None:
    here = scene()
    here.join("n2")
    here.kill("n2", state="safe")
    daemon = beside(here)
    here.put(KEYS.confirm("n2"), Confirm("s-n2", "anna"))
    settle(daemon)
    assert here.view.confirms == {}


def test_a_word_about_a_dead_session_is_carried_out_when_its_lease_is_over() -> None:
    here = scene()
    here.join("n2")
    here.kill("n2")
    daemon = beside(here)
    here.put(KEYS.confirm("n2"), Confirm("s-n2", "anna"))
    settle(daemon)
    assert here.view.fences["n2"].record.state == "pending"
    for _ in range(20):
        daemon.wait(HEARTBEAT_MS)
        settle(daemon)
    record = here.view.fences["n2"].record
    assert (record.state, record.evidence, record.by) == ("safe", "confirmed", "anna")
    assert here.view.confirms == {}


def test_a_word_about_a_record_that_cannot_be_read_waits() -> None:
    here = scene()
    daemon = beside(here)
    here.put(KEYS.fence("n2"), "oops")
    here.put(KEYS.confirm("n2"), Confirm("s-n2", "anna"))
    settle(daemon)
    assert "n2" in here.view.confirms


def test_a_silent_node_is_deposed_when_its_lease_is_over_and_its_group_taken() -> None:
    here = scene()
    here.join("n2")
    here.own("vip", "n2")
    daemon = beside(here)
    for _ in range(int(LEASE_MS / HEARTBEAT_MS)):
        daemon.wait(HEARTBEAT_MS)
        settle(daemon)
    assert "depose" not in daemon.done
    for _ in range(3):
        daemon.wait(HEARTBEAT_MS)
        settle(daemon)
    assert daemon.done.index("depose") < daemon.done.index("acquire")
    assert daemon.health == {"vip/address": "running"}


def test_a_session_whose_records_were_lost_gets_a_fence_record() -> None:
    here = scene()
    here.join("n2")
    here.own("vip", "n2")
    here.delete(KEYS.node("n2"))
    daemon = beside(here)
    assert "lost" in daemon.done
    assert here.view.fences["n2"].record.session_id == "s-n2"


def test_a_prevented_start_is_tried_again_when_the_nodes_trouble_is_over() -> None:
    here = scene()
    here.join("n2")
    here.own("vip", "n2")
    daemon = beside(here)
    here.put(KEYS.failure("vip", "n1"), Failure(1, "address", "No space left", unregistered=True))
    settle(daemon)
    daemon.run(events.Trouble("state_dir", "No space left on device"))
    assert "vip/n1" in here.view.failures
    daemon.run(events.Trouble("state_dir", ""))
    settle(daemon)
    assert "vip/n1" not in here.view.failures


def test_a_group_whose_ownership_cannot_be_read_is_where_one_node_says_that_it_runs() -> None:
    here = scene()
    here.join("n1", "n2")
    here.put(KEYS.group("vip"), "oops")
    here.report("n2", {"vip": {"phase": "running", "epoch": 1, "resources": {"address": "running"}}})
    assert owners(here.view, ["vip"]) == {"vip": "n2"}
    here.report("n1", {"vip": {"phase": "running", "epoch": 1, "resources": {"address": "running"}}})
    assert owners(here.view, ["vip"]) == {}
