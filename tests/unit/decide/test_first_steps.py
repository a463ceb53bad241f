"""How a daemon begins: with the session of the one before it, with a new one, or with none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from election.records import FenceRecord, Identity, Member, Session
from hactl.model import events
from tests.support.daemon import BEGAN_MS, Daemon, boot
from tests.support.scene import KEYS, LEASE_MS, Scene, at

ONE_GROUP = """\
cluster: demo
nodes:
  - {name: n1, address: 10.0.0.11}
  - {name: n2, address: 10.0.0.12}
groups:
  - name: vip
    resources:
      - name: address
        vip: {address: 10.0.0.30/24, interface: eth0}
"""
OPENING = ["list", "config", "writemember", "identify", "open", "begin", "writemember"]


def scene() -> Scene:
    return Scene(cluster=ONE_GROUP)


def holding(session_id: str, *, latched: bool = False, exclusive: tuple[str, ...] = ()) -> events.GuardFacts:
    return events.GuardFacts(session_id, at(BEGAN_MS + 3000), latched, exclusive, 2)


def session(session_id: str = "s", machine: str = "machine-n1", booted: str = "boot-n1", attempt: int = 1) -> Session:
    return Session(session_id, machine, booted, LEASE_MS, attempt)


def test_a_new_node_lists_reads_the_configuration_and_opens_a_session() -> None:
    daemon = Daemon(scene(), "n1")
    assert daemon.begin()[: len(OPENING)] == OPENING
    assert daemon.state.phase == "live"
    assert "session_opened" in daemon.log


def test_nothing_is_done_before_the_list_is_there() -> None:
    daemon = Daemon(scene(), "n1")
    daemon.unanswered = {"list"}
    assert daemon.begin() == ["list"]
    daemon.scene.join("n2")
    assert daemon.watch() == []  # of a watch that is older than the list
    assert daemon.state.view.listed == 0


def test_a_list_that_failed_is_asked_for_again_after_a_heartbeat() -> None:
    daemon = Daemon(scene(), "n1")
    daemon.unanswered = {"list"}
    daemon.begin()
    assert daemon.run(events.ListFailed(daemon.last("list").id, "no leader")) == []
    assert daemon.log == ["store_unreachable"]
    assert daemon.wait(daemon.state.timing.heartbeat_ms) == ["list"]
    first, second = daemon.waiting
    assert second.timeout_ms == 2 * first.timeout_ms  # type: ignore[union-attr]
    late = daemon.answer(daemon.waiting[0])
    assert late is not None
    assert daemon.run(late) == []  # the answer to the first one: the second one is waited for


def test_a_session_that_the_guard_holds_goes_on() -> None:
    here = scene()
    here.put(KEYS.node("n1"), session())
    here.own("vip", "n1")
    daemon = Daemon(here, "n1", boot("n1", holding("s", exclusive=("vip/address",)), last_session_id="s"))
    daemon.health["vip/address"] = "running"
    assert daemon.begin()[:4] == ["list", "config", "writemember", "writemember"]
    assert "session_adopted" in daemon.log
    assert "probe vip/address" in daemon.done
    assert not {"stop vip/address", "kill vip/address", "start vip/address"} & set(daemon.done)


@pytest.mark.parametrize(
    ("guard", "stored", "reason"),
    [
        (holding("s"), session(booted="another boot"), "rebooted"),
        (holding("another session"), session(), "the guard held another session"),
        (holding("s", latched=True), session(), "the guard's deadline came"),
    ],
)
def test_any_other_session_is_closed_first_and_a_new_one_opened(
    guard: events.GuardFacts, stored: Session, reason: str
) -> None:
    here = scene()
    here.put(KEYS.node("n1"), stored)
    daemon = Daemon(here, "n1", boot("n1", guard, last_session_id="s", held_session_id="s"))
    daemon.begin()
    assert daemon.notes["session_new"] == {"reason": reason}
    daemon.wait(daemon.state.timing.suspect_after_ms)
    daemon.wait(daemon.state.timing.heartbeat_ms)
    assert 0 < daemon.done.index("close") < daemon.done.index("open")
    assert here.view.fences["n1"].record.state == "safe"


def test_a_session_of_mine_that_was_overwritten_is_adopted_and_written_anew() -> None:
    here = scene()
    created = here.put(KEYS.node("n1"), session())
    here.put(KEYS.node("n1"), "oops")
    daemon = Daemon(here, "n1", boot("n1", holding("s"), last_session_id="s", last_session_revision=created))
    daemon.begin()
    assert "session_adopted" in daemon.log
    for _ in range(3):
        daemon.wait(daemon.state.timing.heartbeat_ms)
        daemon.watch()
    assert here.view.sessions["n1"].record.session_id == "s"


def test_leftovers_of_an_earlier_daemon_are_killed_at_once_without_a_guard() -> None:
    here = scene()
    daemon = Daemon(here, "n1", boot("n1", leftovers=here.spec.groups))
    daemon.unanswered = {"list"}
    assert daemon.begin() == ["kill vip/address", "list"]


def test_the_name_of_another_machine_is_left_to_it() -> None:
    here = scene()
    here.put(KEYS.node("n1"), session(machine="another machine"))
    here.put(KEYS.member("n1"), Member("n1", "10.0.0.99", "0.1.0", 1))
    daemon = Daemon(here, "n1")
    assert daemon.begin()[-2:] == ["refusal", "exit 2"]
    assert "in use by another machine (machine id another machine, at 10.0.0.99)" in daemon.state.namesake.leaving
    assert here.view.refusals["n1"].record.machine_id == "machine-n1"


def test_two_nodes_with_one_machine_id_do_not_both_take_part() -> None:
    here = scene()
    here.put(KEYS.node("n2"), session(machine="machine-n1"))
    daemon = Daemon(here, "n1")
    assert daemon.begin()[-2:] == ["refusal", "exit 2"]
    assert "machine_id_in_use" in daemon.log


def test_the_last_session_is_not_attested_while_its_key_cannot_be_read() -> None:
    here = scene()
    here.put(KEYS.node("n1"), "oops")
    daemon = Daemon(here, "n1")
    assert "open" not in daemon.begin()
    assert daemon.log[-1] == "waiting_for_repair"
    assert daemon.run(events.Shutdown(True)) == ["exit 0"]


def test_a_session_of_an_unknown_machine_waits_for_the_operator() -> None:
    """Nobody else lives who could depose it: this node does, when its lease is over."""
    here = scene()
    here.put(KEYS.node("n1"), replace(session(), machine="disk=another"))
    daemon = Daemon(here, "n1")
    daemon.machine = "disk=mine"
    daemon.begin()
    assert "session_not_mine" in daemon.log
    assert "depose" not in daemon.wait(LEASE_MS * 1.02)
    assert "depose" in daemon.wait(LEASE_MS)
    assert here.view.fences["n1"].record.state == "pending"
    daemon.wait(daemon.state.timing.heartbeat_ms)
    assert daemon.run(events.Shutdown(True))[-1] == "exit 0"


def test_a_store_without_identity_is_refused_until_it_has_one() -> None:
    here = scene()
    here.delete(KEYS.identity)
    daemon = Daemon(here, "n1")
    daemon.begin()
    assert daemon.state.phase == "refused"
    here.put(KEYS.identity, Identity("u", 1))
    daemon.wait(daemon.state.timing.heartbeat_ms)
    assert daemon.state.phase == "live"


@pytest.mark.parametrize(("known", "joins"), [(("u", 3), False), (("another", 1), True), (("another", 2), False)])
def test_only_a_later_history_than_the_known_one_is_joined(known: tuple[str, int], joins: bool) -> None:
    here = scene()
    here.put(KEYS.identity, Identity("u", 2))
    daemon = Daemon(here, "n1", boot("n1", identity=known))
    daemon.begin()
    assert daemon.state.phase == ("live" if joins else "refused")


def test_a_store_that_went_back_is_refused_though_its_identity_is_the_same() -> None:
    here = scene()
    identity = here.view.identity
    assert identity is not None
    daemon = Daemon(here, "n1", boot("n1", identity=(identity.record.uuid, 1), known_revision=10_000))
    daemon.begin()
    assert daemon.state.phase == "refused"
    assert "went back from revision 10000" in daemon.state.refused
    daemon.wait(daemon.state.timing.heartbeat_ms)  # listed again, and refused again
    assert daemon.state.phase == "refused"


def test_nobody_is_let_in_while_a_device_may_switch_the_node_off() -> None:
    here = scene()
    here.join("n2")
    holder = here.holder("n2")
    record = FenceRecord(
        "s", 1, 1, LEASE_MS, "machine-n1", "b", "acting", executor=f"n2/{holder.session_id}", action_ms=5000
    )
    here.put(KEYS.fence("n1"), record)
    daemon = Daemon(here, "n1", boot("n1", last_session_id="s"))
    daemon.begin()
    assert daemon.log[-1] == "waiting_for_fence_action"
    assert daemon.state.phase == "closing"


def test_a_new_machine_in_the_place_of_one_that_is_known_to_be_stopped_takes_part() -> None:
    """`hactl node replace`: other machine id, other hardware, empty disk. Before the record is safe it waits."""
    here = scene()
    here.join("n1")
    here.kill("n1")
    daemon = Daemon(here, "n1")
    daemon.begin()
    assert "open" not in daemon.done and "session_not_mine" in daemon.log
    pending = here.view.fences["n1"].record
    here.put(KEYS.fence("n1"), replace(pending, state="safe", evidence="confirmed", by="anna"))
    daemon.watch()
    assert "open" in daemon.done
    assert here.view.sessions["n1"].record.machine_id == "machine-n1" != pending.machine_id
