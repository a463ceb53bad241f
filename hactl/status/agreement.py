"""What several balancers say of one server, in few words. Pure, and imports nothing: the command line has it, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What is said of a server where the balancers do not agree, and where there is none that says anything.
DISAGREE, UNKNOWN = "disagree", "unknown"


def agreed(words: Mapping[str, str]) -> str:
    """What all balancers say, DISAGREE, or UNKNOWN. `words`: by balancer."""
    found = set(words.values())
    return found.pop() if len(found) == 1 else DISAGREE if found else UNKNOWN


def words(server: dict[str, Any]) -> str:
    """What the check of a server that is down came to, in HAProxy's words: those of the first that says it."""
    down = next((one for one in server["balancers"].values() if one["word"] == "down"), {"check": "", "detail": ""})
    return f"{down['check']} {down['detail']}".strip() or "HAProxy does not say why"


def says(server: dict[str, Any], between: str) -> str:
    """Who says what of a server: `down says n1, up say n2 and n3`."""
    found: dict[str, list[str]] = {}
    for name, down in server["balancers"].items():
        found.setdefault(down["word"], []).append(name)
    rare_first = sorted(found.items(), key=lambda one: len(one[1]))
    return between.join(
        f"{word} say{'s' if len(names) == 1 else ''} {' and '.join(names)}" for word, names in rare_first
    )  # fmt: skip
