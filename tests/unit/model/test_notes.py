"""The table of notes: every note in the code is in it, and everything in it is noted somewhere."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from hactl.haproxy.events import EventKind
from hactl.model.notes import KINDS, RELOADS, SECTIONS, kind_of
from hactl.model.purposes import GRANTS
from tools.docs import events as page

ROOT = Path(__file__).parents[3]
# Functions that take the name of a note, and which of their arguments it is.
NOTING = {"note": 0, "_note": 0, "note_once": 1, "leave": 1, "Outcome": 1}
# Names that are put together where they are noted.
MADE = {
    *(f"group_{purpose}" for purpose in GRANTS),
    *(f"haproxy_{kind}" for kind in get_args(EventKind)),
    *(f"probe_{state}" for state in ("failed", "completed")),
    *(f"server_{state}" for state in ("up", "down")),
}


def _texts(node: ast.AST) -> Iterator[str]:
    """The texts that an expression may be: a literal, or either side of a condition."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)


def _noted() -> Iterator[str]:
    for path in (*ROOT.glob("hactl/**/*.py"), *ROOT.glob("election/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and "importers" not in path.parts:
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                place = NOTING.get(name)
                if place is not None and len(node.args) > place:
                    yield from _texts(node.args[place])


def test_every_note_is_in_the_table() -> None:
    noted = {name for name in _noted() if name}
    assert len(noted) > 60
    assert noted | MADE <= set(KINDS), sorted((noted | MADE) - set(KINDS))


def test_everything_in_the_table_is_noted() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in ROOT.glob("hactl/**/*.py") if path.name != "notes.py")
    missing = [name for name in KINDS if name not in MADE and f'"{name}"' not in text]
    assert missing == []


def test_names_are_there_once_and_each_has_a_meaning() -> None:
    names = [kind.name for kinds in SECTIONS.values() for kind in kinds]
    assert len(names) == len(set(names))
    assert all(kind.meaning and not kind.meaning.endswith(".") for kind in KINDS.values())
    assert sorted(RELOADS.values()) == ["failed", "invalid", "ok"]


@pytest.mark.parametrize(
    ("event", "data", "severity"),
    [
        ("fence_acted", {"ok": True}, "info"),
        ("fence_acted", {"ok": False}, "warning"),
        ("fence_failed", {}, "error"),
        ("deposed", {}, "warning"),
        ("from_a_later_version", {"ok": False}, "info"),
    ],
)
def test_severities(event: str, data: dict[str, bool], severity: str) -> None:
    assert kind_of(event).severity_of(data) == severity


def test_the_page_is_the_table() -> None:
    assert (ROOT / page.PAGE).read_text(encoding="utf-8") == page.page(), "run `python -m tools.docs.events`"
