"""Where fence agents are on this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from fencing.linux.aside import aside
from fencing.linux.trusted import untrusted

T = TypeVar("T")

# At most so many looks at files may be under way.
_LOOKS = 32

_ALWAYS = ("/usr/sbin", "/sbin")
_NAME = re.compile(r"fence_[A-Za-z0-9_.+-]+")
# Named like agents, but none: running one to read its metadata would start or do something.
NOT_AGENTS = {
    "fence_virtd": "a daemon for the hosts of virtual machines",
    "fence_kdump_send": "the other side of fence_kdump",
    "fence_node": "a command of the old cluster manager's",
    "fence_tool": "a command of the old cluster manager's",
    "fence_ack_manual": "it asks a person, and switches nothing",
}


def search_path() -> list[str]:
    """The directories that are looked into, in this order: the system's, then those of PATH."""
    given = [word for word in os.environ.get("PATH", "").split(os.pathsep) if word.startswith("/")]
    return list(dict.fromkeys([*_ALWAYS, *given]))


async def look(call: Callable[..., T], *args: object, timeout_s: float) -> T:
    """Look at files of agents or of their secrets, on a thread. Raises NoAnswerError."""
    return await aside("fence agents", call, *args, timeout_s=timeout_s, most=_LOOKS)


def find_agent(name: str) -> str | None:
    """The file of an agent, by its name (`fence_ipmilan`) or its absolute path; None when there is none. Of several of
    one name the first that may be run (`not_to_be_run`), else the first."""
    if name.startswith("/"):
        return name if _executable(Path(name)) else None
    if not _NAME.fullmatch(name):
        return None
    paths = (Path(directory, name) for directory in search_path())
    programs = [str(path) for path in paths if _executable(path)]
    return next((path for path in programs if not not_to_be_run(path)), programs[0] if programs else None)


def not_to_be_run(path: str) -> str:
    """Why this agent must not be run, least of all by root: others may change it. With the command that fixes it; ""
    when it may be run."""
    problem = untrusted(path)
    return f"others may change what it does: {problem}" if problem else ""


def find_all() -> dict[str, str]:
    """All files that are named like fence agents, by name; of two with the same name the first."""
    paths = [path for directory in search_path() for path in _agents_in(Path(directory))]
    first = {path.name: str(path) for path in reversed(paths)}
    return dict(sorted(first.items()))


def _agents_in(directory: Path) -> Iterator[Path]:
    try:
        inside = list(directory.iterdir())
    except OSError:
        return
    yield from (path for path in inside if _NAME.fullmatch(path.name) and _executable(path))


def _executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
