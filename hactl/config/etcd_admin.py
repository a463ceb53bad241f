"""How this node's operator reaches etcd: as etcd's user `root` where its certificate is here, else as the node; and
what the node knows beside etcd's own words.

The certificate of `root` is `admin.pem` beside the node's own (node.toml, `etcd_cert`), where `hactl setup` puts it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hactl.config.etcd_snapshots import snapshot_age
from hactl.config.node import NodeConfig
from hactl.model.cluster import ClusterSpec, Timing
from hactl.status.etcd.command import etcdctl_command
from hactl.status.etcd.judge import Beside
from hactl.status.etcd.strain import NO_WRITES, Writes


def admin_access(config: NodeConfig) -> NodeConfig:
    """The settings of this node with the credentials of etcd's `root`, where these are here."""
    if not config.etcd_cert:
        return config
    cert, key = (Path(config.etcd_cert).with_name(f"admin.{kind}") for kind in ("pem", "key"))
    if not (cert.exists() and key.exists()):
        return config
    return replace(config, etcd_cert=str(cert), etcd_key=str(key), etcd_user="", etcd_password_file="")


def etcdctl_of(config: NodeConfig) -> str:
    """`etcdctl` as this node's operator has to type it."""
    admin = admin_access(config)
    return etcdctl_command(
        admin.endpoints, ca=admin.etcd_ca, cert=admin.etcd_cert, key=admin.etcd_key, user=admin.etcd_user
    )


def beside(config: NodeConfig, cluster: ClusterSpec | None, writes: Writes = NO_WRITES) -> Beside:
    """What this node knows beside the answers of the endpoints. Reads files."""
    nodes = {node.name: node.address for node in cluster.nodes} if cluster else {}
    timing = cluster.timing if cluster else Timing()
    by_setup = admin_access(config) is not config
    snapshot = snapshot_age(config)
    return Beside(etcdctl_of(config), writes, nodes, timing.etcd_election_ms, {}, snapshot, by_setup)
