"""What an agent has said about its resource by the commands in `commands/`: attributes of this node. Pure."""

from __future__ import annotations

from collections.abc import Mapping

INFINITY = 1_000_000


def promotion_score(attributes: Mapping[str, str], instance: str) -> int | None:
    """How much the agent wants the instance here to be promoted, from -INFINITY to INFINITY; None: it has not said.
    Negative: it must not be."""
    text = attributes.get(f"master-{instance}", "").strip()
    if text.lstrip("+-").upper() == "INFINITY":
        return -INFINITY if text.startswith("-") else INFINITY
    try:
        return max(-INFINITY, min(INFINITY, int(text)))
    except ValueError:
        return None
