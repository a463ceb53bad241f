"""Waits until all nodes of a new cluster are well. Asks etcd itself: the daemon here may not be there yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing

from election.store import StoreError
from hactl.cli.backend import Backend
from hactl.cli.common import CliError
from hactl.cli.etcd_backend import EtcdBackend
from hactl.config.node import NodeConfig
from hactl.setup.machine import Machine

_AGAIN_S = 1.0
# A daemon that is not there by then may have ended: it is said where to look.
_LONG_S = 20.0
# What was seen while machines joined is looked at again within this time.
_CALM_S = 20.0


def wait_well(
    config: NodeConfig, machine: Machine, nodes: Sequence[str], deadline: float, report: Callable[[str], None]
) -> set[str]:
    """Until every node is online, then a moment for warnings to end; the levels of those that are left. Raises
    CliError: not by the monotonic time `deadline`, or this node's daemon has ended."""
    with closing(EtcdBackend(config)) as etcd:
        _wait_online(etcd, machine, nodes, deadline, report)
    calm = time.monotonic() + _CALM_S
    while (levels := _levels(config)) & {"error", "warning"} and time.monotonic() < calm:
        time.sleep(_AGAIN_S)
    return levels


def _wait_online(
    etcd: EtcdBackend, machine: Machine, nodes: Sequence[str], deadline: float, report: Callable[[str], None]
) -> None:
    """Says which are missing when that changes."""
    shown, long = "", time.monotonic() + _LONG_S
    while missing := _missing(etcd, nodes):
        text = ", ".join(missing)
        if machine.unit("hactl").failed:
            raise CliError(f"the daemon here has ended: {machine.last_reason('hactl')}; then repeat `hactl setup`")
        if time.monotonic() >= min(deadline, long):
            where = f"`journalctl -u hactl` on {text} says why"
            if time.monotonic() >= deadline:
                raise CliError(f"not online: {text}; {where}; then repeat `hactl setup`: it goes on")
            text = f"{text}; {where}"
        if text != shown:
            report(f"waiting for the daemon of {text}")
            shown = text
        time.sleep(_AGAIN_S)


def _missing(etcd: EtcdBackend, nodes: Sequence[str]) -> list[str]:
    """The nodes that are not online."""
    try:
        states = {node["name"]: node["state"] for node in etcd.read("status")["nodes"]}
    except (CliError, StoreError):
        return list(nodes)
    return [name for name in nodes if states.get(name) != "online"]


def _levels(config: NodeConfig) -> set[str]:
    with closing(Backend(config)) as backend:
        return {warning["level"] for warning in backend.status()["warnings"]}
