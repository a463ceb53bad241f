"""Where the keys of a TOML text are; tomllib reads values, but not their places. For files like node.toml: keys at
the beginning of lines."""

from __future__ import annotations

import re

from hactl.config.errors import KeyPath, Place

_KEY = re.compile(r"""\s*(["']?)([A-Za-z0-9_-]+)\1\s*=""")
_TABLE = re.compile(r"\s*\[([A-Za-z0-9_.-]+)\]\s*(?:#.*)?$")
_ERROR = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def key_places(text: str) -> dict[KeyPath, Place]:
    """The place of every key and table; of one that comes twice, the first."""
    places: dict[KeyPath, Place] = {}
    table: KeyPath = ()
    for number, line in enumerate(text.splitlines(), 1):
        if match := _TABLE.match(line):
            table = tuple(match[1].split("."))
            places.setdefault(table[:1], Place(number, match.start(1) + 1))
        elif match := _KEY.match(line):
            places.setdefault((*table, match[2]), Place(number, match.start(2) + 1))
    return places


def error_place(message: str, text: str) -> tuple[str, Place]:
    """tomllib's message without its place, and the place."""
    match = _ERROR.search(message)
    if match is None or match[1] is None:
        return _ERROR.sub("", message), Place(max(1, len(text.splitlines())), 1)
    return message[: match.start()], Place(int(match[1]), int(match[2]))
