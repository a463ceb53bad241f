"""The steps of a fence job."""

from __future__ import annotations

from election.clock import Instant
from fencing import job as machine
from fencing.job import Finished, Stuck, Switch, Wait
from fencing.topology import Level, NodeFencing, Target

BMC, LEFT, RIGHT = Target("bmc"), Target("pdu-a", "1"), Target("pdu-b", "1")
T0 = Instant(1000.0, 5000.0)


def job(*levels: tuple[Target, ...], wait_ms: float = 0.0) -> machine.Job:
    return machine.begin(NodeFencing(tuple(Level(level) for level in levels)), wait_ms, T0)


def play(work: machine.Job, *outcomes: tuple[bool, str], now: Instant = T0) -> list[object]:
    """Give these outcomes to the steps that are asked for; the steps, the one after them included."""
    steps: list[object] = []
    for ok, power in outcomes:
        step = machine.next_step(work, now)
        assert isinstance(step, Switch), step
        steps.append(step)
        machine.switched(work, step.action, ok, power, "" if ok else "it fails", now)
    return [*steps, machine.next_step(work, now)]


def test_off_is_confirmed_by_status() -> None:
    assert play(job((BMC,)), (True, "unknown"), (True, "off")) == [
        Switch(BMC, "off"),
        Switch(BMC, "status"),
        Finished(),
    ]


def test_an_off_that_failed_counts_when_status_says_off() -> None:
    assert play(job((BMC,)), (False, "unknown"), (True, "off"))[-1] == Finished()


def test_a_status_that_fails_or_says_on_is_no_off() -> None:
    for outcome in [(True, "on"), (False, "off"), (True, "unknown")]:
        work = job((BMC,))
        assert play(work, (True, "unknown"), outcome)[-1] == Wait(machine.FIRST_WAIT_MS)
        assert work.failures == 1


def test_every_supply_of_a_level_is_off_before_the_node_is() -> None:
    steps = play(job((LEFT, RIGHT)), (True, ""), (True, "off"), (True, ""), (True, "off"))
    assert steps == [
        Switch(LEFT, "off"),
        Switch(LEFT, "status"),
        Switch(RIGHT, "off"),
        Switch(RIGHT, "status"),
        Finished(),
    ]


def test_the_next_level_begins_anew_when_one_supply_stays_on() -> None:
    work = job((LEFT, RIGHT), (BMC,))
    steps = play(work, (True, ""), (True, "off"), (True, ""), (True, "on"), (True, ""), (True, "off"))
    assert steps[4:] == [Switch(BMC, "off"), Switch(BMC, "status"), Finished()]
    assert work.level == 1


def test_waits_double_up_to_a_limit_and_never_end() -> None:
    work, waits, now = job((BMC,)), [], T0
    for _ in range(8):
        step = play(work, (False, ""), (False, "unknown"), now=now)[-1]
        assert isinstance(step, Wait)
        waits.append(step.ms)
        now = now.plus(step.ms)
    assert waits == [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]


def test_an_executor_gives_up_after_some_rounds() -> None:
    work = job((BMC,))
    play(work, (False, ""), (False, ""))
    assert not work.given_up
    play(work, (False, ""), (False, ""), now=T0.plus(1000))
    assert work.given_up


def test_the_delay_comes_before_the_first_action() -> None:
    work = job((BMC,), wait_ms=700)
    assert machine.next_step(work, T0.plus(300)) == Wait(400)
    assert machine.next_step(work, T0.plus(700)) == Switch(BMC, "off")


def test_a_delay_is_counted_on_the_clock_that_says_more() -> None:
    work = job((BMC,), wait_ms=700)
    assert machine.next_step(work, Instant(T0.boot + 100, T0.raw + 700)) == Switch(BMC, "off")


def test_a_watchdog_has_nothing_to_be_switched() -> None:
    fencing = NodeFencing((Level(watchdog=True), Level((BMC,))))
    assert machine.next_step(machine.begin(fencing, 0, T0), T0) == Switch(BMC, "off")
    assert machine.next_step(machine.begin(NodeFencing((Level(watchdog=True),)), 0, T0), T0) == Stuck()


def test_switched_on_by_the_devices_that_switched_it_off() -> None:
    fencing = NodeFencing((Level((BMC,)), Level((LEFT, RIGHT))))
    work = machine.switch_on(fencing, 1, T0)
    steps = play(work, (True, ""), (True, "on"), (True, ""), (True, "on"))
    assert steps == [
        Switch(LEFT, "on"),
        Switch(LEFT, "status"),
        Switch(RIGHT, "on"),
        Switch(RIGHT, "status"),
        Finished(),
    ]
    work = machine.switch_on(fencing, 1, T0)
    assert play(work, (True, ""), (True, "off"))[-1] == Wait(machine.FIRST_WAIT_MS)
    assert work.level == 1


def test_an_action_that_was_not_begun_is_begun_again() -> None:
    work = job((BMC,))
    play(work, (True, ""))
    machine.abandoned(work, "another was first", T0)
    assert machine.next_step(work, T0) == Switch(BMC, "off")
