"""Another machine with this node's name: whose a dead session is, when it may be attested, and what is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from election.machine import identity
from election.memory_store import MemoryStore
from election.records import FenceRecord, Ownership, Session
from election.store import Put
from hactl.decide import namesake, node
from hactl.decide.state import NodeState, Out
from hactl.model import effects, events
from tests.support.scene import KEYS, LEASE_MS, Scene, at

MINE = identity(("secret", "board", "card"))
OTHER_BOARD = identity(("secret", "other", "card"))
S, OVER = 1500.0, LEASE_MS * 1.025


@pytest.fixture
def scene() -> Scene:
    return Scene(MemoryStore())


def session(session_id: str, attempt: int = 1, machine: str = MINE, machine_id: str = "m") -> Session:
    return Session(session_id, machine_id, "boot-1", LEASE_MS, attempt, machine=machine)


def dead(session_id: str, **more: Any) -> FenceRecord:
    record = FenceRecord(session_id, 7, 9, LEASE_MS, "m", "boot-1", "pending", by="n2", machine=MINE)
    return replace(record, **more)


def begun(scene: Scene, **more: Any) -> NodeState:
    """n1's daemon after a reboot, everything stopped; it knows what machine this is."""
    guard = events.GuardFacts("", None, False, (), 1)
    boot = events.Boot("n1", "m", "boot-2", "nonce", guard, None, 0)._replace(**more)
    state = node.new_state(KEYS, boot)
    state.cluster = replace(scene.spec, groups=())
    state.session.owner = state.session.owner._replace(machine=MINE)
    return state


def effects_of(state: NodeState, event: events.Event, ms: float) -> list[Any]:
    return list(node.step(state, event, at(ms)).effects)


def look(state: NodeState, scene: Scene, ms: float) -> list[Any]:
    """Give the daemon a list of the store, then what else it decides at this moment; what it wants done."""
    state.listing = state.counter = state.counter + 1
    snapshot = scene.store.snapshot(KEYS.prefix, timeout_s=5)
    done = effects_of(state, events.Listed(state.listing, snapshot), ms)
    if state.view.config is not None and not state.config_current:
        done += effects_of(state, events.Configured(state.view.config.mod_revision, state.cluster), ms)
    for probe in [effect for effect in done if isinstance(effect, effects.ProbeOriginal)]:
        assert probe.address == "10.0.0.11"
    return done


def answer(state: NodeState, ms: float, by: str = "") -> list[Any]:
    return effects_of(state, events.OriginalProbed(by), ms) + effects_of(state, events.Tick(), ms + 1)


def sent(done: list[Any]) -> list[str]:
    return [effect.purpose for effect in done if isinstance(effect, effects.SendTxn)]


def probes(done: list[Any]) -> int:
    return sum(isinstance(effect, effects.ProbeOriginal) for effect in done)


def evidence(done: list[Any]) -> str:
    """What a `close` among the effects attests."""
    for effect in done:
        if isinstance(effect, effects.SendTxn) and effect.purpose == "close":
            put = next(operation for operation in effect.txn.success if isinstance(operation, Put))
            return FenceRecord.from_json(put.value).evidence
    return ""


def test_after_a_reboot_the_lease_is_waited_for_and_the_address_asked_for(scene: Scene) -> None:
    scene.put(KEYS.node("n1"), session("s-1"))
    state = begun(scene)
    done = [*look(state, scene, 0), *look(state, scene, S + 100), *look(state, scene, OVER - 10)]
    assert "close" not in sent(done) and not probes(done)
    assert probes(look(state, scene, OVER + 10)) == 1
    assert evidence(answer(state, OVER + 400)) == "reboot"


def test_a_lease_that_others_saw_end_is_not_waited_for_again(scene: Scene) -> None:
    scene.put(KEYS.fence("n1"), dead("s-1", over=True))
    state = begun(scene)
    assert probes(look(state, scene, 0)) == 1
    assert evidence(answer(state, 300)) == "reboot"


def test_a_session_deposed_on_suspicion_has_its_lease(scene: Scene) -> None:
    scene.put(KEYS.fence("n1"), dead("s-1"))
    state = begun(scene)
    assert not probes([*look(state, scene, 0), *look(state, scene, OVER - 10)])
    assert probes(look(state, scene, OVER + 10)) == 1


def test_a_record_of_recover_names_no_session_and_has_its_lease(scene: Scene) -> None:
    scene.put(KEYS.fence("n1"), dead("", generation=2, machine_id="", machine="", boot_id="", by="recover"))
    state = begun(scene)
    assert not probes([*look(state, scene, 0), *look(state, scene, OVER - 10)])
    assert probes(look(state, scene, OVER + 10)) == 1
    assert evidence(answer(state, OVER + 400)) == "self-stop"


def test_a_machine_that_answers_for_the_address_is_not_vouched_for(scene: Scene) -> None:
    scene.put(KEYS.fence("n1"), dead("s-1", over=True))
    state = begun(scene)
    look(state, scene, 0)
    done = answer(state, 300, by="02:00:00:00:00:01")
    assert "close" not in sent(done) and "refusal" in sent(done)
    assert "10.0.0.11 (MAC address 02:00:00:00:00:01)" in state.namesake.problem
    assert "`hactl fence confirm n1`" in state.namesake.problem
    done = look(state, scene, 300 + state.timing.lease_ms + 10)
    assert probes(done) == 1  # asked again, without end
    assert evidence(answer(state, 5000)) == "reboot"


def test_a_session_that_moves_belongs_to_a_machine_that_lives(scene: Scene) -> None:
    scene.put(KEYS.node("n1"), session("s-1"))
    state = begun(scene)
    look(state, scene, 0)
    for attempt in (2, 3):
        scene.put(KEYS.node("n1"), session("s-1", attempt))
        done = look(state, scene, attempt * 300.0)
        assert ("refusal" in sent(done)) == (attempt == 3)  # one may be a stray write of before the reboot
    assert effects.Disown("s-1") in done
    number = next(effect.id for effect in done if isinstance(effect, effects.SendTxn))
    ended = effects_of(state, events.TxnDone(number, None), 1000)
    (end,) = [effect for effect in ended if isinstance(effect, effects.Exit)]
    assert end.code == 2 and "is in use by another machine" in end.reason


def test_a_disowned_session_is_never_attested(scene: Scene) -> None:
    scene.put(KEYS.fence("n1"), dead("s-1", over=True))
    state = begun(scene, disowned=("s-1",))
    done = look(state, scene, 0)
    assert sent(done) == ["refusal"] and not probes(done)
    assert "another machine was seen to renew it" in state.namesake.problem


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (dead("s", machine=OTHER_BOARD), "it is of a machine with another mainboard (DMI product UUID)"),
        (dead("s", machine_id="x"), "it is of the machine with the machine id x"),
        (dead("s", machine_id="", machine=""), "nobody knows which machine's it is"),
        (dead("s", machine=""), ""),  # of version 0.1.0
        (dead("s", machine_id="", machine="", generation=2), ""),
        (dead("last", machine_id="", machine=""), ""),
        (dead("held", machine=OTHER_BOARD), ""),
    ],
)
def test_whose_it_is(scene: Scene, record: FenceRecord, why: str) -> None:
    state = begun(scene, last_session_id="last", held_session_id="held")
    assert namesake.not_mine(state, record) == why


def test_with_nobody_else_a_foreign_session_is_deposed_and_not_attested(scene: Scene) -> None:
    scene.put(KEYS.node("n1"), session("s-1", machine=OTHER_BOARD))
    state = begun(scene)
    assert "depose" not in sent(look(state, scene, 0))
    done = look(state, scene, OVER + 10)
    (sent_txn,) = [effect for effect in done if isinstance(effect, effects.SendTxn) and effect.purpose == "depose"]
    record = FenceRecord.from_json(
        next(operation.value for operation in sent_txn.txn.success if isinstance(operation, Put))
    )
    assert (record.state, record.over, record.evidence) == ("pending", True, "")


def test_the_session_of_this_boot_is_closed_soon_without_asking(scene: Scene) -> None:
    scene.put(KEYS.node("n1"), replace(session("held"), boot_id="boot-2"))
    state = begun(scene, held_session_id="held")
    assert "close" not in sent(look(state, scene, 0))
    scene.put(KEYS.node("n1"), replace(session("held", 2), boot_id="boot-2"))  # a stray renewal
    done = [*look(state, scene, 500), *look(state, scene, 500 + S + 10)]
    assert evidence(done) == "self-stop" and not probes(done)


def test_a_machine_id_made_anew_under_the_daemon_is_no_other_machine(scene: Scene) -> None:
    """The guard has held the session all the while: the next daemon goes on with it, and says the new id."""
    mod = scene.put(KEYS.node("n1"), replace(session("s-1", machine_id="before"), boot_id="boot-2"))
    guard = events.GuardFacts("s-1", at(OVER), False, (), 2)
    state = begun(scene, guard=guard)
    done = look(state, scene, 100)
    assert state.phase == "live" and not state.namesake.leaving
    (renewal,) = [effect for effect in done if isinstance(effect, effects.SendTxn) and effect.purpose == "renew"]
    assert renewal.txn.compares[0].revision == mod and '"m"' in str(renewal.txn)


@pytest.mark.parametrize(("held", "first"), [("", "lost"), ("s-2", "open")])
def test_a_session_that_was_deleted_by_hand_gets_its_record_before_the_next_opens(
    scene: Scene, held: str, first: str
) -> None:
    """An opening says that what was before it is stopped: only the boot that held the session knows that."""
    scene.put(KEYS.fence("n1"), dead("s-1", state="safe"))
    scene.put(KEYS.group("db"), Ownership("n1", "s-2", 12, 5, "owned"))
    state = begun(scene, held_session_id=held)
    assert sent(look(state, scene, 0)) == [first]


def test_such_a_session_is_closed_when_its_lease_is_over_and_nobody_answers(scene: Scene) -> None:
    lost = FenceRecord("s-2", 12, 0, LEASE_MS, "", "", "pending", by="n1")
    scene.put(KEYS.fence("n1"), lost)
    state = begun(scene, last_session_id="s-2")
    assert not probes([*look(state, scene, 0), *look(state, scene, OVER - 10)])
    assert probes(look(state, scene, OVER + 10)) == 1
    assert evidence(answer(state, OVER + 400)) == "self-stop"


def test_two_nodes_with_one_machine_id(scene: Scene) -> None:
    scene.put(KEYS.node("n2"), session("s-2", machine=OTHER_BOARD))
    state = begun(scene)
    done = look(state, scene, 0)
    assert sent(done) == ["refusal"]
    assert "nodes 'n1' and 'n2' have the same machine id, m" in state.namesake.leaving
    assert "systemd-machine-id-setup" in state.namesake.leaving


def test_it_waits_until_it_is_identified(scene: Scene) -> None:
    state = begun(scene)
    state.session.owner = state.session.owner._replace(machine="")
    done = look(state, scene, 0)
    assert effects.Identify("10.0.0.11") in done and "open" not in sent(done)
    done = effects_of(state, events.Identified(MINE), 10) + effects_of(state, events.Tick(), 11)
    (sent_txn,) = [effect for effect in done if isinstance(effect, effects.SendTxn)]
    assert sent_txn.purpose == "open" and MINE in str(sent_txn.txn)


def test_the_original_says_that_a_copy_was_refused_and_forgets_it(scene: Scene) -> None:
    from election.records import Refusal

    scene.put(KEYS.node("n1"), session("s-1"))
    state = begun(scene)
    state.view.load(scene.store.snapshot(KEYS.prefix, timeout_s=5))
    state.session.session_id, state.session.session_revision = "s-1", state.view.sessions["n1"].create_revision
    scene.put(KEYS.refused("n1"), Refusal("a copy", "m", "boot-9"))
    state.view.load(scene.store.snapshot(KEYS.prefix, timeout_s=5))
    for ms, expected in ((0.0, ["machine_refused"]), (1000.0, []), (namesake.SHOWN_MS + 10, ["forget-refusal"])):
        out = Out(state, at(ms))
        namesake.forget_refusal(state, out)
        told = [effect.event if isinstance(effect, effects.Note) else effect.purpose for effect in out.effects]  # type: ignore[union-attr]
        assert told == expected
