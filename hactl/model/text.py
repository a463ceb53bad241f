"""Texts that people write and others read: what may be in one, and how one is shown that came from anywhere. Pure."""

from __future__ import annotations

import math
import re
from typing import Any

from election.text import clipped

# A reason, a name: more is no text for a screen.
LONGEST = 200

# Characters that a terminal acts on, that are none, and that change the order of others: control characters of C0 and
# C1, lone surrogates, line and paragraph separators, marks of direction.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")

LONGEST_NAME = 64

# The bounds of data that is kept or shown: depth, entries of a list, length of a text.
DEEPEST, MOST, LONGEST_KEPT = 6, 50, 500


def text_problem(text: str, longest: int = LONGEST) -> str:
    """Why this cannot be a text; "": it can."""
    if len(text) > longest:
        return f"has {len(text)} characters: {longest} at most"
    if match := _CONTROL.search(text):
        return f"has the control character {_escape(match)}: write printable characters, on one line"
    return ""


def escaped(text: str, keep: str = "") -> str:
    """With control characters, but those of `keep`, as a program would write them: `\\x1b`."""
    return _CONTROL.sub(lambda match: match[0] if match[0] in keep else _escape(match), text)


def called(user: str, sudo: str) -> str:
    """How records say who did something: the user, and for whom, where that was by sudo."""
    return f"{user} (sudo {sudo})" if sudo and sudo != user else user


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def bounded(value: Any, deepest: int = DEEPEST) -> Any:
    """As much of any value as can be kept and shown: JSON of few levels, short texts without lone surrogates."""
    match value:
        case bool() | int() | None:
            return value if not isinstance(value, int) or abs(value) < 1 << 63 else str(value)[:LONGEST_KEPT]
        case float():
            return value if math.isfinite(value) else str(value)
        case str():
            return clipped(value, LONGEST_KEPT).encode(errors="backslashreplace").decode()
        case _ if deepest == 0:
            return "…"
        case dict():
            kept = list(value.items())[:MOST]
            return {bounded(str(name)[:LONGEST]): bounded(inner, deepest - 1) for name, inner in kept}
        case list() | tuple() | set() | frozenset():
            return [bounded(inner, deepest - 1) for inner in list(value)[:MOST]]
        case _:
            return bounded(str(value))
