"""Where the files of hactl and of its etcd are on a machine. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Places:
    """`root`: the directory that all others are below; another one than `/` for tests."""

    root: str = "/"

    def at(self, path: str) -> str:
        """A path on this machine."""
        return f"{self.root.rstrip('/')}{path}"

    @property
    def etc(self) -> str:
        """hactl's settings."""
        return self.at("/etc/hactl")

    @property
    def node_toml(self) -> str:
        """This node's settings."""
        return f"{self.etc}/node.toml"

    @property
    def cluster_yaml(self) -> str:
        """The configuration, where setup ran."""
        return f"{self.etc}/cluster.yaml"

    @property
    def cluster_key(self) -> str:
        """The cluster's key."""
        return f"{self.etc}/cluster.key"

    @property
    def pki(self) -> str:
        """How this machine reaches etcd: ca.pem, client.pem, client.key, admin.pem, admin.key."""
        return f"{self.etc}/pki"

    @property
    def etcd(self) -> str:
        """etcd's own certificates: ca.pem, server.pem, server.key, peer.pem, peer.key."""
        return f"{self.etc}/etcd"

    @property
    def etcd_env(self) -> str:
        """etcd's settings."""
        return f"{self.etc}/etcd.env"

    @property
    def drop_in(self) -> str:
        """What is added to etcd's unit."""
        return self.at("/etc/systemd/system/etcd.service.d/hactl.conf")

    @property
    def etcd_data(self) -> str:
        """The data of the member that setup makes."""
        return self.at("/var/lib/etcd/hactl")

    @property
    def packaged_data(self) -> str:
        """The data of the member that Debian's package makes."""
        return self.at("/var/lib/etcd/default")

    @property
    def authority(self) -> str:
        """The authority, the plan and the bundles; only where setup ran."""
        return f"{self.etc}/ca"

    @property
    def plan(self) -> str:
        """The plan."""
        return f"{self.authority}/setup.json"

    def bundle(self, node: str) -> str:
        """The bundle of a machine."""
        return f"{self.authority}/join/{node}.join"
