"""A time of day as an operator types it, and as it is shown to one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

FORMS = "`22:30`, `2026-12-24T22:30`, `2026-12-24T21:30Z`"


def parse(text: str, now: datetime) -> datetime:
    """The time that was typed: with a date or for the next such time of day; local where it names no zone. `now`: with
    the local zone. Raises ValueError, with the forms that there are."""
    zone = now.tzinfo
    try:
        if "-" not in text and "T" not in text:
            clock = datetime.strptime(text, "%H:%M:%S" if text.count(":") == 2 else "%H:%M").time()
            at = datetime.combine(now.date(), clock, zone)
            return at if at > now else datetime.combine(now.date() + timedelta(days=1), clock, zone)
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"`{text}` is no time; write it as {FORMS}") from None
    return at if at.tzinfo is not None else at.replace(tzinfo=zone)


def shown(at: datetime, now: datetime) -> str:
    """In UTC, and in the local time where that is another."""
    utc, local = at.astimezone(UTC), at.astimezone(now.tzinfo)
    text = f"{utc:%Y-%m-%d %H:%M:%S} UTC"
    return text if local.utcoffset() == timedelta(0) else f"{text} ({local:%Y-%m-%d %H:%M:%S} here)"
