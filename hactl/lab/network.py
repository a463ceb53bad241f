"""The lab's network: a bridge in a namespace of its own, and a namespace for every station on it.

Nothing of the machine's own network is touched. A power cut takes the station's link down at the bridge,
so that nothing that is being killed can say goodbye.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from pathlib import Path

from hactl.lab import netns
from hactl.lab.spec import LabSpec, NodeName
from hactl.lab.system import run

# Namespaces' ids as the bridge's sees them tell the watcher which node an event came from. Every life of a
# node has an id of its own: the dying one of the life before may still be taken.
NSID_STRIDE = 100

_NODE_SYSCTLS = {
    "ipv4/ip_nonlocal_bind": "1",
    "ipv6/ip_nonlocal_bind": "1",
    "ipv4/conf/all/promote_secondaries": "1",
    "ipv4/conf/default/promote_secondaries": "1",
    "ipv4/ip_local_port_range": "20000 60999",
}
_CLIENT_SYSCTLS = {"ipv4/ip_local_port_range": "10000 65000", "ipv4/tcp_tw_reuse": "1"}


def has_ipv6() -> bool:
    """Whether this kernel has IPv6."""
    return Path("/proc/sys/net/ipv6").is_dir()


def create_bridge(spec: LabSpec) -> None:
    """The bridge without spanning tree, learning as a switch does."""
    run(["ip", "netns", "add", spec.bridge])
    _batch(spec.bridge, ["link set lo up", "link add br0 type bridge mcast_snooping 0", "link set br0 up"])


def plug_in(spec: LabSpec, station: NodeName, life: int = 0) -> None:
    """Give a station its namespace and its link, which has no address and is down on the station's side. `life` counts
    a node's boots."""
    namespace = spec.namespace(station.name)
    run(["ip", "netns", "add", namespace])
    _batch(
        spec.bridge,
        [
            f"netns set {namespace} {life * NSID_STRIDE + station.number}",
            f"link add {station.port} type veth peer name eth0 address {station.mac} netns {namespace}",
            f"link set {station.port} master br0",
            f"link set {station.port} up",
        ],
    )


def attach(spec: LabSpec, station: NodeName, life: int = 0) -> None:
    """Plug a station in, with its settings and its own addresses."""
    plug_in(spec, station, life)
    namespace, is_node = spec.namespace(station.name), station in spec.stations
    netns.set_sysctls(namespace, _NODE_SYSCTLS if is_node else _CLIENT_SYSCTLS)
    commands = ["link set lo up", f"addr add {station.address}/24 dev eth0"]
    if has_ipv6():
        commands.append(f"addr add {station.address6}/64 dev eth0 nodad")
    _batch(namespace, [*commands, "link set eth0 up"])


def cut(spec: LabSpec, station: NodeName) -> None:
    """Take the station's link down at the bridge: from now on nothing gets in or out. (One that fenced itself has
    none any more.)"""
    try:
        netns.link_down(spec.bridge, station.port)
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise


def restore(spec: LabSpec, station: NodeName) -> None:
    """Take the station's link up again."""
    _batch(spec.bridge, [f"link set {station.port} up"])


def detach(spec: LabSpec, station: NodeName) -> None:
    """Remove the station's link, and with it every address on it, and its namespace."""
    links = run(["ip", "-n", spec.bridge, "-o", "link", "show", "type", "veth"])
    if f" {station.port}@" in links:  # a node that fenced itself has removed it
        run(["ip", "-n", spec.bridge, "link", "del", station.port])
    netns.remove(spec.namespace(station.name))


def _batch(namespace: str, commands: Iterable[str]) -> None:
    run(["ip", "-n", namespace, "-batch", "-"], stdin="\n".join(commands) + "\n")
