"""Values of agents' options and parameters, by the kinds that their metadata gives. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Literal

ValueKind = Literal["string", "boolean", "integer", "second", "time", "select"]

SWITCH_ON, SWITCH_OFF = ("1", "yes", "on", "true"), ("0", "no", "off", "false")
_TIME = re.compile(r"\d+(\.\d+)?\s*(|ms|msec|us|usec|s|sec|m|min|h|hr)", re.IGNORECASE)


def wrong_kind(kind: ValueKind, choices: Sequence[str], text: str) -> str:
    """Why the value is not of this kind; "": it is."""
    if kind in ("integer", "second") and not re.fullmatch(r"[+-]?\d+", text):
        return "is not a whole number" + (" of seconds" if kind == "second" else "")
    if kind == "time" and not _TIME.fullmatch(text):
        return "is not a time, such as 30 or 30s"
    if kind == "boolean" and text.lower() not in SWITCH_ON + SWITCH_OFF:
        return "is neither true nor false"
    if choices and text.lower() not in [choice.lower() for choice in choices]:
        return f"is none of {', '.join(choices)}"
    return ""


def nearest(name: str, names: Iterable[str]) -> str:
    """The name that was probably meant; "": none is near."""
    return next(iter(difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)), "")


def quoted(description: str) -> str:
    """An agent's own words about an option, for a hint: the first sentence, shortened; "" where it has none."""
    words = description.partition(". ")[0].rstrip(".")
    return f'"{words[:150]}…"' if len(words) > 160 else f'"{words}"' if words else ""
