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
    made.on_own_renewal(at(0), at(0), 4)
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


def after_an_outage(answered: int, sent: float) -> Observer:
    """A peer that was seen to renew at 10 ms; from then on the store is away until I renew again at 5000 ms."""
    seen = observer()
    seen.on_session("n2", session(6), at(10))
    seen.on_own_renewal(at(5000), at(sent), answered)
    return seen


def suspected(seen: Observer, mod: int, now: float) -> bool:
    """400 ms after its last renewal, while I renew every 100 ms."""
    own = seen.last_own_renewal
    assert own is not None
    for ms in range(int(own.boot) + 100, int(now) + 1, 100):
        seen.on_own_renewal(at(ms), at(ms - 1), 100 + ms)
    return seen.suspected("n2", session(mod), 400, at(now))


def test_a_renewal_that_is_seen_after_the_outage_but_is_from_before_it_raises_no_suspicion() -> None:
    seen = after_an_outage(answered=9, sent=4999)
    seen.on_session("n2", session(9), at(5010))
    assert not suspected(seen, 9, 5900)
    assert seen.over("n2", session(9), at(5010 + 1025)), "its lease counts"


def test_a_renewal_after_the_outage_does() -> None:
    seen = after_an_outage(answered=9, sent=4999)
    seen.on_session("n2", session(10), at(5010))
    assert not suspected(seen, 10, 5409)
    assert suspected(seen, 10, 5410)


def test_an_answer_that_may_be_from_before_the_outage_tells_of_no_revision_after_it() -> None:
    """It was under way for longer than 2h, or it lay unread: the next answer counts."""
    seen = after_an_outage(answered=7, sent=5000 - 2 * H - 1)
    seen.on_session("n2", session(8), at(5010))
    assert not suspected(seen, 8, 5900)
    seen.on_session("n2", session(8000), at(5950))
    assert suspected(seen, 8000, 6350)


def test_another_history_begins_without_a_revision() -> None:
    seen = after_an_outage(answered=9, sent=4999)
    seen.forget()
    assert seen.since_gap is None


def test_a_renewal_of_mine_without_a_gap_before_it_makes_nobody_unheard() -> None:
    seen = observer()
    seen.on_own_renewal(at(50), at(49), 8)
    seen.on_session("n2", session(7), at(60))
    assert seen.heard_within("n2", 2 * H, at(60))
