"""Which events a hook gets, and from which node. Pure.

Most events are noted by one node: the one that did it, or saw it on itself. A few are noted by every node; of these a
hook with `sender: one` gets one, from the first node of the configuration that is heard.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from typing import Any

from election.clock import Instant
from hactl.decide.reading import ReadState
from hactl.model.hooks import HookSpec
from hactl.model.notes import KINDS, SEVERITIES, Severity, kind_of

# A hook does not get the events about itself: it would be told of its own failure again and again.
ABOUT_HOOKS = "hook"

_SEVERITY = re.compile(r"severity\s*>=\s*(\w+)")


def severity_of(word: str) -> str | None:
    """The severity that a word of `on` asks for; None: it names events."""
    match = _SEVERITY.fullmatch(word.strip())
    return match[1] if match else None


def named_by(word: str) -> list[str]:
    """The events that a word of `on` can mean."""
    if (lowest := severity_of(word)) is not None:
        return [kind.name for kind in KINDS.values() if lowest in _up_to(kind.severity) + _up_to(kind.when_not_ok)]
    return fnmatch.filter(KINDS, word)


def events_of(hook: HookSpec) -> frozenset[str]:
    """The events that a hook can get."""
    return frozenset(name for word in hook.on for name in named_by(word))


def concerns(hook: HookSpec, event: str, data: Mapping[str, Any]) -> bool:
    """Whether a hook gets this event, from whichever node."""
    if data.get(ABOUT_HOOKS) == hook.name or data.get("source") == f"hook {hook.name}":
        return False
    if hook.groups and data.get("group") not in hook.groups:
        return False
    return any(_asks_for(word, event, data) for word in hook.on)


def sends(hook: HookSpec, event: str, data: Mapping[str, Any], state: ReadState | None, now: Instant) -> bool:
    """Whether this node, which has noted the event, sends it. Where it cannot know it does: better twice than never."""
    if state is None or hook.sender == "all":
        return True
    ownership = state.view.groups.get(str(data.get("group", "")))
    if hook.sender == "owner" and "group" in data:
        return ownership is None or ownership.record.node == state.node
    return not kind_of(event).everywhere or _first_heard(state, str(data.get("node", "")), now) == state.node


def _first_heard(state: ReadState, subject: str, now: Instant) -> str:
    """The first node of the configuration that takes part and is heard, and is not the subject of the event."""
    if state.cluster is None:
        return state.node
    limit_ms = state.cluster.timing.suspect_after_ms
    for node in state.cluster.nodes:
        heard = node.name in state.view.sessions and state.observer.heard_within(node.name, limit_ms, now)
        if node.name == state.node or (heard and node.name != subject):
            return node.name
    return state.node


def _asks_for(word: str, event: str, data: Mapping[str, Any]) -> bool:
    if (lowest := severity_of(word)) is None:
        return fnmatch.fnmatchcase(event, word)
    return lowest in _up_to(kind_of(event).severity_of(dict(data)))


def _up_to(severity: Severity | None) -> tuple[Severity, ...]:
    return () if severity is None else SEVERITIES[: SEVERITIES.index(severity) + 1]
