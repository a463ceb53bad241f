"""The files with certificates that a configuration names, and their contents."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hactl.haproxy.diff.parse import Section, sections
from hactl.haproxy.words import line_words
from hactl.linux.regular_file import read_regular

_BY_KEYWORD: Mapping[str, Literal["crt", "list", "ca"]] = {
    "crt": "crt",
    "crt-list": "list",
    "ca-file": "ca",
    "ca-verify-file": "ca",
    "crl-file": "ca",
}
_BASES = {"crt": "crt-base", "list": "crt-base", "ca": "ca-base"}
_LINES = ("bind", "server", "default-server")
_MOST_LINKS = 40


@dataclass(frozen=True, slots=True)
class Named:
    """A name in a configuration. `kind`: a certificate, or a directory of them; a list of them; those of authorities.
    `path`: as HAProxy knows it."""

    kind: Literal["crt", "list", "ca"]
    path: str


def named_files(text: str) -> tuple[Named, ...]:
    """All that are named, in the file's order."""
    parsed = sections(text)
    bases = {name: _base(parsed, name) for name in ("crt-base", "ca-base")}
    named: dict[Named, None] = {}
    for section in parsed:
        for line in section.lines:
            words = [word.strip("\"'") for word in line_words(line)]
            if words[0] in _LINES:
                for keyword, word in itertools.pairwise(words):
                    kind = _BY_KEYWORD.get(keyword)
                    # `@system-ca` and its like are no files.
                    if kind is not None and not word.startswith("@"):
                        base = bases[_BASES[kind]]
                        named[Named(kind, f"{base}/{word}" if base and not word.startswith("/") else word)] = None
    return tuple(named)


def _base(parsed: list[Section], keyword: str) -> str:
    for section in parsed:
        for line in section.lines if section.kind == "global" else ():
            words = line_words(line)
            if words[0] == keyword and len(words) > 1:
                return words[1].strip("\"'")
    return ""


def members(named: Named) -> Iterator[str]:
    """The single files that HAProxy reads for it, by the names it has for them."""
    yield named.path
    if named.kind == "crt" and Path(named.path).is_dir():
        for name in sorted(path.name for path in Path(named.path).iterdir()):
            if not name.startswith("."):
                yield f"{named.path}/{name}"
    elif named.kind == "crt":
        yield f"{named.path}.key"
    elif named.kind == "list":
        for line in (read(named.path) or b"").decode(errors="replace").split("\n"):
            words = line_words(line)
            if words and not words[0].startswith("#"):
                yield words[0]


def digests(all_named: tuple[Named, ...]) -> dict[str, str]:
    """The digest of each file that is there."""
    by_path = {}
    for named in all_named:
        with contextlib.suppress(OSError):
            for path in members(named):
                content = read(path)
                if content is not None:
                    by_path[path] = hashlib.sha256(content).hexdigest()
    return by_path


def read(path: str) -> bytes | None:
    """The content of a file; None if it is none, or cannot be read. The program that renews certificates may write
    there, and need not be root."""
    try:
        return read_regular(path)
    except OSError:
        return None


def directories(path: str) -> Iterator[str]:
    """All directories in which a change can make `path` another file: its own, and for every link on the way the one
    that this stands in."""
    whole = Path(path).absolute()
    for _ in range(_MOST_LINKS):
        link = next((step for step in (*reversed(whole.parents), whole) if step.is_symlink()), None)
        if link is None:
            break
        yield str(link.parent)
        # Not `resolve`, which would leave out the links on the way.
        whole = link.parent / link.readlink() / whole.relative_to(link)
    yield str(whole if whole.is_dir() else whole.parent)
