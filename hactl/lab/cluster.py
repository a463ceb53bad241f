"""The lab as a whole, for tests, demo and benchmarks: bring it up, inject faults, take it down.

with Lab(LabSpec(name="demo", profile="fast")) as lab:
    with lab.watch() as watcher, lab.probe(f"{VIP}:8080") as probe:
        lab.kill("n1")
        ...
    probe.result.outage_ms, watcher.overlaps(VIP)
"""

from __future__ import annotations

import dataclasses
import functools
import http.client
import json
import socket
import sys
from pathlib import Path
from typing import Any, Self

from hactl.lab import cleanup, disk, etcd, faults, files, netns, network, spawn
from hactl.lab.cgroup import Cgroup, base
from hactl.lab.client import Probe
from hactl.lab.node import Node
from hactl.lab.power import Power
from hactl.lab.spec import BACKEND_PORTS, CLIENT, SWITCH, LabSpec, check_free, claim, load
from hactl.lab.switch import Faults
from hactl.lab.system import LabError, run, wait_until
from hactl.lab.watcher import AddressWatcher

ETCD_DEADLINE_S = 30.0


class Lab:
    """A cluster on this machine. Entering the context brings it up, leaving it takes it down for certain."""

    def __init__(self, spec: LabSpec) -> None:
        self.spec = spec
        self._keep_files = False
        self._watchers: list[AddressWatcher] = []

    @classmethod
    def open(cls, name: str) -> Self:
        """The lab of this name that is up already."""
        return cls(load(name))

    # Life

    def up(self) -> Self:
        """Bring all of it up; when that fails, take its parts down again. Raises LabError, with the end of the logs."""
        check_free(self.spec)
        try:
            self.spec = claim(self.spec)
            self.spec = dataclasses.replace(self.spec, cgroup=str(base() / self.spec.name))
            self.spec.save()
            self._build()
        except LabError as error:
            words = cleanup.last_words(self.spec.path / "logs") if self.spec.directory else ""
            self.down()
            raise LabError(f"{error}\n{words}".rstrip()) from error
        except BaseException:
            self.down()
            raise
        return self

    def down(self) -> None:
        """Remove all of it."""
        for watcher in self._watchers:
            watcher.stop()
        self._watchers.clear()
        cleanup.remove(self.spec.name, keep_files=self._keep_files)

    def _build(self) -> None:
        files.write_cluster(self.spec)
        disk.create(self.spec)
        network.create_bridge(self.spec)
        network.attach(self.spec, self.spec.client)
        self.client_group.create()
        self._start_switch()
        for node in self.nodes.values():
            files.write_node(self.spec, node.station)
            node.power_on()
            node.start_etcd()
            node.start_backends()
        self.await_etcd()
        self.await_backends()
        self._await_switch()
        if not self.spec.daemon:
            return
        first = next(iter(self.nodes.values()))
        for template in self.spec.init:
            first.call(*first.command(template))
        for node in self.nodes.values():
            node.start_daemon()

    # Parts

    @property
    def nodes(self) -> dict[str, Node]:
        """The nodes by name."""
        return {station.name: Node(self.spec, station) for station in self.spec.stations}

    def node(self, name: str) -> Node:
        """The node of this name."""
        try:
            return self.nodes[name]
        except KeyError as error:
            raise LabError(f"no node {name!r}: one of {', '.join(self.nodes)}") from error

    def power(self, name: str) -> Power:
        """A node's power."""
        return Power(self.spec, self.node(name))

    @property
    def switch_faults(self) -> Faults:
        """The faults of the power switch."""
        return Faults(self.spec)

    def client(self, *argv: str, timeout_s: float = 30.0) -> str:
        """Run a command in the client's namespace and return its output."""
        return run(spawn.attached(self.spec.namespace(CLIENT), self.client_group, argv), timeout_s=timeout_s)

    def probe(self, target: str, **options: Any) -> Probe:
        """A client that asks ADDRESS:PORT all the time: see Probe for the options. Start it, or enter it."""
        return Probe(self.spec, target, **options)

    def watch(self) -> AddressWatcher:
        """A watcher of all nodes' addresses, which is told of power cuts. Start it, or enter it."""
        watcher = AddressWatcher(self.spec)
        self._watchers.append(watcher)
        return watcher

    # Faults

    def kill(self, name: str) -> float:
        """Pull a node's power cord. Returns the moment (CLOCK_BOOTTIME, ms) after which nothing of it acted."""
        return self.power(name).pull()

    def start(self, name: str) -> None:
        """Power it on again, everything that was off being switched on: etcd on its old data, the services, the
        daemon."""
        self.power(name).restore()

    def partition(self, name: str, other: str, direction: faults.Direction = "both") -> list[str]:
        """Part a node from another, `peers`, `client`, `all` or `etcd`: see faults.plan. Adds to the cuts.
        Returns all cuts, in words."""
        faults.apply(self.spec, faults.plan(self.spec, name, other, direction))
        return faults.in_force(self.spec)

    def heal(self) -> None:
        """End every partition."""
        faults.heal(self.spec)

    # etcd

    def await_etcd(self, deadline_s: float = ETCD_DEADLINE_S) -> str:
        """Wait until the members of all nodes with power agree on a leader; returns the leader's node."""
        powered = [node.name for node in self._powered]
        goal = f"etcd on {', '.join(powered)} has a leader"
        wait_until(lambda: etcd.healthy(self.spec, powered), deadline_s=deadline_s, goal=goal, every_s=0.05)
        return wait_until(self.etcd_leader, deadline_s=deadline_s, goal=goal)

    def etcd_leader(self) -> str | None:
        """The node whose member leads; None: there is no leader."""
        return etcd.leader(self.spec)

    def move_etcd_leader(self, name: str, deadline_s: float = 15.0) -> None:
        """Have this node's member lead."""

        def moved() -> bool:
            return etcd.move_leader(self.spec, name) and self.etcd_leader() == name

        wait_until(moved, deadline_s=deadline_s, goal=f"etcd's leader moves to {name}")

    def stop_etcd(self) -> None:
        """SIGKILL to every member."""
        for node in self._powered:
            node.stop_etcd()

    def start_etcd(self) -> None:
        """Start every member again on its data, and wait for a leader."""
        for node in self._powered:
            node.start_etcd()
        self.await_etcd()

    def freeze_etcd(self, frozen: bool = True) -> None:
        """Freeze every member, or let them go on."""
        for node in self._powered:
            node.freeze_etcd(frozen)

    # Others

    def await_backends(self, deadline_s: float = 15.0) -> None:
        """Wait until both APIs answer on every node."""
        for node in self.nodes.values():
            for port in BACKEND_PORTS.values():
                target = f"{node.address}:{port}"
                query = functools.partial(self.ask, target)
                wait_until(query, deadline_s=deadline_s, goal=f"{target} answers")

    def ask(self, target: str, timeout_s: float = 1.0) -> str:
        """One request from the client: the node that answered, or "" for none."""

        def request() -> str:
            connection = http.client.HTTPConnection(target, timeout=timeout_s)
            try:
                connection.request("GET", "/")
                response = connection.getresponse()
                return str(json.loads(response.read())["node"]) if response.status == 200 else ""
            except (OSError, ValueError, KeyError, http.client.HTTPException):
                return ""
            finally:
                connection.close()

        return netns.inside(self.spec.namespace(CLIENT), request)

    def _start_switch(self) -> None:
        if self.spec.fencing:
            files.write_switch(self.spec)
            network.attach(self.spec, self.spec.switch)
            namespace, group = self.spec.namespace(SWITCH), Cgroup(Path(self.spec.cgroup)).child(SWITCH)
            logs = self.spec.path / "logs"
            logs.mkdir()
            argv = [sys.executable, "-I", "-m", "hactl.lab.switch", self.spec.name]
            spawn.detached(namespace, group, logs / "switch.log", argv)

    def _await_switch(self, deadline_s: float = 15.0) -> None:
        def listens() -> bool:
            try:
                for port in self.spec.units.values():
                    socket.create_connection((self.spec.switch.address, port), timeout=1.0).close()
            except OSError:
                return False
            return True

        if self.spec.fencing:
            inside = functools.partial(netns.inside, self.spec.namespace(SWITCH), listens)
            wait_until(inside, deadline_s=deadline_s, goal="the power switch listens")

    @property
    def _powered(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.powered]

    @property
    def client_group(self) -> Cgroup:
        return Cgroup(Path(self.spec.cgroup)).child(CLIENT)

    def __enter__(self) -> Self:
        return self.up()

    def __exit__(self, *_: object) -> None:
        self.down()
