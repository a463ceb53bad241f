"""The checks of node.toml's settings: each takes the value in the file and returns the setting's value, or raises."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any

from hactl.config.errors import suggest

Check = Callable[[Any], Any]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_URL = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})")

# A unix socket's path has 107 bytes at most; the longest name in there is `haproxy/master.sock`, and a temporary one.
_LONGEST_RUN_DIR = 75


class WrongError(Exception):
    """A value is wrong. `hint`: how to fix it; "": an example is shown."""

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint


def text(value: Any) -> str:
    """A text of one line."""
    if not isinstance(value, str):
        raise WrongError(f"is {_shown(value)}", "must be text, in quotes")
    if any(ord(char) < 32 for char in value):
        raise WrongError("has a line break or control character", "write one line")
    return value


def name(value: Any) -> str:
    """A name as in cluster.yaml."""
    if not _NAME.fullmatch(text(value)):
        problem = f"`{value}` is no name"
        raise WrongError(problem, "use up to 63 letters, digits, `-`, `_` and `.`, the first a letter or digit")
    return str(value)


def path(value: Any) -> str:
    """An absolute path."""
    if not text(value).startswith("/"):
        raise WrongError(f"`{value}` is no absolute path", "begin it with `/`")
    return str(value).rstrip("/") or "/"


def paths(value: Any) -> tuple[str, ...]:
    """A list of absolute paths."""
    if not isinstance(value, list):
        raise WrongError(f"is {_shown(value)}, and must be a list of paths")
    return tuple(path(name) for name in value)


def run_dir(value: Any) -> str:
    """A directory for sockets."""
    directory = path(value)
    if len(directory.encode()) > _LONGEST_RUN_DIR:
        problem = f"has {len(directory.encode())} bytes, too many for the path of a socket in it"
        raise WrongError(problem, f"choose one of at most {_LONGEST_RUN_DIR}")
    return directory


def endpoints(value: Any) -> tuple[str, ...]:
    """A list of URLs, not empty, none twice."""
    if not isinstance(value, list) or not value:
        raise WrongError(f"is {_shown(value)}, and must be a list of URLs")
    for url in value:
        match = _URL.fullmatch(text(url))
        if match is None or not 0 < int(match[2]) < 65536:
            raise WrongError(f"`{url}` is no URL with a port", "such as `http://10.0.0.11:2379`")
        if value.count(url) > 1:
            raise WrongError(f"`{url}` is there twice", "name it once")
    return tuple(value)


# Stands for the node's own address, as cluster.yaml has it.
NODE_HOST = "node"


def listen(value: Any) -> str:
    """ADDRESS:PORT, `node:PORT`, or "" for nowhere."""
    if text(value) == "":
        return ""
    host, _, port = str(value).rpartition(":")
    try:
        if host != NODE_HOST:
            ipaddress.ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
        good = port.isascii() and port.isdigit() and 0 < int(port) < 65536
    except ValueError:
        good = False
    if not good:
        raise WrongError(
            f"`{value}` is no address with port", "such as `node:9664`, `10.0.0.11:9664`, `[fd00::11]:9664`"
        )
    return str(value)


def port(value: Any) -> int:
    """A number of a port."""
    if type(value) is not int or not 0 < value < 65536:
        raise WrongError(f"is {_shown(value)}", "must be a port's number, 1 to 65535, without quotes")
    return value


def boolean(value: Any) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise WrongError(f"is {_shown(value)}", "write true or false, without quotes")
    return value


def one_of(*allowed: str) -> Check:
    """A check for one of `allowed`."""

    def check(value: Any) -> str:
        if value not in allowed:
            raise WrongError(f"is {_shown(value)}", f"{_guess(value, allowed)}allowed: {', '.join(allowed)}")
        return str(value)

    return check


def self_fence(value: Any) -> tuple[str, ...]:
    """The guard's `--self-fence`."""
    if value in ("reboot", "watchdog", "log"):
        return (str(value),)
    if isinstance(value, list) and len(value) > 1 and value[0] == "command":
        return ("command", path(value[1]), *(text(word) for word in value[2:]))
    raise WrongError(f"is {_shown(value)}", 'write "reboot", "watchdog", or ["command", "/path/of/a/program"]')


def _guess(value: Any, allowed: tuple[str, ...]) -> str:
    guess = suggest(value, allowed) if isinstance(value, str) else ""
    return f"{guess} " if guess.startswith("did") else ""


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)
