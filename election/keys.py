"""The key layout in etcd (docs/protocol.md, *Keys in etcd*).

Below `/hactl/<cluster>/` are the records that decisions rest on: every daemon lists and watches all of them. Below
`/hactl-history/<cluster>/` is the history for people, which is larger and grows. Below `/hactl-health/<cluster>/` are
records that change often; a reader asks for them when it needs them.
"""

from __future__ import annotations

from typing import NamedTuple


class Keys(NamedTuple):
    """Builds the keys of one cluster and takes them apart again."""

    prefix: str

    @staticmethod
    def of(cluster: str) -> Keys:
        """The keys of the cluster of this name."""
        return Keys(f"/hactl/{cluster}/")

    @property
    def history(self) -> str:
        """The prefix of the records for people: outside `prefix`, so that no list or watch of that holds it."""
        return "/hactl-history/" + self.prefix.removeprefix("/hactl/")

    @property
    def identity(self) -> str:
        """The uuid and generation of this store's history."""
        return self.prefix + "identity"

    @property
    def config(self) -> str:
        """The cluster's configuration in use."""
        return self.prefix + "config"

    def node(self, node: str) -> str:
        """The session of a node."""
        return f"{self.prefix}nodes/{node}"

    def fence(self, node: str) -> str:
        """The fence record of a node's last dead session."""
        return f"{self.prefix}fence/{node}"

    def group(self, group: str) -> str:
        """The ownership of a group."""
        return f"{self.prefix}groups/{group}"

    def member(self, node: str) -> str:
        """A node's addresses, version, abilities and the configuration it uses."""
        return f"{self.prefix}members/{node}"

    def report(self, node: str) -> str:
        """Phase and health of each resource on a node."""
        return f"{self.prefix}reports/{node}"

    def refused(self, node: str) -> str:
        """Why a machine of this name takes no part."""
        return f"{self.prefix}refused/{node}"

    def probe(self, group: str) -> str:
        """Asks every live member whether a group without an ownership record runs there."""
        return f"{self.prefix}probes/{group}"

    def failure(self, group: str, node: str) -> str:
        """The failures of a group on a node."""
        return f"{self.prefix}failures/{group}/{node}"

    def flapping(self, group: str) -> str:
        """The moves of a group that its failures caused, and whether it is held."""
        return f"{self.prefix}flapping/{group}"

    def blocked(self, group: str) -> str:
        """Present while nobody may start the group: a node took itself down for it."""
        return f"{self.prefix}blocked/{group}"

    def cleanup(self, group: str) -> str:
        """The operator's last word that what failed of a group is repaired."""
        return f"{self.prefix}intents/cleanup/{group}"

    def confirm(self, node: str) -> str:
        """The operator's word that a node's dead session runs nothing, given while a device is being used on it."""
        return f"{self.prefix}intents/confirm/{node}"

    def move(self, group: str) -> str:
        """The operator's request for one move of a group."""
        return f"{self.prefix}intents/move/{group}"

    def devices(self, node: str) -> str:
        """How a node finds the fence devices."""
        return f"{self.prefix}devices/{node}"

    @property
    def fence_test(self) -> str:
        """The operator's request to test all fence devices."""
        return self.prefix + "intents/fence-test"

    def standby(self, node: str) -> str:
        """Present while the node is in standby."""
        return f"{self.prefix}intents/standby/{node}"

    def drain(self, service: str, node: str) -> str:
        """Present while a node's servers of a service get no new connections; `*`: of every service."""
        return f"{self.prefix}intents/drain/{service}/{node}"

    def maintenance(self, group: str) -> str:
        """Present while the operator wants the group left alone; `*`: all of them, and every node."""
        return f"{self.prefix}intents/maintenance/{group}"

    def node_maintenance(self, node: str) -> str:
        """Present while the operator wants the node left alone, with all that it has."""
        return f"{self.prefix}intents/node-maintenance/{node}"

    def stopped(self, group: str) -> str:
        """Present while the operator wants the group to run nowhere."""
        return f"{self.prefix}intents/stopped/{group}"

    def restart(self, group: str) -> str:
        """The operator's request for one restart of a group where it is."""
        return f"{self.prefix}intents/restart/{group}"

    def scheduled(self, group: str) -> str:
        """The operator's request for one move of a group at a certain time."""
        return f"{self.prefix}intents/scheduled/{group}"

    def ban(self, group: str, node: str) -> str:
        """Present while the operator wants the group kept off the node."""
        return f"{self.prefix}intents/ban/{group}/{node}"

    def config_history(self, serial: int) -> str:
        """An earlier configuration."""
        return f"{self.history}config/{serial:08d}"

    def event(self, stamp: str) -> str:
        """An entry of the bounded history; `stamp` tells it from others."""
        return f"{self.history}events/{stamp}"

    def health(self, node: str) -> str:
        """The view that a node's HAProxy has of its servers."""
        return f"/hactl-health/{self.prefix.removeprefix('/hactl/')}{node}"

    def kind_of(self, key: str) -> tuple[str, str]:
        """Kind and name of a key below the prefix: `('nodes', 'n1')`, `('intents/move', 'web')`, `('identity', '')`. An
        empty name after a slash is `/`."""
        kind, slash, name = key[len(self.prefix) :].partition("/")
        if kind == "intents":
            request, slash, name = name.partition("/")
            kind = f"intents/{request}"
        return kind, name or slash

    def of_kind(self, kind: str, name: str) -> str:
        """The key that `kind_of` takes apart."""
        return self.prefix + (f"{kind}/{name}" if name else kind)

    def split(self, key: str) -> tuple[str, ...]:
        """The parts of a key below the prefix: `('nodes', 'n1')`."""
        return tuple(key[len(self.prefix) :].split("/"))
