"""The names that a shell completes on Tab: nodes, groups, services of this cluster, presets, agents.

Asked for on a keypress: quick, never an error, never a word beside the list. From the daemon, else from what it kept
on disk (which root alone may read); etcd is not asked. Light: every command imports it.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hactl.cli import client
from hactl.cli.common import CliError, settings
from hactl.config.node import NodeConfig

# All that a list may take; the shell waits for it.
LIMIT_S = 1.0
_LAST_KNOWN = "last-known.json"
_PRESET = re.compile(r"^([a-z][\w.-]*):", re.MULTILINE)
_OCF_AGENTS = "/usr/lib/ocf/resource.d"
_AGENT_DIRS = ("/usr/sbin", "/usr/local/sbin", "/sbin")


def nodes(incomplete: str) -> list[str]:
    """Nodes of the cluster."""
    return _completed(lambda: _names("nodes"), incomplete)


def groups(incomplete: str) -> list[str]:
    """Groups of the cluster."""
    return _completed(lambda: _names("groups"), incomplete)


def conditions(incomplete: str) -> list[str]:
    """Conditions of `hactl wait` for the groups and nodes of the cluster."""
    return _completed(
        lambda: [
            "settled",
            *(f"{name}={state}" for name in _names("groups") for state in ("running", "stopped")),
            *(f"{name}={state}" for name in _names("nodes") for state in ("online", "standby")),
        ],
        incomplete,
    )


def services(incomplete: str) -> list[str]:
    """Services of the cluster."""
    return _completed(lambda: _names("services"), incomplete)


def hooks(incomplete: str) -> list[str]:
    """Hooks of the cluster: the daemon has them, beside the status."""

    def look() -> list[str]:
        config = settings(None)
        for path in (config.api_socket, config.read_socket):
            with contextlib.suppress(CliError, client.NoDaemonError):
                return _named(client.get(path, "/v1/hooks", LIMIT_S), "hooks")
        return _named(_last_known(config), "hooks")

    return _completed(look, incomplete)


def presets(incomplete: str) -> list[str]:
    """Ready-made settings. Reading them as YAML would take longer than all the rest."""
    folder = Path(__file__).parents[1] / "config/presets"
    return _completed(
        lambda: [name for path in folder.glob("*.yaml") for name in _PRESET.findall(path.read_text("utf-8"))],
        incomplete,
    )


def agents(incomplete: str) -> list[str]:
    """Fence agents, by their names: running each takes seconds."""
    return _completed(
        lambda: [path.name for folder in _AGENT_DIRS for path in Path(folder).glob("fence_*")], incomplete
    )


def resource_agents(incomplete: str) -> list[str]:
    """OCF resource agents."""
    return _completed(
        lambda: [f"{path.parent.name}:{path.name}" for path in Path(_OCF_AGENTS).glob("[!.]*/[!.]*")], incomplete
    )


def _completed(look: Callable[[], list[str]], incomplete: str) -> list[str]:
    """Those that begin so; none where they cannot be had, or not in time."""
    names: set[str] = set()
    with contextlib.suppress(Exception), _limited():
        names = {name for name in look() if name.startswith(incomplete)}
    return sorted(names)


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """Raise TimeoutError after LIMIT_S, whatever is waited for."""

    def give_up(_signal: int, _frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _names(kind: str) -> list[str]:
    config = settings(None)
    for path in (config.api_socket, config.read_socket):
        with contextlib.suppress(CliError, client.NoDaemonError):
            return _named(client.get(path, "/v1/status", LIMIT_S), kind)
    return _named(_last_known(config), kind)


def _named(document: dict[str, Any], kind: str) -> list[str]:
    entries = [*(document.get(kind) or ()), *((document.get("clones") or ()) if kind == "groups" else ())]
    return [entry["name"] for entry in entries]


def _last_known(config: NodeConfig) -> dict[str, Any]:
    """The configuration as the daemon kept it last (hactl/daemon/parts/last_known.py)."""
    kept = json.loads(Path(config.state_dir, _LAST_KNOWN).read_bytes())
    for key, value, *_ in kept["items"]:
        if key == f"{kept['prefix']}config":
            document: dict[str, Any] = json.loads(value)["document"]
            return document
    return {}
