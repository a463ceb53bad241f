"""The files of a machine, by its bundle. Pure."""

from __future__ import annotations

from typing import NamedTuple

from hactl.setup.bundle import Bundle, EtcdPart, NodePart
from hactl.setup.places import Places
from hactl.setup.render import drop_in, etcd_env

ROOT, ETCD = "root", "etcd"


class File(NamedTuple):
    """`owner`: a user; the group is the user's own."""

    path: str
    content: str
    mode: int = 0o644
    owner: str = ROOT


class Directory(NamedTuple):
    """As File."""

    path: str
    mode: int = 0o755
    owner: str = ROOT


def directories(bundle: Bundle, places: Places) -> list[Directory]:
    """The directories, each after the one that it is in."""
    needed = [Directory(places.etc)]
    if bundle.node:
        needed.append(Directory(places.pki))
    if bundle.etcd:
        needed += [Directory(places.etcd), Directory(places.drop_in.rpartition("/")[0])]
        needed.append(Directory(places.etcd_data, 0o700, ETCD))
    return needed


def files(bundle: Bundle, places: Places) -> list[File]:
    """All files but node.toml, which keeps what others wrote into it; keys after their certificates."""
    of_etcd = _of_etcd(bundle, bundle.etcd, places) if bundle.etcd else []
    return [*of_etcd, *(_of_node(bundle.node, places) if bundle.node else [])]


def _of_etcd(bundle: Bundle, part: EtcdPart, places: Places) -> list[File]:
    directory = places.etcd
    return [
        File(f"{directory}/ca.pem", part.ca, owner=ETCD),
        File(f"{directory}/server.key", part.server.key, 0o600, ETCD),
        File(f"{directory}/server.pem", part.server.cert, owner=ETCD),
        File(f"{directory}/peer.key", part.peer.key, 0o600, ETCD),
        File(f"{directory}/peer.pem", part.peer.cert, owner=ETCD),
        File(places.etcd_env, etcd_env(bundle, part, places)),
        File(places.drop_in, drop_in(places)),
    ]


def _of_node(part: NodePart, places: Places) -> list[File]:
    wanted = [File(f"{places.pki}/ca.pem", part.ca)] if part.ca else []
    if part.client:
        wanted.append(File(f"{places.pki}/client.key", part.client.key, 0o600))
        wanted.append(File(f"{places.pki}/client.pem", part.client.cert))
    if part.admin:
        wanted.append(File(f"{places.pki}/admin.key", part.admin.key, 0o600))
        wanted.append(File(f"{places.pki}/admin.pem", part.admin.cert, 0o600))
    return [*wanted, File(places.cluster_key, part.cluster_key, 0o600)]
