"""A cluster as the store has it, written by a test in the daemons' place."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from election.clock import Instant
from election.keys import Keys
from election.memory_store import MemoryStore
from election.records import FenceRecord, Holder, Member, Move, Ownership, Record, Report, Session
from election.store import Delete, Put, Store, Txn, TxnResult
from election.view import View
from hactl.admin import health_store, identity
from hactl.admin.config import first_document
from hactl.config.load import check_text
from hactl.model.cluster import ClusterSpec
from hactl.status.health import NodeHealth, ServerHealth, encode
from hactl.status.services import servers_of

KEYS = Keys.of("demo")
# The state_dir of a node that was in no cluster.
NO_STATE = "/nonexistent"
LEASE_MS = 3750

CLUSTER = """\
cluster: demo
nodes:
  - {name: n1, address: 10.0.0.11}
  - {name: n2, address: 10.0.0.12}
  - {name: n3, address: 10.0.0.13}
groups:
  - name: vip
    overlap: true
    resources:
      - name: address
        vip: {address: 10.0.0.30/24, interface: eth0}
  - name: database
    nodes: [n1, n2]
    fencing: required
    resources:
      - name: db-address
        vip: {address: 10.0.0.31/24, interface: eth0}
      - name: mariadb
        exec: {command: [/bin/sleep, infinity]}
services:
  - name: api
    binds: ["10.0.0.30:5000"]
    port: 5000
    mode: http
"""


@functools.cache
def spec(text: str = CLUSTER) -> ClusterSpec:
    """The cluster of the file above, or of another."""
    return check_text(text, "cluster.yaml").spec


def fenced(*devices: str, levels: str = "[{devices: [{device: switch, plug: %s}]}]") -> str:
    """The cluster of the file above, with devices; `levels` of each node, its name for `%s`."""
    text = CLUSTER.replace("groups:", f"fencing: {{devices: [{', '.join(devices)}]}}\ngroups:")
    for name in ("n1", "n2", "n3"):
        fencing = f", fencing: {{levels: {levels.replace('%s', name)}}}}}"
        text = re.sub(rf"(name: {name}, address: [0-9.]+)}}", rf"\1{fencing}", text)
    return text


def at(ms: float) -> Instant:
    """An instant on both clocks."""
    return Instant(ms, ms)


class Scene:
    """Writes the keys that daemons would write. `view` is read anew at each access."""

    def __init__(self, store: Store | None = None, cluster: str = CLUSTER) -> None:
        self.store: Store = store or MemoryStore()
        self.spec = spec(cluster)
        identity.init(self.store, "demo", first_document(self.spec, by="test"), NO_STATE)

    @property
    def view(self) -> View:
        view = View(KEYS)
        view.load(self.store.snapshot(KEYS.prefix, timeout_s=5))
        return view

    def put(self, key: str, record: Record | str) -> int:
        value = record if isinstance(record, str) else record.to_json()
        return self.txn(Put(key, value)).revision

    def delete(self, key: str) -> None:
        self.txn(Delete(key))

    def txn(self, *writes: Put | Delete) -> TxnResult:
        return self.store.txn(Txn((), writes), timeout_s=5)

    def join(self, *names: str) -> None:
        """Sessions, members and reports of nodes that run nothing."""
        for name in names:
            self.put(KEYS.node(name), Session(f"s-{name}", f"machine-{name}", f"boot-{name}", LEASE_MS, 1))
            config = self.view.config
            self.put(KEYS.member(name), Member(name, "10.0.0.1", "0.1.0", config.mod_revision if config else 0))
            self.report(name, {})
            self.balance(name)

    def balance(self, name: str, servers: Mapping[str, ServerHealth] | None = None, **more: Any) -> None:
        """Write the node's HAProxy's view of the servers, of each in all services: `servers`; the others are up."""
        known = servers or {}
        services = {
            service.name: {
                server.name: known.get(server.name, ServerHealth()) for server in servers_of(service, self.spec)
            }
            for service in self.spec.services
        }
        told = NodeHealth(name, f"s-{name}", "", "2.6", True, "", services)
        self.put(KEYS.health(name), encode(replace(told, **more)))

    @property
    def health(self) -> dict[str, NodeHealth]:
        return health_store.read(self.store, KEYS)

    def report(self, name: str, groups: dict[str, dict[str, Any]]) -> None:
        self.txn(self._report(name, groups))

    def _report(self, name: str, groups: dict[str, dict[str, Any]]) -> Put:
        config = self.view.config
        return Put(KEYS.report(name), Report(f"s-{name}", config.mod_revision if config else 0, groups).to_json())

    def holder(self, name: str) -> Holder:
        session = self.view.sessions[name]
        return Holder(name, session.record.session_id, session.create_revision)

    def own(self, group: str, name: str, *, epoch: int = 7, phase: str = "running", **more: Any) -> None:
        """The node owns the group and reports it, in one transaction."""
        holder = self.holder(name)
        state = more.pop("state", "owned")
        ownership = Ownership(name, holder.session_id, holder.session_revision, epoch, state, **more)
        wanted = self.spec.group(group)
        assert wanted is not None
        health = {resource.name: phase for resource in wanted.resources}
        report = self._report(name, {group: {"phase": phase, "epoch": epoch, "resources": health}})
        self.txn(Put(KEYS.group(group), ownership.to_json()), report)

    def kill(self, name: str, *, state: str = "pending", lease_ms: int = LEASE_MS, **more: Any) -> None:
        """The node is deposed."""
        session = self.view.sessions[name]
        record = FenceRecord(
            session.record.session_id,
            session.create_revision,
            session.mod_revision,
            lease_ms,
            "m",
            "b",
            "pending",
            by="n2",
            **more,
        )
        record = replace(record, state=state)  # type: ignore[arg-type]
        self.txn(Delete(KEYS.node(name)), Put(KEYS.fence(name), record.to_json()))

    def move(self, group: str) -> Move | None:
        intent = self.view.moves.get(group)
        return intent.record if intent else None
