"""Texts of people: what may be one, what is kept of any data, how it is shown."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hactl.model.text import LONGEST, LONGEST_KEPT, bounded, called, escaped, text_problem

TEXT = st.text(st.characters(codec=None), max_size=30)  # lone surrogates, too
DATA: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(TEXT | st.integers(), inner) | st.tuples(inner, inner),
    max_leaves=30,
)


@pytest.mark.parametrize("text", ["", "kernel upgrade", "Wartung für Zürich, 3 °C", "नमस्ते", "👩‍🚒", "x" * LONGEST])
def test_what_people_write_is_a_text(text: str) -> None:
    assert text_problem(text) == "" and escaped(text) == text


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\t", "\x7f", "\x9b31m", "\u202eabc", "\udcdf", "\u2028", "\0"])
def test_what_a_terminal_acts_on_is_none(text: str) -> None:
    assert "control character \\" in text_problem(text)
    assert text_problem(escaped(text)) == ""


def test_a_text_has_an_end() -> None:
    assert text_problem("x" * (LONGEST + 1)) == "has 201 characters: 200 at most"


@given(DATA)
def test_whatever_happened_can_be_written_and_read(data: Any) -> None:
    kept = bounded(data)
    raw = json.dumps(kept, allow_nan=False, ensure_ascii=False).encode()
    assert json.loads(raw) == kept
    assert bounded(kept) == kept


def test_what_is_kept_is_little() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    assert len(json.dumps(bounded(deep))) < 100
    assert len(bounded("x" * 9_000)) == LONGEST_KEPT
    assert len(bounded(list(range(9_000)))) == 50


def test_who_it_was() -> None:
    assert (called("root", "anna"), called("root", ""), called("anna", "anna")) == ("root (sudo anna)", "root", "anna")
