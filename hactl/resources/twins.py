"""Processes that run the command of an `exec` resource though hactl did not start them: by hand, by cron, by an enabled
unit. They are reported and left alone: a process that only looks alike may be somebody's work.

Only those of this machine's own process and network namespace count: a container has its own addresses and files.
A process that hactl starts has HACTL_NODE in its environment. Source: proc(5).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

# Before the command: an interpreter, and a word for it, as of `#!/usr/bin/env -S python3 -u`.
_INTERPRETER_WORDS = 2
_NAMESPACES = ("pid", "net")
_LONGEST = 65536

Key = TypeVar("Key")


def twins(wanted: Mapping[Key, tuple[Sequence[str], str | None]], proc: Path = Path("/proc")) -> dict[Key, list[int]]:
    """The processes that run each command, in its directory where it has one. May block: /proc waits for a process that
    hangs in the kernel."""
    pids: dict[Key, list[int]] = {}
    here = _namespaces(proc / "self")
    for process in _processes(proc):
        words = _words(process / "cmdline")
        keys = [
            key for key, (argv, cwd) in wanted.items() if runs(words, argv) and cwd in (None, _link(process / "cwd"))
        ]
        if keys and _namespaces(process) == here and not _is_ours(process):
            for key in keys:
                pids.setdefault(key, []).append(int(process.name))
    return pids


def runs(words: Sequence[str], argv: Sequence[str]) -> bool:
    """Whether a process whose command line is `words` runs the command `argv`, perhaps by an interpreter."""
    return any(
        len(words) - before == len(argv)
        and os.path.basename(words[before]) == os.path.basename(argv[0])  # noqa: PTH119 - they may be no paths
        and list(words[before + 1 :]) == list(argv[1:])
        for before in range(min(_INTERPRETER_WORDS + 1, len(words)))
    )


def _processes(proc: Path) -> Iterator[Path]:
    own = str(os.getpid())
    return (entry for entry in proc.iterdir() if entry.name.isdigit() and entry.name != own)


def _words(path: Path) -> list[str]:
    text = _read(path)
    return os.fsdecode(text).removesuffix("\0").split("\0") if text else []


def _is_ours(process: Path) -> bool:
    return any(word.startswith(b"HACTL_NODE=") for word in _read(process / "environ").split(b"\0"))


def _namespaces(process: Path) -> list[str]:
    return [_link(process / "ns" / name) for name in _NAMESPACES]


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST)
    except OSError:
        return b""  # it has ended


def named(pids: Iterable[int]) -> str:
    """For people."""
    numbers = sorted(pids)
    more = f" and {len(numbers) - 3} more" if len(numbers) > 3 else ""
    return f"{'process' if len(numbers) == 1 else 'processes'} {', '.join(map(str, numbers[:3]))}{more}"
