"""The words of the documents and of the messages: terms of the field, for readers who are tired or not native."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("bench/*.md")])
CODE = sorted(path for room in ("election", "fencing", "hactl") for path in (ROOT / room).rglob("*.py"))
QUOTED = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)

# What is not said, each with what to say.
IN_MESSAGES = {
    r"†": "a reference, or nothing",
    r"\bat night\b": "troubleshooting",
    r"\btorments?\b": "inject faults",
    r"\bfor ever\b": "without end, no limit",
    r"\bhush(es|ed)?\b": "stop announcing",
    r"\bbites?\b": "resets the machine",
    r"\bmend(s|ed|ing)?\b": "fix, repair",
    r"\bwish(es|ed)?\b": "request",
}
IN_PAGES = {
    **IN_MESSAGES,
    r"\bbeginning for real\b|\bbegin for real\b": "installation",
    r"\bwhat comes before\b": "prerequisites",
    r"\bit looks like this\b": "example",
    r"\bthat which\b": "the thing's name",
    r"\b(is|are) to be\b": "must be, will be",
}


def private_words(text: str, words: dict[str, str]) -> list[str]:
    """Where a text says what it should not. What is quoted as code is left out: names of events, of settings."""
    plain = QUOTED.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    return [
        f"line {plain.count(chr(10), 0, match.start()) + 1}: {match[0]!r}; say: {instead}"
        for pattern, instead in words.items()
        for match in re.finditer(pattern, plain, re.IGNORECASE)
    ]


def messages(path: Path) -> Iterator[tuple[int, str]]:
    """The texts of a module that people may read: with a space in them, and no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    # A text alone on its line is a docstring, or a command line's help, which people read.
    commands = "cli" in path.parts
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and not commands}
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) and id(node) not in alone else None
        if isinstance(text, str) and " " in text:
            yield node.lineno, re.sub(r"\{\w+\}", "", text)  # a place for a value has a name, too


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages(page: Path) -> None:
    assert private_words(page.read_text(encoding="utf-8"), IN_PAGES) == []


def test_messages() -> None:
    said = [
        f"{path.relative_to(ROOT)}:{line}: {word.partition(': ')[2]}"
        for path in CODE
        for line, text in messages(path)
        for word in private_words(text, IN_MESSAGES)
    ]
    assert said == []


def test_no_reference_without_a_target_anywhere() -> None:
    others = [path for room in ("tests", "tools", "deploy", "templates") for path in (ROOT / room).rglob("*.*")]
    texts = [path for path in [*PAGES, *CODE, *others] if path.suffix in (".py", ".md", ".yaml", ".toml", ".j2")]
    assert [str(path) for path in texts if path != Path(__file__) and "†" in path.read_text(encoding="utf-8")] == []
