"""Notes that repeat: told a few times, then with growing waits and a count. Pure.

A fault that is tried again every second would otherwise push out of the bounded history what led to it. Two notes are
the same when their event and all their words are, whatever their numbers (epochs, counts, times) say. Where the words
are others each time, as of an agent that names its request, they are the same, too, after VARIANTS of them.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Any

# So many of the same are told one by one; then the waits between two grow from the first to the longest, in seconds.
BURST = 4
FIRST_WAIT_S, LONGEST_WAIT_S = 10.0, 600.0

# So many of the same event about the same thing are told with words of their own, within so many seconds.
VARIANTS, VARIANTS_S = 8, 600.0
# Fields that somebody else may have put into words. All others name a thing, unless they are sentences.
_WORDS = frozenset({"reason", "detail", "problem", "what"})

# After so long without any of it, it is news again; twice its wait, at the least this.
QUIET_S = 60.0

# Requests of operators are told each time.
_ALWAYS = ("asked_", "withdrew_", "config_applied")
_KNOWN = 500
_NUMBER = re.compile(r"\d+(\.\d+)?")

Identity = tuple[str, ...]


@dataclass(slots=True)
class _Story:
    event: str
    data: dict[str, Any]
    noted_at: float
    last_at: float
    passed: int = 1
    wait_s: float = FIRST_WAIT_S
    withheld: int = 0


class RepeatedNotes:
    """Takes every note. Times are seconds of a clock that does not go back."""

    def __init__(self) -> None:
        self._stories: OrderedDict[Identity, _Story] = OrderedDict()
        self._variants: OrderedDict[Identity, deque[float]] = OrderedDict()

    @property
    def waiting(self) -> bool:
        """Whether something was counted that is yet to be told."""
        return any(story.withheld for story in self._stories.values())

    def take(self, event: str, data: dict[str, Any], now: float) -> dict[str, Any] | None:
        """The note as it is told, with `repeated` where others went before it untold; None: it is counted."""
        if event.startswith(_ALWAYS):
            return data
        key = identity(event, data)
        if key not in self._stories and self._another_variant(event, data, now):
            key = topic(event, data)
        story = self._stories.get(key)
        if story is None or now - story.last_at > max(QUIET_S, 2 * story.wait_s):
            self._stories[key] = _Story(event, data, now, now)
            self._stories.move_to_end(key)
            if len(self._stories) > _KNOWN:
                self._stories.popitem(last=False)
            return data
        story.last_at, story.data = now, data
        if story.passed < BURST:
            story.passed, story.noted_at = story.passed + 1, now
            return data
        story.withheld += 1
        return self._tell(story, now)

    def due(self, now: float) -> list[tuple[str, dict[str, Any]]]:
        """The notes that were counted and whose time has come."""
        due = [(story.event, self._tell(story, now)) for story in self._stories.values() if story.withheld]
        return [(event, data) for event, data in due if data is not None]

    def _another_variant(self, event: str, data: dict[str, Any], now: float) -> bool:
        """Whether there were so many of its kind lately, each in other words, that its own do not count."""
        key = topic(event, data)
        if key == identity(event, data):
            return False
        times = self._variants.setdefault(key, deque(maxlen=VARIANTS + 1))
        self._variants.move_to_end(key)
        if len(self._variants) > _KNOWN:
            self._variants.popitem(last=False)
        times.append(now)
        return len(times) > VARIANTS and now - times[0] <= VARIANTS_S

    @staticmethod
    def _tell(story: _Story, now: float) -> dict[str, Any] | None:
        if now - story.noted_at < story.wait_s:
            return None
        passed = {**story.data, "repeated": story.withheld}
        story.noted_at, story.withheld = now, 0
        story.wait_s = min(2 * story.wait_s, LONGEST_WAIT_S)
        return passed


def identity(event: str, data: dict[str, Any]) -> Identity:
    """Two notes with the same identity are the same. Names count as they are; in sentences numbers do not."""
    words = (
        f"{name}={_NUMBER.sub('#', value) if ' ' in value else value}"
        for name, value in sorted(data.items())
        if isinstance(value, str)
    )
    return (event, *words)


def topic(event: str, data: dict[str, Any]) -> Identity:
    """The subject of a note, whatever it says of it."""
    names = {
        name: value
        for name, value in data.items()
        if name not in _WORDS and not (isinstance(value, str) and " " in value)
    }
    return identity(event, names)
