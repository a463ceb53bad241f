"""The problems of a configuration: all of them at once, each with its place and a hint."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from election.text import printable

# Of a line in a user's file at most so many characters are shown.
_LONGEST_LINE = 1000

# A setting's place in a document: `("groups", 0, "resources", 1, "name")`.
KeyPath = tuple[str | int, ...]


class Place(NamedTuple):
    """Line and column in a file, both from 1."""

    line: int
    column: int


class Problem(NamedTuple):
    """One problem. `path`: the setting, as `show_path` writes it ("" for the whole file); `hint`: how to fix it;
    `place`: None where there is no line."""

    file: str
    path: str
    problem: str
    hint: str
    place: Place | None = None

    def __str__(self) -> str:
        where = f"{self.file}:{self.place.line}:{self.place.column}" if self.place else self.file
        named = f"{self.path}: " if self.path else ""
        hint = f"; {self.hint}" if self.hint else ""
        return "\n".join(printable(line, _LONGEST_LINE) for line in f"{where}: {named}{self.problem}{hint}".split("\n"))


class ConfigErrors(Exception):  # noqa: N818 - it holds several
    """A configuration is refused. `problems` holds all that is wrong with it, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(set(problems), key=_order))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UnusableFileError(ConfigErrors):
    """A file that the settings name cannot be used now: it is not there yet, half written, or others may read it. It
    may become another one without a change of the settings."""


def _order(problem: Problem) -> tuple[str, Place, str, str]:
    return (problem.file, problem.place or Place(0, 0), problem.path, problem.problem)


def show_path(path: KeyPath) -> str:
    """A path as an operator reads it: `groups[0].resources[1].name`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def closest(wrong: str, allowed: Sequence[str]) -> str:
    """The one of `allowed` that was probably meant by `wrong`; "" when none is near."""
    by_case = {word.lower(): word for word in allowed}
    matches = difflib.get_close_matches(wrong.lower().replace("-", "_"), list(by_case), n=1, cutoff=0.6)
    return by_case[matches[0]] if matches else ""


def suggest(wrong: str, allowed: Sequence[str]) -> str:
    """The word that was probably meant by `wrong`, else all that are allowed."""
    if meant := closest(wrong, allowed):
        return f"did you mean `{meant}`?"
    return f"allowed: {', '.join(allowed)}" if allowed else ""
