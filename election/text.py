"""Text from outside, as it may be shown to people. Pure."""

from __future__ import annotations


def clipped(text: str, length: int) -> str:
    """At most `length` characters of it; the last one is … where it had more."""
    return text if len(text) <= length else text[: length - 1] + "…"


def printable(text: str, length: int = 200) -> str:
    """In one line, without control characters and half characters."""
    shown = text[: length + 1]
    if not shown.isprintable():
        shown = "".join(
            character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
            for character in shown
        )
    return clipped(shown, length)
