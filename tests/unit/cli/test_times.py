"""Times as they are typed and shown."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from hactl.cli.times import parse, shown

HERE = timezone(timedelta(hours=2))
NOW = datetime(2026, 12, 24, 21, 0, tzinfo=HERE)


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("22:30", "2026-12-24T20:30:00"),
        ("20:59", "2026-12-25T18:59:00"),
        ("21:00", "2026-12-25T19:00:00"),
        ("22:30:15", "2026-12-24T20:30:15"),
        ("2026-12-31T10:00", "2026-12-31T08:00:00"),
        ("2026-12-31 10:00", "2026-12-31T08:00:00"),
        ("2026-12-31T10:00Z", "2026-12-31T10:00:00"),
        ("2026-12-31T10:00+05:00", "2026-12-31T05:00:00"),
    ],
)
def test_a_time(text: str, utc: str) -> None:
    assert parse(text, NOW) == datetime.fromisoformat(f"{utc}+00:00")


@pytest.mark.parametrize("text", ["", "soon", "25:00", "10", "2026-13-01T10:00", "22.30", "-1:00", "T"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="is no time; write it as `22:30`"):
        parse(text, NOW)


def test_both_times_are_shown() -> None:
    assert shown(parse("22:30", NOW), NOW) == "2026-12-24 20:30:00 UTC (2026-12-24 22:30:00 here)"
    utc = datetime(2026, 12, 24, 21, 0, tzinfo=timezone.utc)  # noqa: UP017
    assert shown(utc, utc) == "2026-12-24 21:00:00 UTC"
