"""The rules between hooks and other parts of cluster.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hactl.config.errors import suggest
from hactl.config.parts import Parts, mappings, names
from hactl.config.rules.findings import Finding
from hactl.decide.hooks import named_by, severity_of
from hactl.model.notes import KINDS, SEVERITIES

_WORD = re.compile(r"[a-z_*?\[\]]+")


def hook_findings(parts: Parts) -> Iterator[Finding]:
    """The groups and the events that hooks name. A node of an earlier version does not look: it may not know them."""
    known = [named.name for named in names(parts.data, ("groups",))]
    for path, hook in mappings(parts.data, ("hooks",)):
        listed = hook.get("groups")
        for index, name in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(name, str) and name not in known:
                yield Finding((*path, "groups", index), f"`{name}` is no group of this cluster", suggest(name, known))
        words = hook.get("on")
        for index, word in enumerate(words if isinstance(words, list) else ()):
            if isinstance(word, str) and (problem := _unknown(word)):
                yield Finding((*path, "on", index), *problem)
        webhook = hook.get("webhook")
        if isinstance(webhook, dict) and str(webhook.get("url")).startswith("http://") and "token_file" in webhook:
            text = "its token is sent over http, where others may read it"
            yield Finding((*path, "webhook", "url"), text, "use https", refused=False)


def _unknown(word: str) -> tuple[str, str] | None:
    """What is wrong with a word of `on`, and a hint."""
    level = severity_of(word)
    if level is not None:
        return None if level in SEVERITIES else (f"`{level}` is no severity", suggest(level, SEVERITIES))
    if named_by(word):
        return None
    if not _WORD.fullmatch(word):
        return f"`{word}` names no event", "write names of events, with `*`, or `severity>=warning`"
    guess = suggest(word, list(KINDS))
    hint = guess if guess.startswith("did") else "docs/events.md lists them, docs/hooks.md says which to choose"
    return f"there is no event `{word}`", hint
