"""The problems that the HAProxy on this machine reports in the file that a cluster.yaml makes, each at its place in
cluster.yaml. For `hactl config check` and `hactl config apply`."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fencing.linux.trusted import untrusted, untrusted_directory
from hactl.config.errors import KeyPath
from hactl.config.load import Loaded
from hactl.config.rules.findings import Finding
from hactl.haproxy.control.files import find_haproxy
from hactl.haproxy.diff.parse import read_binds
from hactl.haproxy.diff.refusals import Refusal, refusals
from hactl.haproxy.render.document import render
from hactl.haproxy.routing import Routing
from hactl.haproxy.settings import HaproxyError, HaproxySettings
from hactl.haproxy.words import line_words, text_lines

_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Checked:
    """`findings`: what HAProxy refuses. `note`: why it was not asked, "" when it was."""

    findings: tuple[Finding, ...] = ()
    note: str = ""


def check_with_haproxy(loaded: Loaded, node: str, settings: HaproxySettings) -> Checked:
    """Ask it. `node`: the name of this machine in the cluster; "" or another: a problem that depends on the machine,
    such as a missing certificate, is only a warning; so it is for a user who may not read the file."""
    spec = loaded.spec
    names = [node_spec.name for node_spec in spec.nodes]
    here = node in names
    try:
        text = render(spec, Routing(frozenset(names)), node if here else names[0], settings)
        if not any(read_binds(text).values()):
            return Checked()
        if loaded_code := _foreign_code(text):
            user = "root" if os.geteuid() == 0 else "you"
            raise HaproxyError(f"it would run code that others may change, as {user}: {loaded_code}")
        program = find_haproxy(settings.binary)
        output = _ask(program, text)
    except ValueError as error:
        return Checked((Finding(("services",), f"cannot be rendered: {error}", "", refused=True),))
    except HaproxyError as error:
        return Checked(note=f"HAProxy was not asked whether it takes this: {error}")
    return Checked(tuple(_finding(loaded, refusal, here) for refusal in refusals(text, output)))


# With these HAProxy runs code while it reads its configuration, `-c` or not. Source: its manual, section 3.
_RUNS = frozenset(
    {
        *("lua-load", "lua-load-per-thread", "lua-prepend-path", "ssl-engine", "ssl-provider", "ssl-provider-path"),
        *("module-load", "module-path"),
    }
)


def _foreign_code(text: str) -> str:
    """Code that this text has HAProxy run and that others may change, "" for none: checking a file from somebody else
    must not run that person's program. A word that only HAProxy can read may be any of them."""
    for line in text_lines(text):
        first, *arguments = line_words(line) or [""]
        if _WRITTEN_ODDLY.search(first):
            return f"`{line.strip()}` may be anything"
        if first not in _RUNS and not (first == "filter" and "opentracing" in arguments):
            continue
        for word in arguments:
            plain = word.strip("\"'").partition("?")[0]
            if _WRITTEN_ODDLY.search(plain):
                return f"`{line.strip()}` may be anything"
            if problem := _others(Path.cwd() / plain):
                return problem
    return ""


_WRITTEN_ODDLY = re.compile(r"""["'\\$]""")


def _others(path: Path) -> str:
    """Why others may change this file; "" if it is none: a name of a module in the system's directory."""
    if path.is_dir():
        return untrusted_directory(str(path))
    return untrusted(str(path)) if path.exists() else ""


def _ask(program: str, text: str) -> str:
    """HAProxy's output. Raises HaproxyError where it refuses without a word, or cannot be asked: no room in /tmp,
    say."""
    try:
        with tempfile.TemporaryDirectory(prefix="hactl-check-") as directory:
            file = Path(directory, "haproxy.cfg")
            file.write_text(text)
            done = subprocess.run(
                [program, "-W", "-c", "-f", str(file)], capture_output=True, text=True, errors="replace",
                timeout=_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL,
            )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise HaproxyError(f"`{program} -c` did not end within {_TIMEOUT_S:g} s") from None
    except OSError as error:
        raise HaproxyError(f"`{program} -c`: {error.strerror or error}") from None
    if done.returncode != 0 and "[ALERT]" not in done.stderr + done.stdout:
        raise HaproxyError(f"`{program} -c` ended with status {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stderr + done.stdout


def _finding(loaded: Loaded, refusal: Refusal, here: bool) -> Finding:
    line = f" (line `{refusal.line}`)" if refusal.line else ""
    complaint, path = f"HAProxy refuses it: {refusal.words}{line}", _path(loaded.tree.data, refusal)
    if refusal.of_the_moment:
        hint = "as long as that is so on a node, HAProxy there has no use of it"
        return Finding(path, f"HAProxy says: {refusal.words}{line}", hint, refused=False)
    if refusal.of_the_machine and (not here or os.geteuid() != 0):
        return Finding(path, complaint, "see that it is there on the nodes", refused=False)
    return Finding(path, complaint, "", refused=True)


def _path(data: Any, refusal: Refusal) -> KeyPath:
    """Where in cluster.yaml the line comes from: the very text, where it stands there; else its service."""
    if refusal.line and (place := next(_texts(data, (), refusal.line), None)) is not None:
        return place
    for index, service in enumerate(data.get("services") or ()):
        if isinstance(service, dict) and refusal.section and service.get("name") == refusal.section:
            return ("services", index)
    return ("haproxy",) if refusal.section in ("global", "defaults") else ()


def _texts(data: Any, path: KeyPath, line: str) -> Iterator[KeyPath]:
    """The places of texts that are, or hold, this line."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _texts(value, (*path, key), line)
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _texts(value, (*path, index), line)
    elif isinstance(data, str) and any(text.strip() == line for text in data.splitlines()):
        yield path
