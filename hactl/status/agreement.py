"""The words of several balancers on one server, in short. Pure, and imports nothing: the command line has it, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The word for a server where the balancers do not agree, and where none says anything.
DISAGREE, UNKNOWN = "disagree", "unknown"


def agreed(words: Mapping[str, str]) -> str:
    """The word that all balancers say, DISAGREE, or UNKNOWN. `words`: by balancer."""
    said = set(words.values())
    return said.pop() if len(said) == 1 else DISAGREE if said else UNKNOWN


def words(server: dict[str, Any]) -> str:
    """The outcome of the check of a server that is down, in HAProxy's words: those of the first that says it."""
    downs = (balancer for balancer in server["balancers"].values() if balancer["word"] == "down")
    text = next((f"{balancer['check']} {balancer['detail']}".strip() for balancer in downs), "")
    return text or "HAProxy does not say why"


def says(server: dict[str, Any], between: str) -> str:
    """The words of the balancers on a server: `down says n1, up say n2 and n3`."""
    names_by_word: dict[str, list[str]] = {}
    for name, balancer in server["balancers"].items():
        names_by_word.setdefault(balancer["word"], []).append(name)
    rare_first = sorted(names_by_word.items(), key=lambda entry: len(entry[1]))
    return between.join(
        f"{word} say{'s' if len(names) == 1 else ''} {' and '.join(names)}" for word, names in rare_first
    )  # fmt: skip
