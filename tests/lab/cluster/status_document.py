"""Parts of the status document of a node."""

from __future__ import annotations

from typing import Any


def group_named(document: dict[str, Any], name: str) -> dict[str, Any]:
    """The group of this name in a status document, or in a configuration."""
    return next(group for group in document["groups"] if group["name"] == name)


def has_warning(document: dict[str, Any], words: str, *, field: str = "what", level: str = "") -> bool:
    """Whether a status document has a warning with these words, of this level if one is given. `field`: the field of
    the warning with the words, `what` or `do`."""
    return any(words in warning[field] and (not level or warning["level"] == level) for warning in document["warnings"])
