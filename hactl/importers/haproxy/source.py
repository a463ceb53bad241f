"""HAProxy's files cut into their sections, every line with its number.

Of several files the lines are counted through, as though they were one; `Source.place` tells them apart again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from hactl.config.errors import ConfigErrors, Place, Problem
from hactl.haproxy.split_words import Word, WordError, split_line
from hactl.haproxy.words import text_lines

PROXIES = ("listen", "frontend", "backend")
_PREFIXES = ("no", "default")
_OPENS, _CLOSES = ".if", ".endif"


@dataclass(frozen=True, slots=True)
class Line:
    """A directive. `prefix`: `no`, `default` or "". `words`: the keyword, if there is no prefix, and all that follows.
    `literal`: it is inside a condition (`.if`), or is one: only word for word does it mean the same."""

    number: int
    words: tuple[Word, ...]
    prefix: str = ""
    literal: bool = False

    @property
    def keyword(self) -> str:
        """`timeout`, `server`, `option`."""
        return self.words[0].value

    @property
    def args(self) -> tuple[Word, ...]:
        """The words after the keyword."""
        return self.words[1:]

    @property
    def values(self) -> tuple[str, ...]:
        """The words after the keyword, quotes taken off."""
        return tuple(word.value for word in self.words[1:])

    @property
    def plain(self) -> bool:
        """No quotes, no backslashes, no variables, no prefix, no condition."""
        return not self.prefix and not self.literal and all(word.plain for word in self.words)

    @property
    def text(self) -> str:
        """The line as it was written, but for spaces and the comment."""
        raw = " ".join(word.raw for word in self.words)
        return f"{self.prefix} {raw}" if self.prefix else raw

    def rest(self, skip: int = 1) -> str:
        """The line as it was written without its first words."""
        return " ".join(word.raw for word in self.words[skip:])


@dataclass(slots=True)
class Section:
    """A section. `kind` `.if`: whole sections inside a condition, `lines` are all of theirs. `parent`: the set of
    defaults that it names (`from`). `arguments`: the other words on its first line."""

    kind: str
    name: str
    header: Line
    parent: str = ""
    arguments: tuple[Word, ...] = ()
    lines: list[Line] = field(default_factory=list)

    @property
    def title(self) -> str:
        """As messages call it."""
        return f"{self.kind} {self.name}".strip()


@dataclass(slots=True)
class Source:
    """One file or several. `loose`: lines before the first section. `begins`: how many lines there are before each
    file."""

    file: str
    sections: list[Section]
    loose: list[Line]
    begins: tuple[tuple[int, str], ...] = ()

    def place(self, number: int) -> tuple[str, int]:
        """The file that a line is in, and its number there."""
        before, file = [(before, file) for before, file in self.begins or ((0, self.file),) if before < number][-1]
        return file, number - before

    def problem(self, line: Line, problem: str, hint: str) -> Problem:
        """A problem of a line."""
        file, number = self.place(line.number)
        return Problem(file, "", problem, hint, Place(number, 1))

    def directives(self) -> Iterator[tuple[Section | None, Line]]:
        """Every line but the sections' first ones."""
        yield from ((None, line) for line in self.loose)
        yield from ((section, line) for section in self.sections for line in section.lines)


def read_sources(texts: Sequence[tuple[str, str]], kinds: Collection[str]) -> Source:
    """Cut files up, each with its name, in the order in which HAProxy is given them. `kinds`: the words that begin a
    section. Raises ConfigErrors with every line that cannot be read."""
    whole = Source(", ".join(file for file, _ in texts), [], [])
    problems: list[Problem] = []
    before = 0
    for file, text in texts:
        try:
            # A section, and a condition, ends with its file.
            part = read_source(text, file, kinds, before)
        except ConfigErrors as error:
            problems += error.problems
        else:
            whole.sections += part.sections
            whole.loose += part.loose
        whole.begins += ((before, file),)
        before += len(text_lines(text))
    if problems:
        raise ConfigErrors(problems)
    return whole


def read_source(text: str, file: str, kinds: Collection[str], before: int = 0) -> Source:
    """Cut a file up. `kinds`: the words that begin a section; `before`: how many lines are counted before it. Raises
    ConfigErrors with every line that cannot be read."""
    lines, problems = _lines(text, file, before)
    source = Source(file, [], [], ((before, file),))
    at = 0
    while at < len(lines):
        line = lines[at]
        if line.keyword == _OPENS:
            end = _end_of_condition(lines, at)
            if end is None:
                problems.append(source.problem(line, "`.if` has no `.endif`", "add it where the condition ends"))
                break
            at = _take_condition(source, lines[at : end + 1], kinds, problems) + at
        else:
            _take(source, line, kinds, problems)
            at += 1
    if problems:
        raise ConfigErrors(problems)
    return source


def _lines(text: str, file: str, before: int) -> tuple[list[Line], list[Problem]]:
    lines: list[Line] = []
    problems: list[Problem] = []
    for number, content in enumerate(text_lines(text), 1):
        place = Place(number, 1)
        try:
            words = tuple(split_line(content))
        except WordError as error:
            problems.append(Problem(file, "", str(error), "correct the line", place))
            continue
        if "\0" in content:
            problems.append(Problem(file, "", "has a NUL character", "leave it out", place))
        elif words and words[0].value.startswith("["):
            hint = "leave it, and what it is for, out"
            problems.append(Problem(file, "", f"`{words[0].raw}` limits what HAProxy reads (a scope)", hint, place))
        elif words:
            prefixed = words[0].value in _PREFIXES and len(words) > 1
            lines.append(Line(before + number, words[1:] if prefixed else words, words[0].value if prefixed else ""))
    return lines, problems


def _end_of_condition(lines: Sequence[Line], begin: int) -> int | None:
    depth = 0
    for at in range(begin, len(lines)):
        depth += {_OPENS: 1, _CLOSES: -1}.get(lines[at].keyword, 0)
        if depth == 0:
            return at
    return None


def _take(source: Source, line: Line, kinds: Collection[str], problems: list[Problem]) -> None:
    if line.keyword in (".elif", ".else", _CLOSES):
        problems.append(source.problem(line, f"`{line.keyword}` without `.if`", "take it out"))
    elif line.keyword in kinds and not line.prefix:
        source.sections.append(_section(line))
    elif source.sections and source.sections[-1].kind != _OPENS:
        source.sections[-1].lines.append(line)
    elif source.sections:
        problem = f"`{line.text}` belongs to the section that a condition above it (`.if`) ends in"
        problems.append(source.problem(line, problem, "put it before `.endif`, or begin a section"))
    else:
        source.loose.append(line)


def _section(header: Line) -> Section:
    words = list(header.args)
    parent = ""
    if len(words) > 1 and words[-2].value == "from":
        parent = words[-1].value
        del words[-2:]
    named = bool(words) and words[0].value != "from"
    name = words[0].value if named else ""
    return Section(header.keyword, name, header, parent, tuple(words[1:] if named else words))


def _take_condition(source: Source, lines: Sequence[Line], kinds: Collection[str], problems: list[Problem]) -> int:
    """A condition with all that is in it; how many lines that are."""
    literal = [replace(line, literal=True) for line in lines]
    begins = [line for line in lines if line.keyword in kinds and not line.prefix]
    if not begins:
        (source.sections[-1].lines if source.sections else source.loose).extend(literal)
        return len(lines)
    first = next(line for line in lines if not line.keyword.startswith("."))
    hint = "keep what holds here and take the condition out; `haproxy -cc 'CONDITION'` says whether it holds"
    if first is not begins[0]:
        problem = "a condition begins inside one section and ends inside another"
        problems.append(source.problem(lines[0], problem, hint))
    elif changes := [line for line in begins if line.keyword in ("defaults", "global")]:
        problem = f"`{changes[0].text}` is inside a condition (line {lines[0].number})"
        problems.append(source.problem(changes[0], problem, hint))
    else:
        source.sections.append(Section(_OPENS, lines[0].rest(), literal[0], lines=literal))
    return len(lines)
