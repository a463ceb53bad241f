"""Commands that wait until the cluster is as they want it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from election.store import StoreError
from hactl.cli.backend import Backend
from hactl.cli.client import BusyError
from hactl.cli.common import BAD_INPUT, CliError, say
from hactl.status.conditions import Condition, missing, parse, unknown_name

# How long an answer waits for news. Short: the deadline is looked at in between.
NEWS_S = 0.5

Look = Callable[[dict[str, Any]], list[str]]


def until(
    backend: Backend, look: Look, limit_s: float, show: Callable[[list[str]], None], *, revision: int = 0
) -> list[str]:
    """Look at the status document until nothing is missing, for `limit_s` seconds at most; what is missing then.

    `look`: what is missing, in words. `show`: called with it each time. `revision`: what was known before it is not
    looked at. While nobody answers, that is what is missing."""
    mark, deadline = "", time.monotonic() + limit_s
    while True:
        left = deadline - time.monotonic()
        try:
            document = backend.status(mark, max(0.0, min(NEWS_S, left)))
        except (StoreError, BusyError) as error:
            words = [str(error)]
            time.sleep(max(0.0, min(NEWS_S, left)))
        else:
            mark = document["mark"]
            old = document["stale_ms"] is None and document["revision"] < revision
            words = ["this node's daemon does not know of the request yet"] if old else look(document)
        show(words)
        if not words or left <= 0:
            return words


def look_for(conditions: Sequence[Condition]) -> Look:
    """All of them. Raises CliError where one names what is not there."""

    def look(document: dict[str, Any]) -> list[str]:
        for condition in conditions:
            if problem := unknown_name(condition, document):
                raise CliError(problem, BAD_INPUT)
        return [words for condition in conditions if (words := missing(condition, document))]

    return look


def parsed(texts: Sequence[str]) -> list[Condition]:
    """The conditions as they were typed. Raises CliError."""
    try:
        return [parse(text) for text in texts]
    except ValueError as error:
        raise CliError(str(error), BAD_INPUT) from None


class Lines:
    """Shows what is missing, each time that it is something else, with the milliseconds since the beginning."""

    def __init__(self) -> None:
        self._began, self._shown = time.monotonic(), ""

    def __call__(self, words: list[str]) -> None:
        """Show it."""
        text = "; ".join(words)
        if text != self._shown:
            self._shown = text
            if text:
                self.say(text)

    def say(self, text: str) -> None:
        """A line of its own."""
        say(f"{(time.monotonic() - self._began) * 1000:8.0f} ms  {text}")
