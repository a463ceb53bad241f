"""Every reference leads to something: links and anchors of the documents, paths in them, citations in code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("election", "fencing", "hactl", "templates", "tests", "tools", "bench", "deploy", "docs")
CODE = {".py", ".yaml", ".toml", ".service", ".conf", ".sh", ".j2"}
BLOCK = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")
# `x.md` or a link to it, then the headings that are cited: x.md, *One* and *Two*.
CITATION = re.compile(r"([\w./-]*\w\.md)(?:\))?((?:(?:,| and|:)* \*[^*\n]+\*)*)")
CITED = re.compile(r"\*([^*]+)\*")
QUOTED = re.compile(r"`([\w.*/-]+)`")


@cache
def files() -> dict[str, Path]:
    """The files of the repository, by their paths from its top."""
    below = (path for room in ROOMS for path in (ROOT / room).rglob("*") if "__pycache__" not in path.parts)
    paths = [*ROOT.glob("*.*"), ROOT / "Makefile", ROOT / "LICENSE", *below]
    return {str(path.relative_to(ROOT)): path for path in paths if path.is_file()}


def pages() -> list[str]:
    return sorted(name for name in files() if name.endswith(".md"))


def sources() -> list[str]:
    return sorted(name for name, path in files().items() if path.suffix in CODE or name == "Makefile")


@cache
def text(name: str) -> str:
    return files()[name].read_text(encoding="utf-8")


def in_one_line(words: str) -> str:
    """Without line breaks, indentation and the `#` of comments: a citation may be broken anywhere."""
    return re.sub(r"\s*\n\s*(?:# ?)?", " ", words)


@cache
def headings(name: str) -> frozenset[str]:
    return frozenset(HEADING.findall(BLOCK.sub("", text(name))))


@cache
def anchors(name: str) -> frozenset[str]:
    """Of each heading what GitHub makes of it, with a number where one comes again."""
    made: list[str] = []
    for heading in HEADING.findall(BLOCK.sub("", text(name))):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        made.append(slug if slug not in made else f"{slug}-{sum(earlier == slug for earlier in made)}")
    return frozenset(made)


def dead_links(name: str) -> Iterator[str]:
    page = files()[name]
    for target, anchor in LINK.findall(BLOCK.sub("", text(name))):
        if "://" in target or target.startswith("mailto:"):
            continue
        path = (page.parent / target).resolve() if target else page
        if not path.exists():
            yield target
        elif anchor and anchor not in anchors(str(path.relative_to(ROOT))):
            yield f"{target}#{anchor}"


def document(cited: str, beside: Path) -> str | None:
    """The document that is cited, from the top of the repository, from docs/, or from beside the one that cites."""
    for path in (ROOT / cited, ROOT / "docs" / cited, beside / cited):
        if path.is_file():
            return str(path.resolve().relative_to(ROOT))
    return None


def dead_citations(name: str) -> Iterator[str]:
    for cited, named in CITATION.findall(in_one_line(text(name))):
        page = document(cited, files()[name].parent)
        if page is None:
            yield cited
        else:
            yield from (f"{cited}, *{title}*" for title in CITED.findall(named) if title not in headings(page))


def is_there(quoted: str) -> bool:
    if "*" in quoted:
        return any(ROOT.glob(quoted))
    return (ROOT / quoted).exists() or any(name.endswith("/" + quoted) for name in files())


def dead_paths(name: str) -> Iterator[str]:
    for quoted in QUOTED.findall(text(name)):
        if (quoted.startswith(tuple(f"{room}/" for room in ROOMS)) or quoted.endswith(".py")) and not is_there(quoted):
            yield quoted


@pytest.mark.parametrize("name", pages())
def test_links_lead_somewhere(name: str) -> None:
    assert list(dead_links(name)) == []


@pytest.mark.parametrize("name", pages())
def test_paths_exist(name: str) -> None:
    assert list(dead_paths(name)) == []


@pytest.mark.parametrize("name", pages())
def test_citations_in_pages(name: str) -> None:
    assert list(dead_citations(name)) == []


def test_citations_in_code() -> None:
    dead = {name: list(dead_citations(name)) for name in sources() if name != "tests/unit/test_citations.py"}
    assert {name: citations for name, citations in dead.items() if citations} == {}
