"""Simulated fence devices: they switch nodes, and they fail, hang, lie and are late."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fencing.topology import Device, Level, NodeFencing, Target, Topology
from hactl.model import effects, events

if TYPE_CHECKING:
    import random

    from tests.simulation.node import Daemon, SimNode
    from tests.simulation.world import World

TIMEOUT_MS = 1500.0
STATUS_TIMEOUT_MS = 600.0


def make_topology(rng: random.Random, names: list[str], watchdogs: bool, devices: bool) -> Topology:
    """A management controller in each node, at some nodes two power supplies behind it."""
    nodes, known = {}, {}
    for name in names:
        levels = []
        if devices:
            levels.append(Level((Target(f"bmc-{name}"),)))
            if rng.random() < 0.4:
                levels.insert(rng.choice([0, 1]), Level((Target("pdu-a", name), Target("pdu-b", name))))
        if watchdogs:
            levels.append(Level(watchdog=True))
        for target in (each for level in levels for each in level.targets):
            unfence = target.device.startswith("bmc") and rng.random() < 0.15
            known[target.device] = Device(target.device, "simulated", {}, TIMEOUT_MS, STATUS_TIMEOUT_MS, unfence)
        delay = rng.choice([0.0, 0.0, 400.0])
        nodes[name] = NodeFencing(tuple(levels), "reboot" if rng.random() < 0.8 else "off", delay, delay)
    return Topology(known, nodes)


class Devices:
    """All devices of the world, with what is switched off by them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.off: set[tuple[str, str]] = set()
        self.modes: dict[str, tuple[str, float]] = {}
        self.under_way: dict[str, list[list[bool]]] = {}

    def keep_off(self, name: str) -> bool:
        """Whether the node is held off: by its controller, or by both its supplies."""
        return ("bmc", name) in self.off or {("pdu-a", name), ("pdu-b", name)} <= self.off

    def forget(self) -> None:
        """Somebody goes there and switches everything on."""
        self.off.clear()
        self.modes.clear()

    def switch_on(self, name: str) -> None:
        """Somebody switches the node on, at whatever it was switched off."""
        self.off = {supply for supply in self.off if supply[1] != name}
        self.world.nodes[name].power_on()

    def disturb(self, name: str, mode: str, length: float) -> None:
        """For a while a device, or whatever is to switch a node, misbehaves."""
        self.modes[name] = (mode, self.world.now + length)

    def perform(self, node: SimNode, daemon: Daemon, act: effects.FenceAct) -> list[bool]:
        """An agent on `node` carries out `act`. What is not over at its deadline is killed. Whether it is alive."""
        world, rng = self.world, self.world.rng
        if act.until is not None:
            clock = node.clock()
            if min(act.until.boot - clock.boot, act.until.raw - clock.raw) < act.timeout_ms:
                node.deliver(daemon, events.FenceActed(act.id, False, "unknown", "too late to begin"))
                return [False]
        mode, until = self.modes.get(act.target.device) or self.modes.get(act.node, ("", 0.0))
        mode = "deaf" if node.fence_agents.deaf_until > world.now else mode if until > world.now else ""
        alive = [True]
        node.fence_agents.agents.append(alive)
        if act.action == "off":
            self.under_way.setdefault(act.node, []).append(alive)
        limit = act.timeout_ms * node.slowness()
        length = {"hangs": 1e9, "deaf": 1e9, "slow": limit * rng.uniform(0.5, 2.5)}.get(mode, rng.uniform(20.0, 300.0))
        hits = {"fails": rng.random() < 0.3, "hangs": rng.random() < 0.5, "lies": False, "deaf": False}.get(mode, True)
        hit_at = rng.uniform(0.0, limit if mode == "hangs" else length)

        def hit() -> None:
            if alive[0] and node.powered and not node.frozen() and hits:
                self._switch(act)

        def end(ok: bool, detail: str) -> None:
            if alive[0]:
                alive[0] = False
                power = self.power(act) if ok else "unknown"
                node.deliver(daemon, events.FenceActed(act.id, ok, power, detail))

        if hit_at < limit:
            world.after(hit_at, hit)
        if length < limit:
            world.after(length, lambda: end(mode != "fails", "" if mode != "fails" else "simulated"))
        world.after(limit, lambda: end(False, "ran into its deadline"))
        return alive

    def may_hit(self, name: str) -> bool:
        """Whether an action that switches the node off is under way."""
        return any(alive[0] for alive in self.under_way.get(name, []))

    def power(self, act: effects.FenceAct) -> events.Power:
        """What the device truly says."""
        if act.target.device.startswith("pdu"):
            return "off" if (act.target.device, act.node) in self.off else "on"
        return "on" if self.world.nodes[act.node].powered else "off"

    def _switch(self, act: effects.FenceAct) -> None:
        if act.action == "status":
            return
        target = self.world.nodes[act.node]
        key = (act.target.device if act.target.device.startswith("pdu") else "bmc", act.node)
        self.world.say("%s: %s by %s", act.node, act.action, act.target.device)
        if act.action == "off":
            self.world.checks.shot(act.node)
            self.off.add(key)
            if self.keep_off(act.node) and target.powered:
                target.power_off()
        else:
            self.off.discard(key)
            if not self.keep_off(act.node):
                self.world.after(self.world.rng.uniform(1000, 3000), target.power_on)
