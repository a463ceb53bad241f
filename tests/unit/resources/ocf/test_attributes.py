"""What agents say about promotion."""

from __future__ import annotations

import pytest

from hactl.resources.ocf.attributes import INFINITY, promotion_score


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("10", 10),
        ("+7", 7),
        ("-5", -5),
        ("0", 0),
        (" 100\n", 100),
        ("INFINITY", INFINITY),
        ("+infinity", INFINITY),
        ("-INFINITY", -INFINITY),
        ("99999999", INFINITY),
        ("-99999999", -INFINITY),
        ("much", None),
        ("", None),
    ],
)
def test_scores(text: str, score: int | None) -> None:
    assert promotion_score({"master-g.db": text, "master-g.other": "3"}, "g.db") == score


def test_an_instance_that_has_said_nothing_has_no_score() -> None:
    assert promotion_score({"master-g.other": "3"}, "g.db") is None
