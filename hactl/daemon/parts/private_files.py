"""The daemon's directories: made, and taken away from everybody but root where an earlier version left them open."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import structlog

from fencing.linux.trusted import foreign
from hactl.config.errors import ConfigErrors, Problem
from hactl.config.node import NodeConfig

log = structlog.get_logger()

# The command line reaches the socket in it as a member of `socket_group`, and cannot look around.
_RUN_MODE = 0o711
_OTHERS = 0o077


def make_private(config: NodeConfig) -> None:
    """Make `state_dir` and `run_dir`, and take all rights of others from the state, the resources' files and HAProxy's,
    saying so. Their content is believed and run, so another user's are refused. Raises OSError, ConfigErrors."""
    run_dir, state_dir = Path(config.run_dir), Path(config.state_dir)
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if run_dir.is_dir():
        _tighten(run_dir, _OTHERS & ~_RUN_MODE)
    make_run_dir(run_dir)
    settings = {"state_dir": config.state_dir, "run_dir": config.run_dir}
    problems = [(name, problem) for name, path in settings.items() if (problem := foreign(path))]
    if problems:
        raise ConfigErrors([Problem("node.toml", name, problem, "") for name, problem in problems])
    haproxy_dir = Path(config.haproxy_dir)
    ours = [haproxy_dir] if haproxy_dir.is_relative_to(run_dir) else []  # elsewhere others' files may be beside
    for top in (state_dir, run_dir / "resources", *ours):
        for path in _below(top):
            _tighten(path, _OTHERS)


def make_run_dir(path: Path) -> None:
    """Make it where there is none. Raises OSError."""
    if not path.is_dir():
        path.mkdir(parents=True)
        path.chmod(_RUN_MODE)


def _below(top: Path) -> Iterator[Path]:
    """Directories and files, no sockets: those have owners and modes of their own."""
    for directory, _, files in os.walk(top):
        yield Path(directory)
        yield from (Path(directory, name) for name in files)


def _tighten(path: Path, taken: int) -> None:
    """Only our own files, and never the target of a link."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return  # a link, a socket, or gone
    try:
        status = os.fstat(descriptor)
        known, mode = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode), stat.S_IMODE(status.st_mode)
        if mode & taken and known and status.st_uid == os.geteuid():
            os.fchmod(descriptor, mode & ~taken)
            log.warning("mode_tightened", path=str(path), had=f"{mode:04o}", has=f"{mode & ~taken:04o}")
    except OSError as error:  # a file system that is read-only, say: the resources here matter more
        log.error("mode_not_tightened", path=str(path), problem=str(error))
    finally:
        os.close(descriptor)
