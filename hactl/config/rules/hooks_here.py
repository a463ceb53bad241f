"""Programs, users and files that hooks name, on this machine: on another one they may be others.

For `hactl config check` and `apply` alone: a daemon tells the failure of a hook when there is one.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from fencing.linux.trusted import untrusted
from hactl.config.errors import KeyPath
from hactl.config.load import Loaded
from hactl.config.rules.findings import Finding
from hactl.linux.run import find_command
from hactl.model.hooks import HookSpec


def hooks_here(loaded: Loaded, node: str) -> Iterator[Finding]:
    """What is wrong with hooks on this machine. Refused where it is a node of the cluster: the hook would fail there.
    Elsewhere it is a remark."""
    refused = any(known.name == node for known in loaded.spec.nodes)
    for index, hook in enumerate(loaded.spec.hooks):
        for where, problem, hint in _here(hook):
            yield Finding(("hooks", index, *where), problem, hint, refused)
        yield from _doubts(hook, ("hooks", index))


def _here(hook: HookSpec) -> Iterator[tuple[KeyPath, str, str]]:
    try:
        pwd.getpwnam(hook.user)
    except KeyError:
        hint = f"`useradd --system {hook.user}` on every node, or leave `user` out"
        yield ("user",), f"there is no user `{hook.user}` here", hint
    if hook.webhook is None:
        if problem := find_command(hook.command[0], cwd="/"):
            fix = f"`chmod +x {hook.command[0]}`" if problem.startswith("not an exec") else "install it on every node"
            yield ("command",), problem, fix
        return
    for name, private in (("ca", False), ("url_file", True), ("token_file", True)):
        if path := getattr(hook.webhook, name):
            yield from ((("webhook", name), *found) for found in _file(path, private))


def _file(path: str, private: bool) -> Iterator[tuple[str, str]]:
    try:
        status = Path(path).stat()
    except PermissionError:
        return  # root's alone, as it should be
    except OSError as error:
        yield f"{path}: {error.strerror}", "put it there on every node"
        return
    if not stat.S_ISREG(status.st_mode):
        yield f"{path} is no file", "name a file"
    elif private and status.st_mode & 0o077:
        yield f"others may read {path} (mode {stat.S_IMODE(status.st_mode):04o})", f"`chmod 600 {path}`"


def _doubts(hook: HookSpec, path: KeyPath) -> Iterator[Finding]:
    """A program that others may change, where root runs it."""
    program = hook.command[0] if hook.command else ""
    if hook.user != "root" or not program.startswith("/") or not os.path.isfile(program):  # noqa: PTH113
        return
    if problem := untrusted(program):
        reason, _, fix = problem.partition(": `")
        yield Finding((*path, "command"), f"others may change {program}: {reason}", f"`{fix}", refused=False)
