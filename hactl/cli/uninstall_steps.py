"""The steps of `hactl uninstall`."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

from election.store import StoreError
from hactl.admin.requests import Standby
from hactl.cli import client
from hactl.cli.backend import Backend
from hactl.cli.common import CliError, say, settings, settings_path, tell
from hactl.cli.node import standby
from hactl.config.errors import ConfigErrors
from hactl.config.node import NodeConfig
from hactl.removal import stopping
from hactl.removal.verdict import Facts, RefusedError, first_step, groups_of, not_handed_over

HAND_OVER_S = 90.0
FORCE_HOW = "`HACTL_REMOVE=force` in the environment (or `hactl uninstall --force`)"


def uninstall(config: Path | None, *, forced: bool) -> None:
    """All of them. Raises CliError: it was refused, or something does not end."""
    node = _settings(config)
    try:
        _hand_over(node, config, forced)
        stopping.stop_units()
        stopping.end_guard(node)
        stopping.end_remaining(node)
        stopping.give_units_back()
    except RefusedError as error:
        raise CliError(str(error)) from None
    stopping.take_back_settings()
    stopping.remove_run_dir(node)
    say("hactl is stopped on this machine, and nothing of it is left running")
    if Path("/etc/hactl/etcd.env").exists():
        say(
            "etcd goes on here, as a member of the cluster's store; to take it out, on another node: "
            f"`hactl node remove {node.node}`"
        )


def _settings(config: Path | None) -> NodeConfig:
    """This node's settings; where they cannot be read, the usual places: what runs must be stopped all the same."""
    try:
        return settings(config)
    except ConfigErrors as error:
        if settings_path(config).exists():
            tell("warning: " + "\nwarning: ".join(str(problem) for problem in error.problems))
    return NodeConfig(cluster="unknown", node=socket.gethostname().partition(".")[0])


def _hand_over(node: NodeConfig, config: Path | None, forced: bool) -> None:
    """Have every group leave this node, before anything is stopped. Raises RefusedError. Its servers are not drained:
    they are none of hactl's, and go on."""
    facts = Facts(node.node, _daemon_answers(node), _guarded(node), forced)
    if first_step(facts, FORCE_HOW) == "stop":
        return
    try:
        with closing(Backend(node)) as backend:  # nobody is asked on the way: a package manager may be at the terminal
            backend.do(Standby(node.node, forced, check=True))
        standby(node.node, yes=forced, drain_timeout="0s", wait=False, config=config)
    except (CliError, ConfigErrors, StoreError) as error:
        tell("warning: " + not_handed_over(facts, str(error), FORCE_HOW))
        return
    if not stopping.until(lambda: not _guarded(node), HAND_OVER_S) and not forced:
        left = ", ".join(groups_of(_guarded(node)))
        raise RefusedError(
            f"{left} did not leave within {HAND_OVER_S:g} s: see `hactl status`. Nothing was stopped; "
            f"`hactl node online {node.node}` takes the node into use again"
        )


def _guarded(node: NodeConfig) -> tuple[str, ...]:
    status = stopping.guard_status(node)
    return status.exclusive if status is not None else ()


def _daemon_answers(node: NodeConfig) -> bool:
    try:
        client.get(node.api_socket, "/v1/status", 3.0)
    except client.NoDaemonError:
        return False
    except CliError:  # it answers that it cannot now
        pass
    return True
