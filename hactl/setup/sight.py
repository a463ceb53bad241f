"""Looks at this machine before anything is done: the facts for `checks`."""

from __future__ import annotations

import contextlib
import socket
import tomllib
from pathlib import Path

from hactl.config.errors import ConfigErrors
from hactl.linux.listeners import listeners
from hactl.setup.bundle import Bundle
from hactl.setup.checks import Here, programs, units
from hactl.setup.errors import RefusedError
from hactl.setup.machine import Machine
from hactl.setup.places import Places

MACHINE_ID = "/etc/machine-id"


def see(bundle: Bundle, places: Places, machine: Machine) -> Here:
    """The facts. Raises RefusedError where one cannot be had."""
    missing = tuple(machine.missing(programs(bundle)))
    seen = {} if "systemctl" in missing else {unit: machine.unit(unit) for unit in units(bundle)}
    drop_ins = seen["etcd"].drop_ins if "etcd" in seen else ()
    node, endpoints = _node(places)
    try:
        addresses = frozenset(machine.addresses())
    except OSError as error:
        raise RefusedError(f"the addresses of this machine cannot be read: {error}") from None
    own_id, problem = machine_id(places.at(MACHINE_ID))
    return Here(
        uid=machine.uid(),
        addresses=addresses,
        now=machine.now(),
        missing=missing,
        no_unit=tuple(unit for unit, state in seen.items() if not state.there),
        running=frozenset(unit for unit, state in seen.items() if state.active),
        node=node,
        endpoints=endpoints,
        authority=_text(f"{places.etcd}/ca.pem") or _text(f"{places.pki}/ca.pem"),
        token=etcd_token(places),
        etcd_data=Path(places.etcd_data, "member").exists(),
        free_bytes=machine.free_bytes(places.etcd_data),
        listeners=tuple(listeners()),
        machine_id=problem,
        own_id=own_id,
        drop_ins=tuple(path for path in drop_ins if path != places.drop_in),
    )


def etcd_token(places: Places) -> str:
    """Of the etcd that was set up here; "" for none."""
    for line in _text(places.etcd_env).splitlines():
        if line.startswith("ETCD_INITIAL_CLUSTER_TOKEN="):
            return line.partition("=")[2]
    return ""


def _node(places: Places) -> tuple[tuple[str, str] | None, frozenset[str]]:
    """Cluster and node, and etcd's endpoints, as node.toml has them."""
    with contextlib.suppress(tomllib.TOMLDecodeError):
        settings = tomllib.loads(_text(places.node_toml))
        if isinstance(cluster := settings.get("cluster"), str):
            urls = settings.get("endpoints", [])
            node = str(settings.get("node") or socket.gethostname().partition(".")[0])  # as hactl.config.node
            return (cluster, node), frozenset(map(str, urls if isinstance(urls, list) else []))
    return None, frozenset()


def machine_id(path: str) -> tuple[str, str]:
    """The machine id, and why it is unusable."""
    from hactl.daemon.parts.machine import read_machine_id  # noqa: PLC0415

    try:
        return read_machine_id(path), ""
    except ConfigErrors as error:
        return "", str(error)


def _text(path: str) -> str:
    """A file's text; "" where there is none."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(f"{path} cannot be read: {error}; move it away, then repeat this") from None
