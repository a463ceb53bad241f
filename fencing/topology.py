"""How the nodes of a cluster can be switched off: devices, and for each node the levels of them (docs/protocol.md,
*Fencing*). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

PowerAction = Literal["off", "on", "status"]


@dataclass(frozen=True, slots=True)
class SecretFile:
    """An option's value that is kept in a file on every node that may use the device, never in etcd."""

    path: str


@dataclass(frozen=True, slots=True)
class Device:
    """A fence device: an agent with the options that reach it.

    `agent` is the program's name or path. `timeout_ms` is how long `off` or `on` may take, the agent's own wait
    for the power to change included; `status_timeout_ms` the same for `status`. An action that runs into it has failed.
    `unfence`: a node has to switch itself on by it each time before it takes part (storage that a fenced node was
    cut off from, say).
    """

    name: str
    agent: str
    options: Mapping[str, str | SecretFile] = field(default_factory=dict)
    timeout_ms: float = 60_000.0
    status_timeout_ms: float = 20_000.0
    unfence: bool = False

    def limit_ms(self, action: PowerAction) -> float:
        """How long the action may take."""
        return self.status_timeout_ms if action == "status" else self.timeout_ms


@dataclass(frozen=True, slots=True)
class Target:
    """The part of a device that switches a node: a plug. Empty: the device has none, it switches this node alone."""

    device: str
    plug: str = ""

    @property
    def words(self) -> str:
        """For people: `pdu-a 3`."""
        return f"{self.device} {self.plug}".strip()


@dataclass(frozen=True, slots=True)
class Level:
    """The targets that must be off, all of them, for the node to be off. `watchdog`: instead, the time in which the
    node's own watchdog has reset it for certain."""

    targets: tuple[Target, ...] = ()
    watchdog: bool = False

    @property
    def words(self) -> str:
        """For people: `pdu-a 3 + pdu-b 3`."""
        return "watchdog" if self.watchdog else " + ".join(target.words for target in self.targets)


@dataclass(frozen=True, slots=True)
class NodeFencing:
    """How one node is fenced: its levels, tried in order, again and again.

    `action`: whether it is switched on again once it is known to be off. `delay_ms`: a wait before the first
    action, and `random_delay_ms`: up to that much more, drawn anew for each job.
    """

    levels: tuple[Level, ...] = ()
    action: Literal["off", "reboot"] = "reboot"
    delay_ms: float = 0.0
    random_delay_ms: float = 0.0

    @property
    def has_device(self) -> bool:
        """Whether anything but its own watchdog can switch it off."""
        return any(level.targets for level in self.levels)

    @property
    def has_watchdog(self) -> bool:
        """Whether its watchdog's time counts as evidence."""
        return any(level.watchdog for level in self.levels)


_NONE = NodeFencing()


@dataclass(frozen=True, slots=True)
class Topology:
    """All devices, and how each node is fenced by them. `test_interval_ms`: how often every node looks whether it
    reaches them."""

    devices: Mapping[str, Device] = field(default_factory=dict)
    nodes: Mapping[str, NodeFencing] = field(default_factory=dict)
    test_interval_ms: float = 600_000.0

    def of(self, node: str) -> NodeFencing:
        """How `node` is fenced; no levels where nothing is configured."""
        return self.nodes.get(node, _NONE)
