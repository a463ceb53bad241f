"""The OCF resource agents of this machine and their metadata. The problem of a broken one is a value, not an exception.

They are in `resource.d/PROVIDER/NAME` below /usr/lib/ocf, or where OCF_ROOT says.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from fencing.agents.description import MetadataError
from fencing.agents.values import nearest
from fencing.linux.trusted import untrusted
from hactl.linux.aside import aside
from hactl.linux.errors import OperationError
from hactl.linux.run import run, service_environment
from hactl.resources.ocf import environment, exit_codes
from hactl.resources.ocf.metadata import OcfMetadata, parse

# An agent takes 30 ms to write its metadata, on a busy machine ten times that.
ASK_TIMEOUT_S = 15.0
_MAX_OUTPUT = 1_000_000
# Debian's package of each provider.
_PACKAGES = {"heartbeat": "resource-agents", "pacemaker": "pacemaker-resource-agents"}


@dataclass(frozen=True, slots=True)
class InstalledAgent:
    """An agent on this machine, `provider:name`: its metadata, or why that is not known (`broken`). `path` is "" where
    there is none."""

    name: str
    path: str
    metadata: OcfMetadata | None
    broken: str = ""


_Stamp = tuple[str, int, int, int]
# Of each agent, as long as its file is the same. Failures are not kept: a missing program may be there next time.
_known: dict[_Stamp, InstalledAgent] = {}


def root() -> str:
    """The directory of the agents and of their libraries."""
    return os.environ.get("OCF_ROOT") or environment.ROOT


def agent_names(provider: str = "") -> list[str]:
    """All agents that are installed, or those of one provider."""
    names = []
    for folder in sorted(_entries(Path(root(), "resource.d"))):
        if folder.is_dir() and provider in ("", folder.name):
            agents = (path for path in _entries(folder) if path.is_file() and os.access(path, os.X_OK))
            names += [f"{folder.name}:{path.name}" for path in sorted(agents)]
    return names


def problem_of(name: str) -> str:
    """Why the agent `provider:name` must not, or cannot, be run, with a hint; "": it can."""
    path = Path(environment.agent_path(name, root()))
    if not path.is_file():
        return f"there is no agent {name} on this node; {_hint(name)}"
    if not os.access(path, os.X_OK):
        return f"{path} cannot be executed: `chmod 755 {path}`"
    problem = untrusted(str(path))
    return f"others may change what {path} does: {problem}" if problem else ""


async def describe(name: str, *, timeout_s: float = ASK_TIMEOUT_S) -> InstalledAgent:
    """The metadata of one agent. Never raises for an agent's mistakes."""
    try:
        async with asyncio.timeout(timeout_s):
            path, problem, stamp = await aside("OCF agents", _look_for, name)
        if problem:
            return InstalledAgent(name, path, None, problem)
        if stamp in _known:
            return _known[stamp]
        env = service_environment(environment.of_metadata(name, root()))
        done = await run(
            [path, "meta-data"], timeout_s=timeout_s, env=env, cwd="/", max_output=_MAX_OUTPUT, leaves=False
        )
    except TimeoutError:
        return InstalledAgent(name, "", None, "the file system that it is looked for on does not answer")
    except OperationError as error:
        return InstalledAgent(name, "", None, str(error))
    if done.returncode != exit_codes.SUCCESS:
        return InstalledAgent(name, path, None, f"meta-data {done.describe()}")
    try:
        agent = InstalledAgent(name, path, parse(done.stdout))
    except MetadataError as error:
        return InstalledAgent(name, path, None, f"meta-data: {error}")
    _known[stamp] = agent
    return agent


async def installed_agents(provider: str = "", *, at_once: int | None = None) -> list[InstalledAgent]:
    """All agents of this machine, or those of one provider, `at_once` (default: the number of processors) asked at a
    time."""
    turns = asyncio.Semaphore(at_once or os.cpu_count() or 1)

    async def ask(name: str) -> InstalledAgent:
        async with turns:
            return await describe(name)

    return list(await asyncio.gather(*map(ask, agent_names(provider))))


def _look_for(name: str) -> tuple[str, str, _Stamp]:
    """Its file, why it cannot be run, and the stamp by which it is known again."""
    problem, path = problem_of(name), environment.agent_path(name, root())
    try:
        status = Path(path).stat()
    except OSError:
        return "", problem, (path, 0, 0, 0)
    return path, problem, (path, status.st_mtime_ns, status.st_size, status.st_ino)


def _hint(name: str) -> str:
    """What was probably meant, else what has to be installed."""
    if close := _closest(name):
        return f"did you mean `{close}`?"
    package = _PACKAGES.get(name.partition(":")[0])
    install = f"`apt install {package}`, or " if package and not agent_names(name.partition(":")[0]) else ""
    return f"{install}see `hactl resource agents`"


def _closest(name: str) -> str:
    short = {known: known.partition(":")[2] for known in agent_names()}
    wanted = name.rpartition(":")[2]
    # The same name of another provider, or in other capitals, is nearer than any that is only written alike.
    same = [known for known, called in short.items() if called.lower() == wanted.lower()]
    close = nearest(wanted, short.values())
    return next(iter(same), "") or next((known for known, called in short.items() if close and called == close), "")


def _entries(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError:
        return []
