"""Who gets a place, and how often: any sequence of peers."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from hactl.serving.limits import PEERS, Rates, Slots


class Connection:
    """Notes that it was ended."""

    def __init__(self, peer: str) -> None:
        self.peer, self.aborted = peer, False

    def abort(self) -> None:
        self.aborted = True


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.booleans()), max_size=80))
def test_never_more_than_there_are_places_and_nobody_is_kept_out(steps: list[tuple[str, bool]]) -> None:
    slots, held = Slots(4), []
    for peer, comes in steps:
        if not comes:
            if held:
                gone = held.pop(0)
                slots.give_back(gone.peer, gone)
                slots.give_back(gone.peer, gone)  # safe to repeat
            continue
        counts = Counter(connection.peer for connection in held)
        fair = len(held) < 4 or max(counts.values()) > counts[peer] + 1
        assert slots.make_room(peer) is fair
        if fair:
            new = Connection(peer)
            slots.take(peer, new)
            held = [connection for connection in held if not connection.aborted] + [new]
        assert slots.taken == len(held) <= 4


def test_the_peer_with_most_connections_loses_its_oldest() -> None:
    slots, floods = Slots(3), [Connection("flood") for _ in range(3)]
    for flood in floods:
        assert slots.make_room("flood")
        slots.take("flood", flood)
    assert not slots.make_room("flood")
    assert slots.make_room("monitoring")
    assert [flood.aborted for flood in floods] == [True, False, False]


def test_a_peer_has_its_burst_and_then_its_rate() -> None:
    rates = Rates(per_second=10, burst=3)
    assert [rates.take("a", 100.0) for _ in range(5)] == [True, True, True, False, False]
    assert rates.take("b", 100.0)
    assert [rates.take("a", 100.25) for _ in range(3)] == [True, True, False]
    assert [rates.take("a", 200.0) for _ in range(4)] == [True, True, True, False]


def test_peers_are_forgotten_before_they_fill_the_memory() -> None:
    rates = Rates(per_second=1, burst=1)
    for number in range(PEERS + 500):
        assert rates.take(f"peer {number}", 0.0)
    assert len(rates._left) == PEERS
