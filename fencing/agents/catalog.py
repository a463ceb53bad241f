"""The fence agents of this machine and their metadata. The problem of a broken one is a value, not an exception."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from fencing.agents.agent import AgentCall, run_agent
from fencing.agents.description import MetadataError
from fencing.agents.installed import NOT_AGENTS, find_agent, find_all, look, not_to_be_run
from fencing.agents.metadata import Metadata, parse
from fencing.agents.verdict import last_words
from fencing.linux.aside import NoAnswerError

# An agent takes 50 ms to write its metadata, on a busy machine ten times that.
ASK_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Installed:
    """An agent on this machine: its metadata, or why that is not known (`broken`)."""

    name: str
    path: str
    metadata: Metadata | None
    broken: str = ""


_Stamp = tuple[str, int, int, int]
# Of each agent, as long as its file is the same. Failures are not kept: a missing module may be there next time.
_known: dict[_Stamp, Installed] = {}


async def describe(name: str, *, timeout_s: float = ASK_TIMEOUT_S) -> Installed:
    """The metadata of one agent; `name` may be an absolute path. Never raises for an agent's mistakes."""
    short = Path(name).name
    try:
        path, refused, stamp = await look(_look_for, name, timeout_s=timeout_s)
    except NoAnswerError:
        return Installed(short, "", None, "the file system that it is looked for on does not answer")
    if path is None:
        return Installed(short, "", None, "not installed")
    if short in NOT_AGENTS:
        return Installed(short, path, None, f"not an agent: {NOT_AGENTS[short]}")
    if refused:
        return Installed(short, path, None, refused)
    if stamp in _known:
        return _known[stamp]
    result = await run_agent(AgentCall(path, "metadata", timeout_s))
    if result.outcome != "ok":
        return Installed(short, path, None, result.detail)
    try:
        installed = Installed(short, path, parse(result.output))
    except MetadataError as error:
        words = last_words(result.output, "")
        return Installed(short, path, None, f"{error}; its last line: {words}" if words else str(error))
    _known[stamp] = installed
    return installed


async def installed_agents(*, timeout_s: float = ASK_TIMEOUT_S, at_once: int | None = None) -> list[Installed]:
    """All agents of this machine, by name, `at_once` (default: the number of processors) asked at a time."""
    turns = asyncio.Semaphore(at_once or os.cpu_count() or 1)

    async def ask(path: str) -> Installed:
        async with turns:
            return await describe(path, timeout_s=timeout_s)

    return list(await asyncio.gather(*(ask(path) for path in find_all().values())))


def _look_for(name: str) -> tuple[str | None, str, _Stamp]:
    """Its file, why it must not be run, and the stamp by which it is known again."""
    path = find_agent(name)
    return path, not_to_be_run(path) if path else "", _stamp(path or "")


def _stamp(path: str) -> _Stamp:
    try:
        status = Path(path).stat()
    except OSError:
        return (path, 0, 0, 0)
    return (path, status.st_mtime_ns, status.st_size, status.st_ino)
