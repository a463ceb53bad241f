"""What the history says of a takeover (`failover`), for those who show it. Pure."""

from __future__ import annotations

from typing import Any, TypedDict

import msgspec

# The fields that are shown; there are more (hactl.daemon.parts.ledger).
Takeover = TypedDict(
    "Takeover",
    {"group": str, "reason": str, "from": str, "to": str, "marks": dict[str, float], "phases": dict[str, float]},
)


def is_takeover(data: Any) -> bool:
    """Whether this has what is shown of a takeover: a hand, or a version that says it in another way, may have written
    it."""
    try:
        msgspec.convert(data, Takeover)
    except msgspec.ValidationError:
        return False
    return True
