"""The history's entry of a takeover (`failover`), for code that shows it. Pure."""

from __future__ import annotations

from typing import Any, TypedDict

import msgspec

# The fields that are shown; there are more (hactl.daemon.parts.ledger).
Takeover = TypedDict(
    "Takeover",
    {"group": str, "reason": str, "from": str, "to": str, "marks": dict[str, float], "phases": dict[str, float]},
)


def is_takeover(data: Any) -> bool:
    """Whether this has the fields that are shown: a person, or another version of hactl, may have written it."""
    try:
        msgspec.convert(data, Takeover)
    except msgspec.ValidationError:
        return False
    return True
