"""The steps by which the guard stops something without the daemon's help, each verified.

A step is a JSON object with a `kind`:

- `{"kind": "cgroup", "path": P}`: kill everything in cgroup P; verified by `cgroup.events`.
- `{"kind": "pid", "pid": N, "start_time": T}`: kill process N (T: field 22 of its stat) and the group it leads.
- `{"kind": "address", "interface": I, "address": A, "prefix": L}`: remove the address; verified by a dump.
- `{"kind": "unlink", "path": P}`: remove a file.
- `{"kind": "unit", "unit": U, "bus": P}`: kill and stop a systemd unit; verified by its state in systemd. `bus`
  (optional): the path of the system bus of a systemd that is not this machine's own.
- `{"kind": "mount", "directory": P, "source": S, "device": D}`: kill the processes that use the file system and
  unmount it, from every mount namespace (fencing/linux/unmount.py). `source`: as it was mounted; `device`: the path
  of its block device, null for a network file system. Verified by opening the device exclusively, or by mountinfo. A
  file system that does not write its data back at once is cut off.
- `{"kind": "command", "argv": [...], "timeout_ms": D, "verify": [...], "env": {...}}`: run a command. `verify`
  (optional) is another whose exit status 0 says that it is stopped; without it the command's own does. `env`
  (optional) is added to a PATH of the system's directories; nothing else is inherited.

`check` refuses at registration, where the mistake can still be corrected, a step that could never work. `attempt` tries
once and returns the problem, or "" when it has *seen* that the resource is stopped.
"""

# pathlib, and its imports, would stay locked in memory for a few calls.
# ruff: noqa: PTH108, PTH110, PTH120

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from typing import Any

from fencing.guard.netlink import remove_address
from fencing.guard.proc import in_cgroup, kill_cgroup, kill_group, run_bounded
from fencing.guard.state import StopStep
from fencing.guard.systemd import stop_unit
from fencing.linux.unmount import Target, Way, unmount

# How long one attempt waits for the death of the processes that it killed.
_DEATH_S = 0.2
_MAX_TIMEOUT_MS = 600_000
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]{1,255}\.[a-z]+")

# The kinds that can come back while something of the same name still runs: they are looked at again last.
REVOCABLE = frozenset({"address", "unlink"})


def check(step: StopStep) -> str:
    """The problem of a step, or ""."""
    kind = step.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        return f"unknown kind of step {kind!r}; known: {', '.join(_KINDS)}"
    wanted = _KINDS[kind][0]
    for key in step:
        if key != "kind" and key not in wanted:
            return f"step {kind}: unknown field {key!r}"
    for key, valid in wanted.items():
        if not valid(step.get(key)):
            return f"step {kind}: {key} is {step.get(key)!r}"
    if kind == "cgroup":
        return _check_cgroup(str(step["path"]))
    return ""


def attempt(step: StopStep) -> str:
    """Try to stop it and see whether it is: "" or the problem. May block: never call it in the main loop."""
    try:
        return _KINDS[step["kind"]][1](step)
    except Exception as error:  # of any kind: it is not known to be stopped
        return f"{type(error).__name__}: {error}"


def label(step: StopStep) -> str:
    """A step in a few words, for the log."""
    return " ".join(str(value) for value in step.values())[:200]


def _unlink(step: StopStep) -> str:
    path: str = step["path"]
    try:
        os.unlink(path)
    except FileNotFoundError:
        return ""
    return f"{path} is there again" if os.path.lexists(path) else ""


def _command(step: StopStep) -> str:
    timeout_s, env = step["timeout_ms"] / 1000, step.get("env")
    ran = run_bounded(step["argv"], timeout_s, env)
    verify = step.get("verify")
    if not verify:
        return ran.problem
    seen = run_bounded(verify, timeout_s, env)
    return f"{verify[0]}: {seen.problem}; {step['argv'][0]}: {ran.problem or 'done'}" if seen.problem else ""


def _unmount(step: StopStep) -> str:
    target = Target(step["directory"], step["source"], step.get("device") or "")
    return unmount(target, Way(_DEATH_S, hurry=True)).problem


def _check_cgroup(path: str) -> str:
    # An absent cgroup counts as stopped, so a path that could never be a cgroup's must not get through.
    there = path
    while not os.path.exists(there):
        there = os.path.dirname(there)
    if not os.path.exists(f"{there}/cgroup.controllers"):
        return f"step cgroup: {path} is not in a cgroup v2 hierarchy"
    if in_cgroup(path, os.getpid()):
        return f"step cgroup: the guard itself is in {path}"
    return ""


def _is_path(value: object) -> bool:
    return isinstance(value, str) and value.startswith("/") and "\0" not in value and value == os.path.normpath(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_timeout(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _MAX_TIMEOUT_MS


def _is_argv(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(word, str) and "\0" not in word for word in value)
        and bool(value[0])
    )


def _is_env(value: object) -> bool:
    return value is None or (
        isinstance(value, dict)
        and all(isinstance(word, str) and "\0" not in word for pair in value.items() for word in pair)
    )


def _is_interface(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value.encode()) < 16 and "/" not in value


def _is_address(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in value else socket.AF_INET, value)
    except OSError:
        return False
    return True


_KINDS: dict[str, tuple[dict[str, Callable[[Any], bool]], Callable[[StopStep], str]]] = {
    "cgroup": ({"path": _is_path}, lambda step: kill_cgroup(step["path"], _DEATH_S)),
    "pid": (
        {"pid": lambda value: _is_number(value) and value > 1, "start_time": _is_number},
        lambda step: kill_group(step["pid"], step["start_time"], _DEATH_S),
    ),
    "address": (
        {
            "interface": _is_interface,
            "address": _is_address,
            "prefix": lambda value: isinstance(value, int) and 0 <= value <= 128,
        },
        lambda step: remove_address(step["interface"], step["address"]),
    ),
    "unlink": ({"path": _is_path}, _unlink),
    "unit": (
        {
            "unit": lambda value: isinstance(value, str) and bool(_UNIT.fullmatch(value)),
            "bus": lambda value: value is None or _is_path(value),
        },
        lambda step: stop_unit(step["unit"], step.get("bus")),
    ),
    "mount": (
        {
            "directory": _is_path,
            "source": lambda value: isinstance(value, str) and bool(value) and "\0" not in value,
            "device": lambda value: value is None or _is_path(value),
        },
        _unmount,
    ),
    "command": (
        {
            "argv": _is_argv,
            "timeout_ms": _is_timeout,
            "verify": lambda value: value is None or _is_argv(value),
            "env": _is_env,
        },
        _command,
    ),
}
