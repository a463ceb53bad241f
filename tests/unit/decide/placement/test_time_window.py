"""Times of the day."""

from __future__ import annotations

import pytest

from hactl.decide.placement.time_window import window

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@pytest.mark.parametrize("text", ["2:00-04:00", "02:00", "24:00-01:00", "02:60-03:00", "02:00-02:00", "02:00 - 03:00"])
def test_what_is_none(text: str) -> None:
    assert window(text) is None


@pytest.mark.parametrize(
    ("text", "hour", "holds"),
    [
        ("02:00-04:30", 2.0, True), ("02:00-04:30", 4.49, True), ("02:00-04:30", 4.5, False),
        ("02:00-04:30", 1.99, False), ("23:00-01:00", 23.5, True), ("23:00-01:00", 0.5, True),
        ("23:00-01:00", 1.0, False), ("23:00-01:00", 12.0, False),
    ],
)  # fmt: skip
def test_when_it_holds_on_any_day(text: str, hour: float, holds: bool) -> None:
    times = window(text)
    assert times is not None
    assert [times.holds(day * DAY_MS + hour * HOUR_MS) for day in (0, 1, 20_000)] == [holds] * 3
