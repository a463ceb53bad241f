"""Options of a device, with its secrets fetched on the node that acts.

The configuration lies in etcd, so it holds no secret: an option may name a file on the node (a SecretFile), and
`password_script` a command whose output is the secret. Both are read anew for each action. The scripts are run here,
not by the agent, so that their output is known, and can be taken out of the agent's.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from fencing.agents.installed import look
from fencing.agents.options import OptionValue, script_for
from fencing.agents.process import StartError, run_bounded, seconds_since
from fencing.agents.redact import is_secret
from fencing.linux.aside import NoAnswerError
from fencing.linux.clock import now
from fencing.topology import SecretFile

_MAX_BYTES = 4096


class SecretError(Exception):
    """A secret cannot be had. The message says why and what to do, without the secret."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """The options for an agent as texts, and the values that must not be shown."""

    options: dict[str, str] = field(repr=False)
    secrets: frozenset[str] = field(repr=False)


async def resolve_secrets(
    options: Mapping[str, OptionValue],
    *,
    timeout_s: float,
    secret_names: Collection[str] = (),
    cgroup: str | None = None,
) -> Resolved:
    """Fetch the values that are not in the options themselves; all of it may take `timeout_s` seconds. `secret_names`
    are options that are secret beside those that look so. Raises SecretError."""
    start = now()
    texts: dict[str, str] = {}
    hidden: set[str] = set()
    for name, value in options.items():
        asked_for = script_for(name)
        if isinstance(value, SecretFile):
            texts[name] = await _from_file(value.path, timeout_s - seconds_since(start))
            hidden.add(texts[name])
        elif asked_for:
            if asked_for in options:
                raise SecretError(f"both {asked_for} and {name} are given: leave one out")
            texts[asked_for] = await _from_script(name, value, timeout_s - seconds_since(start), cgroup)
            hidden.add(texts[asked_for])
        else:
            texts[name] = value
            if name in secret_names or is_secret(name):
                hidden.add(value)
    return Resolved(texts, frozenset(hidden))


async def _from_file(path: str, timeout_s: float) -> str:
    try:
        return await look(read_secret, path, timeout_s=timeout_s)
    except NoAnswerError:
        raise SecretError(f"secret file {path}: its file system does not answer") from None


def read_secret(path: str) -> str:
    """The one line in a file that is root's or this user's, and that not everybody can read. Raises SecretError."""
    descriptor = _open(path)
    try:
        return _one_line(os.read(descriptor, _MAX_BYTES + 1), f"secret file {path}")
    finally:
        os.close(descriptor)


def check_private(path: str) -> None:
    """That a secret which another library reads is root's or this user's, and that not everybody can read it. Raises
    SecretError."""
    os.close(_open(path))


def _open(path: str) -> int:
    if not path.startswith("/"):
        raise SecretError(f"secret file {path}: give its absolute path")
    try:
        # O_NONBLOCK: a pipe of this name must not hang us.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise SecretError(f"secret file {path}: {error.strerror}") from None
    try:
        _check(path, os.fstat(descriptor))
    except SecretError:
        os.close(descriptor)
        raise
    return descriptor


def _check(path: str, status: os.stat_result) -> None:
    """The file that was opened, not the name: it could be another one by now."""
    if not stat.S_ISREG(status.st_mode):
        raise SecretError(f"secret file {path}: not a regular file")
    if status.st_uid not in (0, os.geteuid()):
        raise SecretError(f"secret file {path}: it is another user's: `chown root {path}`")
    if status.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        mode = stat.S_IMODE(status.st_mode)
        raise SecretError(f"secret file {path}: mode {mode:04o} lets others read or change it: `chmod 600 {path}`")


async def _from_script(name: str, command: str, timeout_s: float, cgroup: str | None) -> str:
    try:
        done = await run_bounded(
            ["/bin/sh", "-c", command], stdin=b"", timeout_s=timeout_s, max_output=_MAX_BYTES + 1, cgroup=cgroup
        )
    except StartError as error:
        raise SecretError(f"{name}: cannot be started: {error}") from None
    if done.timed_out:
        raise SecretError(f"{name}: it did not end in time")
    if done.returncode != 0:
        raise SecretError(f"{name}: it ended with exit status {done.returncode}")
    return _one_line(done.stdout.encode(), name)


def _one_line(content: bytes, source: str) -> str:
    if len(content) > _MAX_BYTES:
        raise SecretError(f"{source}: more than {_MAX_BYTES} bytes")
    try:
        text = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise SecretError(f"{source}: not UTF-8") from None
    if not text:
        raise SecretError(f"{source}: empty")
    if "\n" in text or "\r" in text or "\0" in text:
        raise SecretError(f"{source}: more than one line")
    return text
