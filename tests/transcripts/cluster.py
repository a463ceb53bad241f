"""The cluster of a transcript, as its first commands describe it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from fencing.topology import Device, Level, NodeFencing, Target, Topology
from hactl.model.cluster import ClusterSpec, GroupSpec, NodeSpec, Timing
from hactl.model.health import CheckSpec, Then
from hactl.model.placing import Placing, Relation, Requirement
from hactl.model.probes import HealthProbe, Rhythm, TcpCheck
from hactl.model.resources import Kind, PromoteOptions, PromoteSpec, ResourceSpec
from hactl.model.service import ServiceSpec
from tests.support.specs import resource_spec

NAME = "demo"
ACTION_MS, STATUS_MS = 2_000.0, 1_000.0
START_MS = 5_000.0
# Of the resources' names; all others are addresses.
_KINDS: dict[str, Kind] = {"mariadb": "systemd"}
FAILURE_EXPIRY_MS = 60_000.0
PROBE_RHYTHM = Rhythm(interval_ms=500.0, timeout_ms=200.0)


@dataclass
class Description:
    """What has been said of it so far. The timing is that of the profile `default`."""

    nodes: list[str] = field(default_factory=list)
    groups: list[GroupSpec] = field(default_factory=list)
    levels: list[Level] = field(default_factory=list)
    action: Literal["off", "reboot"] = "reboot"
    unfence: bool = False
    checks: list[CheckSpec] = field(default_factory=list)
    services: list[str] = field(default_factory=list)

    def node(self, words: str) -> None:
        """`n1, n2, n3`"""
        self.nodes = _list(words)

    def group(self, name: str, words: str) -> None:
        """`vip and mariadb; fencing required; nodes n1, n2; overlap; restarts 0; moves_limit 3; probed`; and of
        its placement `together_with db; apart_from db; after db; failback immediately; requires api`. `run all`: on
        every node; `promotes db`: with a first resource, `role`, that promotes an instance of that group."""
        resources, *clauses = [clause.strip() for clause in words.split(";")]
        options: dict[str, Any] = {}
        placing: dict[str, Any] = {}
        promoted = ""
        for clause in clauses:
            option, _, value = clause.partition(" ")
            match option:
                case "nodes":
                    options[option] = tuple(_list(value))
                case "restarts" | "moves_limit":
                    options[option] = int(value)
                case "probed":
                    options["probes"] = (HealthProbe(TcpCheck(80), PROBE_RHYTHM),)
                case "overlap":
                    options[option] = True
                case "together_with" | "apart_from" | "after":
                    placing[option] = tuple(Relation(other) for other in _list(value))
                case "promotes":
                    promoted = value
                case "requires":
                    services = _list(value)
                    self.services += [name for name in services if name not in self.services]
                    placing[option] = tuple(Requirement(name) for name in services)
                case "failback":
                    placing[option] = value
                case "fencing" | "on_stop_failure" | "run":
                    options[option] = value
                case _:
                    raise ValueError(f"a group has no {option!r}")
        limits = {"start_timeout_ms": START_MS, "stop_timeout_ms": START_MS}
        specs: tuple[ResourceSpec, ...] = tuple(
            resource_spec(text, _KINDS.get(text, "vip"), **limits) for text in _list(resources)
        )
        if promoted:
            role = PromoteSpec("role", PromoteOptions(f"{promoted}/instance"), **limits)
            specs = (role, *specs)
        self.groups.append(
            GroupSpec(name, specs, failure_expiry_ms=FAILURE_EXPIRY_MS, placing=Placing(**placing), **options)
        )

    def fencing(self, words: str) -> None:
        """`bmc, then pdu-a and pdu-b, then watchdog; action off; unfence`: of each node. A PDU has a plug for each of
        them, any other device is a node's own."""
        described, *clauses = [clause.strip() for clause in words.split(";")]
        for level in described.split(", then "):
            names = _list(level)
            if names == ["watchdog"]:
                self.levels.append(Level(watchdog=True))
                continue
            self.levels.append(Level(tuple(Target(name) for name in names)))
        self.unfence = "unfence" in clauses
        self.action = "off" if "action off" in clauses else "reboot"

    def check(self, name: str, then: Then) -> None:
        """A health check of every node; what it looks at is the transcript's."""
        self.checks.append(CheckSpec(name, command=("simulated",), then=then))

    def spec(self) -> ClusterSpec:
        """The configuration."""
        devices, nodes = {}, {}
        for node in self.nodes:
            levels = [
                Level(tuple(_of(target, node) for target in level.targets), level.watchdog) for level in self.levels
            ]
            nodes[node] = NodeFencing(tuple(levels), self.action)
            for target in (target for level in levels for target in level.targets):
                name = target.device
                devices[name] = Device(name, "simulated", {}, ACTION_MS, STATUS_MS, self.unfence)
        return ClusterSpec(
            NAME,
            tuple(NodeSpec(name, f"10.0.0.1{number}") for number, name in enumerate(self.nodes, 1)),
            tuple(self.groups),
            tuple(ServiceSpec(name, (), 5000) for name in self.services),
            timing=Timing(),
            fencing=Topology(devices, nodes),
            health=tuple(self.checks),
        )


def _list(words: str) -> list[str]:
    return [word for word in re.split(r", | and ", words.strip()) if word]


def _of(target: Target, node: str) -> Target:
    return Target(target.device, node) if target.device.startswith("pdu") else Target(f"{target.device}-{node}")
