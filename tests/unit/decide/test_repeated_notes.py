"""What repeats is told a few times, then counted; what is new is told at once."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hactl.decide.repeated_notes import (
    BURST,
    FIRST_WAIT_S,
    LONGEST_WAIT_S,
    QUIET_S,
    VARIANTS,
    VARIANTS_S,
    RepeatedNotes,
)

STOP = {"group": "app", "resource": "app", "reason": "it hangs since 3.5 s"}


def told(notes: RepeatedNotes, seconds: int, data: dict[str, Any], start: int = 0) -> list[tuple[int, int]]:
    """One each second: when it was told, and how many had gone before it untold."""
    notes_told = []
    for second in range(start, start + seconds):
        passed = notes.take("stop_failed", {**data, "count": second}, float(second))
        if passed is not None:
            notes_told.append((second, passed.get("repeated", 0)))
    return notes_told


def test_a_few_then_growing_waits_and_a_count() -> None:
    passed = told(RepeatedNotes(), 3600, STOP)
    assert passed[: BURST + 3] == [(0, 0), (1, 0), (2, 0), (3, 0), (13, 10), (33, 20), (73, 40)]
    assert len(passed) < 15
    assert passed[-1][0] - passed[-2][0] == LONGEST_WAIT_S


def test_none_is_lost_in_the_count() -> None:
    notes = RepeatedNotes()
    passed = told(notes, 1000, STOP)
    assert notes.waiting
    [(event, data)] = notes.due(1_000_000.0)
    assert event == "stop_failed" and not notes.waiting
    assert sum(count for _, count in passed[BURST:]) + BURST + data["repeated"] == 1000


def test_numbers_in_a_reason_make_no_difference_and_names_do() -> None:
    notes = RepeatedNotes()
    told(notes, BURST, STOP)
    assert notes.take("stop_failed", {**STOP, "reason": "it hangs since 4.25 s"}, 5.0) is None
    assert notes.take("stop_failed", {**STOP, "group": "app2"}, 5.0) is not None
    assert notes.take("stop_failed", {**STOP, "reason": "it is gone"}, 5.0) is not None
    assert notes.take("resource_failed", STOP, 5.0) is not None


def test_it_is_news_again_after_a_quiet_time() -> None:
    notes = RepeatedNotes()
    told(notes, BURST + 3, STOP)
    assert len(told(notes, BURST, STOP, start=int(BURST + 3 + QUIET_S + 1))) == BURST


@pytest.mark.parametrize("every_s", [1, 30])
@pytest.mark.parametrize("words", ["request req-{} was refused", "{}"])
def test_words_that_are_others_each_time_make_no_difference_after_a_few(every_s: int, words: str) -> None:
    """An agent that names its request, or prints what it finds in its memory."""
    notes, letters = RepeatedNotes(), random.Random(1)
    seconds = []
    for second in range(0, 3600, every_s):
        reason = words.format("".join(letters.choices("abcdefghij\x00", k=12)))
        seconds += [second] if notes.take("stop_failed", {**STOP, "reason": reason}, float(second)) else []
    assert VARIANTS < len(seconds) < 2 * VARIANTS + 12
    assert notes.take("stop_failed", {**STOP, "group": "app2", "reason": "another"}, 3600.0) is not None


def test_words_that_are_others_now_and_then_are_told() -> None:
    notes = RepeatedNotes()
    for number in range(100):
        reason = f"the disk {'x' * number} is full"
        assert notes.take("stop_failed", {**STOP, "reason": reason}, number * VARIANTS_S / VARIANTS + 1) is not None


def test_a_request_of_an_operator_is_told_each_time() -> None:
    notes = RepeatedNotes()
    assert all(notes.take("asked_failover", {"group": "vip", "by": "anna"}, 0.0) for _ in range(100))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 30)), max_size=300))
def test_every_note_is_told_or_counted(steps: list[tuple[str, float]]) -> None:
    notes, now, seen = RepeatedNotes(), 0.0, 0
    for name, wait in steps:
        now += wait
        seen += sum(data.get("repeated", 1) for _, data in notes.due(now))
        passed = notes.take("resource_failed", {"group": name}, now)
        seen += passed.get("repeated", 1) if passed else 0
    seen += sum(data["repeated"] for _, data in notes.due(now + FIRST_WAIT_S + LONGEST_WAIT_S))
    assert seen == len(steps)
