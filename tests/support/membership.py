"""A cluster of machines on loopback to which machines come and from which they go. Their etcds are real; in the place
of a daemon each has a session in etcd while its unit `hactl` runs. What the operator is told to type is typed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

import pytest

from election.keys import Keys
from election.records import FenceRecord, Member, Session
from election.store import Delete, Put, Txn
from hactl.admin.fencing import confirm
from hactl.admin.nodes import standby
from hactl.admin.transaction import TIMEOUT_S
from hactl.config.etcd_access import open_etcd
from hactl.config.node import NodeConfig, load_node
from hactl.setup.begin import prepare
from hactl.setup.first import set_up
from hactl.setup.join import join, read_bundle
from hactl.setup.membership import carry_out as room
from hactl.setup.membership import planning
from hactl.setup.membership.quorum import Members
from hactl.setup.membership.reach import Reach
from hactl.setup.membership.sight import Known, members, read_cluster
from hactl.setup.membership.steps import Facts
from hactl.setup.plan import Host, OwnEtcd, Plan, make_plan
from tests.support.setup_machines import LoopbackMachine, new_network

WAIT_S = 120.0
LEASE_MS = 3750
Planned = Callable[[Plan, Host | None, float], Plan]


class NodeMachine(LoopbackMachine):
    """A machine whose unit `hactl` is a session in etcd, once `in_cluster`: before that there is no majority."""

    in_cluster = False

    def config(self) -> NodeConfig:
        """By its node.toml."""
        return load_node(Path(self.places.node_toml))

    def start(self, unit: str) -> None:
        super().start(unit)
        if unit == "hactl" and self.in_cluster:
            self.open_session()

    def stop(self, unit: str) -> None:
        if unit == "hactl" and self.states["hactl"].active:
            self.close_session("safe")
        super().stop(unit)

    def open_session(self) -> None:
        """As a daemon does."""
        config, machine_id = self.config(), Path(self.places.root, "etc/machine-id").read_text().strip()
        keys = Keys.of(config.cluster)
        session = Session(f"s-{machine_id[:8]}-{time.monotonic_ns()}", machine_id, "boot", LEASE_MS, 1)
        member = Member(config.node, self.address, "0.1.0", 1)
        writes = (Put(keys.node(config.node), session.to_json()), Put(keys.member(config.node), member.to_json()))
        with closing(open_etcd(config)) as store:
            store.txn(Txn((), writes), timeout_s=TIMEOUT_S)

    def close_session(self, state: Literal["safe", "pending"], by: NodeMachine | None = None) -> None:
        """As a daemon does that ends in order; `pending`: as a peer does when it was silent for too long."""
        config, other = self.config(), (by or self).config()
        keys = Keys.of(config.cluster)
        with closing(open_etcd(other)) as store:
            kv, _ = store.get(keys.node(config.node), timeout_s=TIMEOUT_S)
            assert kv is not None
            old = Session.from_json(kv.value, kv.key)
            record = FenceRecord(
                session_id=old.session_id,
                session_revision=kv.create_revision,
                deposed_revision=kv.mod_revision,
                lease_ms=LEASE_MS,
                machine_id=old.machine_id,
                boot_id=old.boot_id,
                state=state,
                evidence="self-stop" if state == "safe" else "",
            )
            writes = (Delete(keys.node(config.node)), Put(keys.fence(config.node), record.to_json()))
            store.txn(Txn((), writes), timeout_s=TIMEOUT_S)


class CommandEndedError(Exception):
    """The command was ended."""


class Cluster:
    """`said`: on n1, since the last command began."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.net = directory, new_network()
        self.of: dict[str, NodeMachine] = {}
        self.said: list[str] = []
        self.types = True

    def host(self, name: str) -> Host:
        """Name and address of a machine."""
        return Host(name, self.of[name].address)

    def new(self, name: str, number: int) -> NodeMachine:
        """An empty machine; the one that had this name is off."""
        if name in self.of:
            self.of[name].stop_etcd()
        root = self.directory / name
        shutil.rmtree(root, ignore_errors=True)
        self.of[name] = machine = NodeMachine(root, f"{self.net}.{number}")
        machine.in_cluster = True
        return machine

    def set_up(self, *names: str, witness: str = "", etcd: OwnEtcd | None = None) -> None:
        """`hactl setup` on n1, and `hactl setup join` on the others. `etcd`: one that is there."""
        for number, name in enumerate([*names, witness] if witness else names, 11):
            self.new(name, number).in_cluster = False
        texts = [self.host(name).text for name in names]
        third = self.host(witness).text if witness else ""
        plan = make_plan("prod", texts, token="token", witness=third, etcd=etcd, even=etcd is None)
        n1 = self.of["n1"]
        prepare(plan, n1.places, n1, lambda _: None)
        for name in [name for name in self.of if name != "n1"]:
            self.join(name)
        set_up(plan, n1.places, n1, self.said.append, by="root@n1", ssh_user="", deadline=time.monotonic() + WAIT_S)
        for name in names:
            self.of[name].in_cluster = True
            self.of[name].open_session()

    def join(self, name: str) -> None:
        """`hactl setup join FILE` there."""
        machine = self.of[name]
        join(read_bundle(self.of["n1"].places.bundle(name)), machine.places, machine, lambda _: None)

    def power_cut(self, name: str) -> None:
        """It is off, and its peers have seen that."""
        self.of[name].stop_etcd()
        self.of[name].close_session("pending", by=self.of["n1"])

    # What is so

    @property
    def plan(self) -> Plan:
        """As it is kept."""
        return room.plan_here(self.of["n1"].places, self.of["n1"])

    def etcd(self) -> Members:
        """etcd's members."""
        return members(self.plan, self.of["n1"].config())

    def known(self) -> Known:
        """The cluster, as etcd has it."""
        with closing(open_etcd(self.of["n1"].config())) as store:
            return read_cluster(store, "prod")

    def yaml(self) -> str:
        """cluster.yaml."""
        return Path(self.of["n1"].places.cluster_yaml).read_text()

    # `hactl node …` on n1

    def add(self, text: str, *, member: bool | None = None, steps: int = 0) -> Plan:
        """`steps`: of this and the next ones: after how many it is interrupted; 0: not at all."""
        return self._change(lambda plan, _, now: planning.added(plan, text, member=member, now=now), steps)

    def remove(self, name: str, *, dead: bool = False, steps: int = 0) -> Plan:
        """`dead`: the operator's word."""
        return self._change(lambda plan, here, now: planning.removed(plan, name, here, now=now), steps, dead)

    def replace(self, text: str, *, dead: bool = False, steps: int = 0) -> Plan:
        """As `remove`."""
        return self._change(lambda plan, here, now: planning.replaced(plan, text, here, now=now), steps, dead)

    def rename(self, old: str, new: str, *, steps: int = 0) -> Plan:
        """As `add`."""
        return self._change(lambda plan, _, now: planning.renamed(plan, old, new, now=now), steps)

    def _change(self, planned: Planned, steps: int, dead: bool = False) -> Plan:
        n1 = self.of["n1"]
        places, before = n1.places, self.plan
        self.said.clear()
        with room.alone(places), interrupted_after(steps):
            plan = planned(before, room.machine_here(before, n1), n1.now())
            reach = Reach(room.machine_here(plan, n1), "", places, n1, self._say)
            operator = room.Operator(self._standby, self._confirm if dead else self._refuse)
            run = room.Run(reach, operator, "root@n1", time.monotonic() + WAIT_S)
            return room.carry_out(room.begin(before, plan, run), run)

    def _standby(self, node: str) -> None:
        with closing(open_etcd(self.of["n1"].config())) as store:
            view, spec = read_cluster(store, "prod")
            standby(store, view, spec, node, "root@n1")

    def _confirm(self, node: str) -> None:
        with closing(open_etcd(self.of["n1"].config())) as store:
            view, spec = read_cluster(store, "prod")
            confirm(store, view, spec, node, "root@n1", 0.0)

    def _refuse(self, node: str) -> None:
        raise NotConfirmedError(node)

    def _say(self, line: str) -> None:
        """Somebody reads it, and types what it says."""
        self.said.append(line)
        words = line.split()
        if not self.types or "as root:" not in line or not line.startswith("on "):
            return
        name = words[1].rstrip(",")
        machine = self.of[name]
        if "join" in words:
            file = words[-1].removesuffix(".join")
            if file != name:  # it gets another name
                self.of[file] = self.of.pop(name)
            self.join(file)
        elif "purge" in words:
            machine.stop("hactl")
            machine.stop_etcd()
        else:
            machine.stop("hactl")


class NotConfirmedError(Exception):
    """Nobody has given the word that a machine is off."""


@contextmanager
def interrupted_after(steps: int) -> Iterator[None]:
    """The command ends after so many steps, as by a signal."""
    looked = 0
    real = room.look

    def look(plan: Plan, places: object) -> Facts:
        nonlocal looked
        if steps and looked > steps:
            raise CommandEndedError
        looked += 1
        return real(plan, places)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "look", look)
        yield


@contextmanager
def cluster(directory: Path, *names: str, witness: str = "", etcd: OwnEtcd | None = None) -> Iterator[Cluster]:
    """One that is set up."""
    made = Cluster(directory)
    try:
        made.set_up(*names, witness=witness, etcd=etcd)
        yield made
    finally:
        for machine in made.of.values():
            machine.stop_etcd()
