"""Whether a machine can be what its bundle says, from what was seen there. Pure: every problem at once, each with the
command that helps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from election.etcd.x509 import ends
from hactl.decide.namesake import NEW_MACHINE_ID
from hactl.linux.listeners import Listener
from hactl.setup.bundle import Bundle, NodePart, certificates
from hactl.setup.places import Places
from hactl.setup.plan import Host

# Certificates and etcd's leases want clocks that are nearly right.
CLOCK_S = 60.0
_DATE = "%Y-%m-%d %H:%M UTC"
# etcd's quota, and as much again for a snapshot beside it.
ROOM_BYTES = 8 << 30
# Needs the rights of etcd's user `root`.
SNAPSHOTS = "hactl-etcd-snapshot.timer"
_PACKAGES = {"etcd": "etcd-server", "etcdctl": "etcd-client", "systemctl": "systemd"}


class Here(NamedTuple):
    """A machine as it was seen. `node`, `endpoints`: cluster, node and etcd that node.toml names; `authority`: the
    certificate of the authority in use, "" for none; `token`: of the etcd that was set up here; `etcd_data`: its member
    has data; `no_unit`: units that are wanted and not there; `running`: those that run; `machine_id`: why it is
    unusable; `own_id`: the machine id; `drop_ins`: of etcd's unit, by others."""

    uid: int = 0
    addresses: frozenset[str] = frozenset()
    now: float = 0.0
    missing: tuple[str, ...] = ()
    no_unit: tuple[str, ...] = ()
    running: frozenset[str] = frozenset()
    node: tuple[str, str] | None = None
    endpoints: frozenset[str] = frozenset()
    authority: str = ""
    token: str = ""
    etcd_data: bool = False
    free_bytes: int = ROOM_BYTES
    listeners: tuple[Listener, ...] = ()
    machine_id: str = ""
    own_id: str = ""
    drop_ins: tuple[str, ...] = ()


def programs(bundle: Bundle) -> list[str]:
    """The programs that a machine needs."""
    return [*(["etcd", "etcdctl"] if bundle.etcd else []), *(["haproxy"] if bundle.node else []), "systemctl"]


def units(bundle: Bundle) -> list[str]:
    """The units that a machine needs, in the order of their start."""
    snapshots = [SNAPSHOTS] if bundle.node and bundle.node.admin else []
    return [*(["etcd"] if bundle.etcd else []), *(["hactl", "hactl-http", *snapshots] if bundle.node else [])]


def problems(bundle: Bundle, here: Here, places: Places) -> Iterator[str]:
    """Why this machine cannot join as it is."""
    if here.uid != 0:
        yield "this needs root: repeat it with sudo"
    yield from _installed(here)
    if bundle.host.address not in here.addresses:
        its = ", ".join(sorted(here.addresses)) or "none"
        yield (
            f"{bundle.host.address}, the address of {bundle.host.name}, is not on this machine (it has {its}): is this "
            f"the join file of another machine?"
        )
    yield from _other_cluster(bundle, here, places)
    yield from _dates(bundle, here)
    if bundle.node and here.machine_id:
        yield here.machine_id
    if bundle.node:
        yield from _clone(bundle.host.name, bundle.node, here)
    # The guard goes on while its daemon is stopped.
    joined = {"hactl", "hactl-http"} if here.node in _names(bundle) else set()
    yield from ports(bundle, here.listeners, here.running | joined)


def warnings(bundle: Bundle, here: Here, places: Places) -> Iterator[str]:
    """What may do harm later."""
    if bundle.etcd and here.free_bytes < ROOM_BYTES:
        free = f"{here.free_bytes / 2**30:.1f} GiB"
        yield f"{places.etcd_data} has {free} of room, and etcd may take 4 GiB and its snapshots as much: make room"
    if bundle.etcd and here.drop_ins:
        files = ", ".join(here.drop_ins)
        yield f"etcd's unit is changed by {files}, too: see that they set nothing of etcd's (ETCD_…)"


def _installed(here: Here) -> Iterator[str]:
    if here.missing:
        packages = " ".join(_PACKAGES.get(program, program) for program in here.missing)
        yield f"{', '.join(here.missing)}: not installed here; `apt install {packages}`"
    units_missing = [unit for unit in here.no_unit if not (unit == "etcd" and "etcd" in here.missing)]
    if units_missing:
        yield f"systemd knows no unit {', '.join(units_missing)} here: install hactl's package, etcd-server for etcd"


def _other_cluster(bundle: Bundle, here: Here, places: Places) -> Iterator[str]:
    again = "docs/install.md, *Begin again*"
    wanted = (bundle.cluster, bundle.host.name)
    if here.node is not None and here.node not in _names(bundle):
        cluster, node = here.node
        yield (
            f"{places.node_toml}: this machine is node {node} of cluster {cluster} already, and is to be "
            f"{wanted[1]} of {wanted[0]}: take it out there first; {again}"
        )
    elif bundle.node and here.endpoints and not here.endpoints & set(bundle.node.endpoints):
        yield (
            f"{places.node_toml}: this machine is {wanted[1]} of {wanted[0]} already, with another etcd "
            f"({', '.join(sorted(here.endpoints))}): to use that one, `hactl setup --etcd-endpoints URLS`; {again}"
        )
    authority = bundle.etcd.ca if bundle.etcd else bundle.node.ca if bundle.node else ""
    if here.authority and here.authority != authority:
        yield f"this machine has certificates of another authority, of another setup: {again}"
    if bundle.etcd and here.etcd_data and here.token != bundle.etcd.token:
        data = places.etcd_data
        yield (
            f"{data} holds the data of another etcd cluster: if they are not wanted, `systemctl stop etcd; "
            f"mv {data} {data}.old`; else use that etcd, `hactl setup --etcd-endpoints URLS`"
        )


def _names(bundle: Bundle) -> tuple[tuple[str, str], ...]:
    """Cluster and node that node.toml may name: those of the bundle, or the name before."""
    return ((bundle.cluster, bundle.host.name), (bundle.cluster, bundle.before or bundle.host.name))


def _clone(name: str, node: NodePart, here: Here) -> Iterator[str]:
    """A machine that was made as a copy of another one's disk, or of its image after the first boot."""
    for other, machine_id in node.machine_ids.items():
        if here.own_id and machine_id == here.own_id:
            yield (
                f"this machine has the machine id of {other}, {machine_id}: one is a copy of the other; here, on "
                f"{name}: {NEW_MACHINE_ID}, and repeat this"
            )


def _dates(bundle: Bundle, here: Here) -> Iterator[str]:
    if here.now < bundle.made_at - CLOCK_S:
        behind = bundle.made_at - here.now
        yield (
            f"this machine's clock is {_span(behind)} behind that of the machine that made the join file: set both "
            "(`timedatectl set-ntp true`), then repeat this"
        )
    for use, pair in certificates(bundle):
        end = ends(pair.cert)[0]
        if end.timestamp() <= here.now:
            yield (
                f"the {use} certificate in the join file ended on {end:{_DATE}}: is this machine's clock right? If so, "
                "`hactl certs renew` on the machine where setup ran, and take the new file"
            )


def ports(bundle: Bundle, listeners: Sequence[Listener], running: frozenset[str]) -> Iterator[str]:
    """Ports that are wanted and in use by another program. `running`: units, whose ports are their own."""
    wanted: list[tuple[str, int, str]] = []
    if bundle.etcd:
        wanted += [("tcp", 2379, "etcd"), ("tcp", 2380, "etcd")]
    if bundle.node:
        wanted += [("tcp", 9664, "hactl-http"), ("udp", 9665, "hactl")]
    for protocol, port, user in wanted:
        for listener in listeners:
            own = user in running or listener.process.startswith("hactl")
            here = listener.everywhere or listener.address == bundle.host.address
            if here and (listener.protocol, listener.port) == (protocol, port) and not own:
                yield f"{protocol.upper()} port {port}, which {user} needs, is in use here{_by(listener)}"


def _by(listener: Listener) -> str:
    if "fencing.guard" in listener.command:
        return " by the guard of an earlier hactl: `hactl uninstall --force` ends it"
    return f" by {listener.process}: stop that program" if listener.process else ": stop that program"


def here_of(hosts: Sequence[Host], addresses: frozenset[str]) -> Host | str:
    """Which of the machines this is, or why that cannot be told."""
    mine = [host for host in hosts if host.address in addresses]
    if len(mine) == 1:
        return mine[0]
    if not mine:
        its = ", ".join(sorted(addresses)) or "none"
        return f"none of the addresses is on this machine, which has {its}: run setup on one of the named machines"
    return f"{' and '.join(host.text for host in mine)} are both on this machine: every machine needs its own address"


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} hours"
