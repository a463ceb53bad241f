"""Reads HAProxy's configuration: its sections, and the addresses that they bind. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hactl.haproxy.words import SECTIONS, SPACES, line_words, text_lines

_WITH_BINDS = ("listen", "frontend", "log-forward")


@dataclass(frozen=True, slots=True)
class Section:
    """One section: its first line's words, and its lines. `arguments`: the words after the name (`from DEFAULTS`)."""

    kind: str
    name: str
    lines: tuple[str, ...]
    arguments: tuple[str, ...] = ()


def sections(text: str) -> list[Section]:
    """The file cut into sections. Comments and empty lines are left out."""
    entries: list[tuple[str, str, list[str], tuple[str, ...]]] = []
    for line in text_lines(text):
        stripped = line.strip(SPACES)
        if not stripped or stripped.startswith("#"):
            continue
        words = line_words(stripped)
        if words[0] in SECTIONS:
            entries.append((words[0], words[1] if len(words) > 1 else "", [], tuple(words[2:])))
        elif entries:
            entries[-1][2].append(stripped)
    return [Section(kind, name, tuple(lines), arguments) for kind, name, lines, arguments in entries]


def read_binds(text: str) -> dict[str, list[str]]:
    """The addresses, as they are written, to which every `listen`, `frontend` and `log-forward` section is bound. With
    their kind before them where that is not said by themselves: `udp@`, `v6only@`, and `namespace@` for those of
    another network namespace."""
    binds: dict[str, list[str]] = {}
    for section in sections(text):
        if section.kind in _WITH_BINDS:
            # A `log-forward` may have the name of a proxy.
            binds.setdefault(section.name, []).extend(bind for line in section.lines for bind in _bound(line))
    return binds


def bound_addresses(text: str) -> list[str]:
    """All of them, whatever section they are of."""
    return [bind for binds in read_binds(text).values() for bind in binds]


def _bound(line: str) -> Iterator[str]:
    words = line_words(line)
    if words[0] not in ("bind", "dgram-bind") or len(words) < 2:
        return
    kind = "udp@" if words[0] == "dgram-bind" else "v6only@" if "v6only" in words[2:] else ""
    kind = "namespace@" if "namespace" in words[2:] else kind
    for address in words[1].split(","):
        yield address if "@" in address else f"{kind}{address}"
