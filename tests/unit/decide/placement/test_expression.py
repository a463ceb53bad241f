"""Expressions on attributes."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hactl.decide.placement.expression import ExpressionError, parse

NODE = {"node": "n1", "rack": "a", "ssd": True, "old": False, "memory": 64.0, "zone": "eu-west.1"}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("rack == a", True), ('rack == "a"', True), ("rack != a", False), ("rack == b", False),
        ("ssd", True), ("not ssd", False), ("old", False), ("nothing", False), ("not nothing", True),
        ("memory >= 64", True), ("memory > 64", False), ("memory < 64.5", True), ("memory == 64", True),
        ("memory == '64'", False), ("rack > 5", False), ("nothing < 5", False), ("ssd == true", True),
        ("ssd == 1", False), ("old == false", True), ("nothing == a", False), ("nothing != a", True),
        ("rack in (a, b)", True), ("rack not in (a, b)", False), ("nothing not in (a)", True),
        ("nothing in (a)", False),
        ("rack == b or ssd and memory >= 1", True), ("(rack == b or ssd) and not memory >= 65", True),
        ("not (rack == a) or old", False), ("node == n1", True), ("zone == eu-west.1", True),
        ("memory in (1, 64)", True),
    ],
)  # fmt: skip
def test_what_holds(text: str, holds: bool) -> None:
    assert parse(text).holds(NODE) is holds


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "at character 1: the name of an attribute is expected, not the end"),
        ("rack ==", "at character 8: a value is expected, not the end"),
        ("rack = a", "at character 6: `=` has no meaning here"),
        ("rack a", "at character 6: `and` or `or` is expected, not `a`"),
        ("(rack", "at character 6: `)` is expected, not the end"),
        ("rack in a", "at character 9: `(` is expected, not `a`"),
        ("rack in (a b)", "at character 12: `,` or `)` is expected, not `b`"),
        ("rack not a", "at character 10: `in` is expected, not `a`"),
        ("memory > a", "`memory >` needs a number, not `a`"),
        ("not " * 60 + "ssd", "it is nested too deeply"),
        ("and", "at character 1: the name of an attribute is expected, not `and`"),
        ("5 == rack", "at character 1: the name of an attribute is expected, not `5`"),
    ],
)
def test_errors_name_the_place(text: str, problem: str) -> None:
    with pytest.raises(ExpressionError) as error:
        parse(text)
    assert problem in str(error.value)


@given(st.text(alphabet="abn() =!<>,'\"1andortin.", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ExpressionError):
        assert parse(text).holds(NODE) in (True, False)


def test_it_names_what_it_asks_for() -> None:
    assert parse("rack == a and not (ssd or memory > 4)").names == {"rack", "ssd", "memory"}
