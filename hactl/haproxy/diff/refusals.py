"""HAProxy's own words about a file, each with the line that it speaks of. Pure.

Source: what `haproxy -c` prints, e.g. `[ALERT] (17) : config : parsing [haproxy.cfg:34] : unknown keyword 'foo' in …`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hactl.haproxy.diff.parse import sections

_TOLD = re.compile(r"^\[(ALERT|WARNING)\]\s+\(\d+\)\s*: (?:config ?: ?)?(.*)$")
_LINE = re.compile(r"(?:parsing )?\[[^\]:]*:(\d+)\]\s*:?\s*")
_QUOTED = re.compile(r"(?i:proxy|listen|frontend|backend|server|in) '([^'/]+)(?:/[^']*)?'")
_TELLS_NOTHING = ("Error(s) found", "Fatal errors found", "exit-on-failure", "Failed to initialize server")
# Problems that another machine may not have, or this one later.
_OF_THE_MOMENT = ("could not resolve address",)
_OF_THE_MACHINE = (
    "no such file", "unable to stat", "unable to load", "unable to open", "cannot find user id", "cannot find group id",
    "can't open", "permission denied",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing that HAProxy refuses. `line`: of the file, as it is written there, "" where HAProxy names none;
    `section`: the name of the section that it is in, or that HAProxy names. `of_the_moment`: it may be otherwise
    later; `of_the_machine`: it may be otherwise elsewhere."""

    words: str
    line: str = ""
    section: str = ""
    of_the_moment: bool = False
    of_the_machine: bool = False


def refusals(text: str, output: str) -> list[Refusal]:
    """HAProxy's objections to `text`, from the output of `haproxy -c`; of its warnings those that put a server out of
    use."""
    return list(dict.fromkeys(_refusals(text, output)))


def _refusals(text: str, output: str) -> Iterator[Refusal]:
    lines = text.splitlines()
    names = {section.name for section in sections(text) if section.name}
    for printed in output.splitlines():
        said_of_line = _TOLD.match(printed)
        if said_of_line is None or any(phrase in printed for phrase in _TELLS_NOTHING):
            continue
        if said_of_line[1] == "WARNING" and not any(phrase in printed for phrase in _OF_THE_MOMENT):
            continue
        place = _LINE.search(said_of_line[2])
        words = _LINE.sub("", said_of_line[2], count=1).strip(" :")
        number = int(place[1]) if place else 0
        line = lines[number - 1].strip() if 0 < number <= len(lines) else ""
        named = next((match[1] for match in _QUOTED.finditer(words) if match[1] in names), "")
        lower = words.lower()
        yield Refusal(
            words,
            line,
            _section_at(lines, number) or named,
            any(phrase in lower for phrase in _OF_THE_MOMENT),
            any(phrase in lower for phrase in _OF_THE_MACHINE),
        )


def _section_at(lines: list[str], number: int) -> str:
    """The name of the section that the line is in: a line that is not indented begins one."""
    for line in reversed(lines[:number]):
        words = line.split()
        if words and not line[0].isspace() and not line.startswith("#"):
            return words[1] if len(words) > 1 else words[0]
    return ""
