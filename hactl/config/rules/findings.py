"""The result of a check between several parts of cluster.yaml."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import NamedTuple

from hactl.config.errors import KeyPath, show_path


class Finding(NamedTuple):
    """A problem at `path`. Not `refused`: it is allowed, but doubtful."""

    path: KeyPath
    problem: str
    hint: str
    refused: bool = True


def twice(named: Iterable[tuple[KeyPath, Hashable, str]], hint: str) -> Iterator[Finding]:
    """Those that come again. `named`: path, the key that must be unique, and its name for people."""
    first: dict[Hashable, KeyPath] = {}
    for path, key, called in named:
        if key in first:
            yield Finding(path, f"{called} is there already: {show_path(first[key])}", hint)
        first.setdefault(key, path)
