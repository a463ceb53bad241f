"""When a peer's lease is over for an observer, and what makes its clocks start again."""

from __future__ import annotations

from election.clock import Instant
from election.observer import Observer
from election.records import FenceRecord, Session
from election.view import Versioned

H, E = 100.0, 300.0


def at(ms: float) -> Instant:
    return Instant(ms, ms)


def session(mod: int, create: int = 1, lease_ms: int = 1000) -> Versioned[Session]:
    return Versioned(Session("s", "m", "b", lease_ms, mod), create, mod)


def record(deposed_revision: int) -> FenceRecord:
    return FenceRecord("s", 1, deposed_revision, 1000, "m", "b", "pending")


def observer() -> Observer:
    made = Observer(H, E)
    made.on_own_renewal(at(0))
    made.on_session("n2", session(5), at(10))
    return made


def test_over_after_the_lease_and_a_margin_for_both_clocks() -> None:
    seen = observer()
    assert not seen.over("n2", session(5), at(10 + 1024))
    assert seen.over("n2", session(5), at(10 + 1025))
    assert not seen.over("n2", session(6), at(9999)), "another state than the one observed"
    assert not seen.over("n2", session(5), Instant(9999, 500)), "one clock says it is not over"


def test_a_renewal_starts_the_clock_anew() -> None:
    seen = observer()
    seen.on_session("n2", session(6), at(900))
    assert not seen.over("n2", session(6), at(1900))
    assert seen.over("n2", session(6), at(1925))


def test_a_gap_longer_than_an_election_restarts_the_clocks() -> None:
    for gap, over in ((2 * H + 2 * E - 1, True), (2 * H + 2 * E + 1, False)):
        seen = observer()
        seen.on_own_renewal(at(gap))
        assert seen.over("n2", session(5), at(1040)) is over
        assert seen.sightings["n2"].suspect_since == at(gap), "suspicion restarts after 2h"


def test_in_a_gap_nobody_is_judged() -> None:
    seen = observer()
    assert not seen.in_gap(at(2 * H + 2 * E))
    assert seen.in_gap(at(2 * H + 2 * E + 1))
    assert Observer(H, E).in_gap(at(0))


def test_a_dead_session_counts_from_an_exact_sighting_else_from_its_record() -> None:
    for deposed_revision, since in ((5, 10.0), (6, 500.0)):
        seen = observer()
        seen.on_fence("n2", record(deposed_revision), at(500))
        assert not seen.dead_over("n2", record(deposed_revision), at(since + 1024))
        assert seen.dead_over("n2", record(deposed_revision), at(since + 1025))


def test_a_gap_does_not_restart_the_clock_of_a_dead_session() -> None:
    seen = observer()
    seen.on_fence("n2", record(5), at(500))
    seen.on_own_renewal(at(5000))
    assert seen.dead_over("n2", record(5), at(5001))


def test_a_session_that_was_only_found_was_not_heard() -> None:
    seen = observer()
    assert not seen.heard_within("n2", 2 * H, at(11))
    assert not seen.heard_within("n3", 2 * H, at(11))
    seen.on_session("n2", session(6), at(100))
    assert seen.heard_within("n2", 2 * H, at(100 + 2 * H))
    assert not seen.heard_within("n2", 2 * H, at(100 + 2 * H + 1))
