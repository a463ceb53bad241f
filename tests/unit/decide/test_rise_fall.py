"""When the answers to a check count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hactl.decide.rise_fall import RiseFall


def verdicts(answers: str, rise: int, fall: int) -> str:
    """For each answer (`+` good, `-` bad, `!` bad for certain) whether it has failed then: `x`."""
    counted = RiseFall(rise, fall)
    return "".join("x" if counted.see(answer == "+", certain=answer == "!") else "." for answer in answers)


@pytest.mark.parametrize(
    ("rise", "fall", "answers", "expected"),
    [
        (1, 1, "+-+-", ".x.x"),
        (1, 3, "--+--+---", "........x"),
        (1, 3, "---+", "..x."),
        (2, 2, "--+-++", ".xxxx."),
        (3, 2, "--++++", ".xxx.."),
        (1, 3, "+!", ".x"),
        (2, 3, "!++--", "xx..."),
    ],
)
def test_so_many_in_a_row_count(rise: int, fall: int, answers: str, expected: str) -> None:
    assert verdicts(answers, rise, fall) == expected


@given(st.text("+-", max_size=60), st.integers(1, 5), st.integers(1, 5))
def test_it_changes_exactly_when_the_last_answers_all_say_so(answers: str, rise: int, fall: int) -> None:
    failed = False
    for index, verdict in enumerate(verdicts(answers, rise, fall)):
        needed, other = (rise, "+") if failed else (fall, "-")
        last = answers[max(0, index + 1 - needed) : index + 1]
        # Those that came before the last change do not count again: they said what is so now.
        changes = last == other * needed
        assert (verdict == "x") == (failed != changes)
        failed = verdict == "x"
