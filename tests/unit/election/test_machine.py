"""Two machines are the same as far as anybody can tell, or differ in parts that both know."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from election.machine import PARTS, differences, identity

DIGESTS = st.tuples(*[st.sampled_from(["", "aa", "bb"])] * 3)


@pytest.mark.parametrize(
    ("mine", "other", "differ"),
    [
        (("s", "b", "c"), ("s", "b", "c"), []),
        (("s", "b", "c"), ("s", "x", "c"), [PARTS[1]]),
        (("s", "b", "c"), ("t", "b", "x"), [PARTS[0], PARTS[2]]),
        (("s", "", "c"), ("s", "b", ""), []),
        (("s", "b", "c+d"), ("s", "b", "d"), []),
        (("s", "b", "c+d"), ("s", "b", "x+e"), [PARTS[2]]),
    ],
)
def test_examples(mine: tuple[str, ...], other: tuple[str, ...], differ: list[str]) -> None:
    assert differences(identity(mine), identity(other)) == differ


def test_another_version_is_compared_by_the_parts_that_both_know() -> None:
    mine = identity(("s", "b", "c"))
    assert differences(mine, "") == differences("", mine) == []
    assert differences(mine, "s.b.c.d") == [] and differences(mine, "s.x") == [PARTS[1]]


@given(DIGESTS, DIGESTS)
def test_it_is_mutual_and_never_of_what_one_lacks(first: tuple[str, ...], second: tuple[str, ...]) -> None:
    parts = differences(identity(first), identity(second))
    assert parts == differences(identity(second), identity(first))
    assert parts == [part for part, a, b in zip(PARTS, first, second, strict=True) if a and b and a != b]
