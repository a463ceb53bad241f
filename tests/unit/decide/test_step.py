"""The step of a node that takes part: given this state and event, these effects."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from election.records import Identity, Move, Session
from election.store import TxnResult
from hactl.decide import answers
from hactl.decide import node as decide
from hactl.decide.readiness import settle_ms
from hactl.model import events
from tests.support.daemon import Daemon, boot
from tests.support.scene import KEYS, LEASE_MS
from tests.unit.decide.test_first_steps import scene

HEARTBEAT_MS = 250.0


@pytest.fixture
def owner() -> Daemon:
    """n1, alone, runs the group."""
    daemon = Daemon(scene(), "n1")
    daemon.begin()
    for _ in range(4):
        daemon.watch()
    assert daemon.health == {"vip/address": "running"}
    return daemon


def refuses(name: str) -> events.GuardAnswered:
    return events.GuardAnswered(name, False, "its deadline has passed")


# --- the session ----------------------------------------------------------------------------------------------


def test_it_renews_every_heartbeat_and_tells_the_guard(owner: Daemon) -> None:
    assert owner.wait(HEARTBEAT_MS) == ["renew", "extend"]
    owner.watch()
    assert owner.wait(HEARTBEAT_MS - 1) == []
    assert owner.wait(1) == ["renew", "extend"]


def test_it_does_not_renew_while_its_own_renewals_do_not_come_back(owner: Daemon) -> None:
    owner.unanswered = {"list"}
    assert owner.wait(HEARTBEAT_MS) == ["renew", "extend"]
    assert owner.wait(HEARTBEAT_MS + 1) == ["list"]
    assert owner.wait(HEARTBEAT_MS) == []
    owner.watch()
    assert owner.wait(HEARTBEAT_MS) == ["renew", "extend"]


def test_it_kills_everything_when_its_lease_comes_to_its_end(owner: Daemon) -> None:
    owner.unanswered = {"renew"}
    owner.wait(LEASE_MS - owner.state.timing.stop_budget_ms - 1)
    assert "kill vip/address" not in owner.done
    assert "kill vip/address" in owner.wait(1)
    assert "lease_lapsing" in owner.log


def test_renewals_of_peers_count_from_its_opening_or_the_end_of_its_last_gap_on(owner: Daemon) -> None:
    session, observer = owner.state.session, owner.state.observer
    opened = session.session_revision
    owner.wait(HEARTBEAT_MS)
    assert observer.since_gap == opened
    owner.watch()
    owner.unanswered = {"renew"}
    owner.wait(3 * HEARTBEAT_MS)
    assert observer.since_gap == opened
    owner.unanswered = set()
    owner.wait(HEARTBEAT_MS)
    assert observer.since_gap == session.mod_revision > opened


def test_a_lapse_that_is_over_starts_it_again(owner: Daemon) -> None:
    owner.unanswered = {"renew"}
    owner.wait(LEASE_MS)
    owner.unanswered = set()
    owner.run(owner.answer(owner.last("renew")) or events.Tick())
    owner.wait(HEARTBEAT_MS)
    owner.watch()
    assert "start vip/address" in owner.done[-6:]


@pytest.mark.parametrize("name", ["begin", "extend"])
def test_a_session_that_the_guard_refuses_is_given_up_with_everything_killed(owner: Daemon, name: str) -> None:
    assert owner.run(refuses(name))[0] == "kill vip/address"
    assert "guard_refused" in owner.log
    assert owner.scene.view.fences["n1"].record.evidence == "self-stop"


def test_a_session_that_another_process_renews_is_not_its_own(owner: Daemon) -> None:
    known = owner.scene.view.sessions["n1"].record
    owner.scene.put(KEYS.node("n1"), replace(known, attempt=known.attempt + 1000))
    assert "kill vip/address" in owner.wait(HEARTBEAT_MS)
    assert "session_foreign" in owner.log


def test_a_session_that_was_deleted_is_over_at_once(owner: Daemon) -> None:
    owner.scene.delete(KEYS.node("n1"))
    assert owner.watch()[0] == "kill vip/address"
    assert "deposed" in owner.log


def test_a_session_with_another_sid_is_not_its_own(owner: Daemon) -> None:
    owner.scene.put(KEYS.node("n1"), Session("another", "machine-n1", "b", LEASE_MS, 1))
    owner.wait(HEARTBEAT_MS)
    assert "deposed" in owner.log


def test_a_session_that_was_overwritten_is_closed_once_nobody_has_moved_it_for_a_while(owner: Daemon) -> None:
    owner.scene.put(KEYS.node("n1"), "oops")
    owner.watch()
    assert "close" not in owner.run(refuses("extend"))
    assert "close" in owner.wait(owner.state.timing.suspect_after_ms)
    assert owner.scene.view.fences["n1"].record.evidence == "self-stop"


# --- the store ------------------------------------------------------------------------------------------------


def test_renewals_alone_decide_nothing(owner: Daemon) -> None:
    owner.scene.join("n2")
    owner.watch()
    owner.scene.put(KEYS.node("n2"), Session("s-n2", "machine-n2", "boot-n2", LEASE_MS, 2))
    owner.take(owner.seen())
    assert not owner.decided


def test_an_answer_that_was_asked_for_in_another_history_is_no_news(owner: Daemon) -> None:
    owner.unanswered = {"renew"}
    owner.wait(HEARTBEAT_MS)
    identity = owner.state.identity
    assert identity is not None
    answer = owner.answer(owner.last("renew"))
    assert isinstance(answer, events.TxnDone)
    before, owner.state.identity = owner.state.session.mod_revision, (identity[0], identity[1] + 1)
    answers.on_txn(owner.state, answer, decide.Out(owner.state, owner.now))
    assert owner.state.session.mod_revision == before


def test_an_answer_of_before_a_restore_stops_everything(owner: Daemon) -> None:
    owner.unanswered = {"renew"}
    owner.wait(HEARTBEAT_MS)
    done = owner.run(events.TxnDone(owner.last("renew").id, TxnResult(True, 1, {})))
    assert done[0] == "kill vip/address"
    assert owner.state.phase == "refused"


def test_another_history_stops_everything(owner: Daemon) -> None:
    owner.scene.put(KEYS.identity, Identity("another", 9))
    assert owner.watch()[0] == "kill vip/address"
    assert owner.state.phase == "refused"


def test_a_refused_write_is_tried_again_with_the_next_look(owner: Daemon) -> None:
    owner.unanswered = {"report"}
    owner.run(events.Readiness("vip", "link", "poor", "the link is down"))
    assert owner.take(events.TxnDone(owner.last("report").id, None, refused=True, problem="no space")) == []
    assert "store_unreachable" in owner.log
    assert owner.take(events.Tick()) == ["report"]


def test_an_answer_that_nobody_waits_for_does_nothing(owner: Daemon) -> None:
    assert owner.take(events.TxnDone(9999, None)) == []
    assert owner.take(events.Acted(9999, True, "stopped")) == []


def test_a_watch_that_ended_is_begun_anew_with_a_list(owner: Daemon) -> None:
    owner.wait(HEARTBEAT_MS)
    assert "list" in owner.run(events.WatchEnded("compacted"))
    assert "watch_ended" in owner.log


# --- the end --------------------------------------------------------------------------------------------------


def test_a_dead_guard_stops_everything_and_ends_the_daemon(owner: Daemon) -> None:
    assert owner.run(events.GuardLost()) == ["kill vip/address", "unregister vip/address", "exit 1"]


def test_an_unstoppable_resource_without_a_guard_takes_the_node_down_before_the_lease_ends(owner: Daemon) -> None:
    owner.unanswered = {"act"}
    assert owner.run(events.GuardLost()) == ["kill vip/address"]
    assert owner.run(events.GuardLost()) == []
    assert owner.wait(LEASE_MS - owner.state.timing.self_fence_lead_ms) == ["selffence"]


def test_a_shutdown_that_keeps_leaves_everything_running(owner: Daemon) -> None:
    assert owner.run(events.Shutdown(False)) == ["exit 0"]
    assert owner.health == {"vip/address": "running"}
    assert owner.run() == []


def test_a_shutdown_that_releases_stops_releases_and_closes(owner: Daemon) -> None:
    owner.run(events.Shutdown(True))
    owner.watch()
    steps = [step for step in owner.done if step in ("stop vip/address", "release", "close", "exit 0")]
    assert steps[:3] == ["stop vip/address", "release", "close"]
    assert steps[-1] == "exit 0"
    assert owner.scene.view.groups["vip"].record.state == "released"
    assert owner.scene.view.fences["n1"].record.evidence == "self-stop"


def test_a_shutdown_in_standby_closes_the_session_though_it_would_keep(owner: Daemon) -> None:
    owner.scene.put(KEYS.standby("n1"), "root@n2")
    owner.watch()
    owner.run(events.Shutdown(False))
    owner.watch()
    assert "close" in owner.done
    assert owner.done[-1] == "exit 0"
    assert owner.scene.view.fences["n1"].record.evidence == "self-stop"


def test_a_shutdown_before_anything_was_begun_has_nothing_to_release() -> None:
    daemon = Daemon(scene(), "n1")
    daemon.unanswered = {"list"}
    daemon.begin()
    assert daemon.run(events.Shutdown(True)) == ["exit 0"]


def test_a_shutdown_while_etcd_is_away_ends_when_the_lease_has_lapsed(owner: Daemon) -> None:
    owner.unanswered = {"renew", "release", "handoff", "report", "close"}
    owner.run(events.Shutdown(True))
    assert owner.health == {"vip/address": "stopped"}
    assert owner.state.phase == "ending"
    assert "exit 0" in owner.wait(LEASE_MS)


def test_a_shutdown_ends_while_the_identity_cannot_be_read(owner: Daemon) -> None:
    owner.scene.put(KEYS.identity, "oops")
    owner.watch()
    assert owner.run(events.Shutdown(True))[-1] == "exit 0"
    assert owner.scene.view.groups["vip"].record.state == "owned"


def test_a_session_whose_end_gets_no_answer_is_left_to_the_others() -> None:
    here = scene()
    here.put(KEYS.node("n1"), Session("s", "machine-n1", "boot-n1", LEASE_MS, 1))
    daemon = Daemon(here, "n1", boot("n1", last_session_id="s", held_session_id="s"))
    daemon.unanswered = {"close"}
    daemon.begin()
    daemon.wait(daemon.state.timing.suspect_after_ms)
    daemon.run(events.Shutdown(True))
    assert daemon.run(events.TxnDone(daemon.last("close").id, None)) == ["exit 0"]


# --- the configuration ----------------------------------------------------------------------------------------


def configure(owner: Daemon, spec: object) -> None:
    owner.scene.spec = spec  # type: ignore[assignment]
    config = owner.scene.view.config
    assert config is not None
    owner.scene.put(KEYS.config, config.record + " ")
    owner.watch()


def test_a_group_whose_resources_have_changed_is_stopped_as_it_was_started_and_started_anew(owner: Daemon) -> None:
    (group,) = owner.scene.spec.groups
    (resource,) = group.resources
    changed = replace(group, resources=(resource, structs.replace(resource, name="second")))
    configure(owner, replace(owner.scene.spec, groups=(changed,)))
    assert "stop vip/address" in owner.done
    owner.wait(HEARTBEAT_MS)
    owner.watch()
    assert owner.health == {"vip/address": "running", "vip/second": "running"}


def test_a_group_of_which_only_the_treatment_has_changed_goes_on(owner: Daemon) -> None:
    (group,) = owner.scene.spec.groups
    configure(owner, replace(owner.scene.spec, groups=(replace(group, restarts=7),)))
    assert owner.state.runs["vip"].spec.restarts == 7
    assert "stop vip/address" not in owner.done


def test_a_group_that_is_gone_is_stopped_released_and_forgotten(owner: Daemon) -> None:
    configure(owner, replace(owner.scene.spec, groups=()))
    owner.watch()
    owner.wait(HEARTBEAT_MS)
    assert owner.scene.view.groups["vip"].record.state == "released"
    assert owner.state.runs == {}


def test_a_configuration_that_cannot_be_read_leaves_the_last_one_in_use(owner: Daemon) -> None:
    owner.run(events.Configured(99, None, "not YAML"))
    assert "config_unreadable" in owner.log
    assert owner.state.cluster is owner.scene.spec


# --- the rest -------------------------------------------------------------------------------------------------


def test_a_move_to_where_it_is_already_or_from_where_it_is_not_is_void(owner: Daemon) -> None:
    owner.scene.put(KEYS.move("vip"), Move("m", "n2", "n2", 7, "anna"))
    owner.watch()
    assert "move_refused" in owner.log
    assert owner.scene.view.moves == {}


def test_a_resource_that_died_is_started_again(owner: Daemon) -> None:
    owner.health["vip/address"] = "stopped"
    assert owner.run(events.Observed("vip", "address", "stopped", "gone"))[0] == "start vip/address"
    assert "resource_failed" in owner.log


def test_a_poor_node_hands_its_group_only_to_a_node_that_it_has_seen_renew(owner: Daemon) -> None:
    owner.scene.join("n2")
    owner.watch()
    owner.run(events.Readiness("vip", "haproxy", "poor", "it hangs"))
    renewals = 2 * int(settle_ms(owner.state.timing) / HEARTBEAT_MS)
    for _ in range(renewals):
        owner.wait(HEARTBEAT_MS)
        owner.state.observer.last_own_renewal = None  # as after a gap, in which nobody's silence counts
        owner.state.observer.on_own_renewal(owner.now)
        owner.watch()
    assert "n2" in owner.state.view.sessions
    assert "group_leaving" not in owner.log  # n2 may be dead: its session was only found
    for attempt in range(2, renewals):
        owner.scene.put(KEYS.node("n2"), Session("s-n2", "machine-n2", "boot-n2", LEASE_MS, attempt))
        owner.watch()
        owner.wait(HEARTBEAT_MS)
    assert owner.notes["group_leaving"]["to"] == "n2"


def test_nothing_is_known_of_a_group_that_is_not_configured(owner: Daemon) -> None:
    assert owner.run(events.Observed("another", "address", "stopped")) == []
    assert owner.run(events.GuardAnswered("another/address", True)) == []


def test_a_watchdog_that_is_required_and_not_armed_keeps_groups_away() -> None:
    daemon = Daemon(scene(), "n1")
    daemon.begin()
    daemon.run(events.Watchdog(False, required=True))
    for _ in range(4):
        daemon.watch()
    assert daemon.health == {}
    assert "watchdog_not_armed" in daemon.log
    daemon.run(events.Watchdog(True, required=True))
    for _ in range(4):
        daemon.watch()
    assert daemon.health == {"vip/address": "running"}


def test_a_fault_of_the_program_keeps_earlier_decisions(owner: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    owner.now = owner.now.plus(HEARTBEAT_MS)

    def broken(*_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(decide.peers, "report", broken)
    with pytest.raises(decide.StepError) as error:
        owner.take(events.Tick())
    assert [effect.purpose for effect in error.value.effects if hasattr(effect, "purpose")] == ["renew"]
    decide.note_error(owner.state, "a fault")
    assert (owner.state.errors, owner.state.last_error) == (1, "a fault")
