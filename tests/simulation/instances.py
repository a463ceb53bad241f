"""Groups that run on every node, and the promoted role of one of their instances.

The instances replicate: the promoted one writes, the others follow it if they can, and their scores are how far they
have come. An instance that dies may lose what it had.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from election.records import Ownership
from hactl.model import effects, events
from hactl.model.cluster import ClusterSpec, GroupSpec
from hactl.model.placing import Relation
from hactl.model.resources import PromoteOptions, PromoteSpec
from tests.support.specs import resource_spec

if TYPE_CHECKING:
    from tests.simulation.checks import Checks
    from tests.simulation.node import SimNode
    from tests.simulation.world import World

CLONE, INSTANCE, ROLE = "c0", "instance", "role"
_LIMITS = {"start_timeout_ms": 1500.0, "stop_timeout_ms": 1500.0, "monitor_timeout_ms": 500.0}
WRITE_MS = 150.0
# An instance that has run for so long when the group is taken had the time to say how good it is.
KNOWN_MS = 3_000.0


def with_instances(cluster: ClusterSpec, seed: int, *, promoted: bool | None = None) -> ClusterSpec:
    """In some schedules a group runs on every node, and another one with it, after it, or promotes an instance of it.
    Drawn apart from all else: the other schedules stay what they are. `promoted`: in all, or as chance has it."""
    rng = random.Random(seed * 41 + 3)
    if promoted is None and rng.random() >= 0.3:
        return cluster
    clone = GroupSpec(CLONE, (resource_spec(INSTANCE, "vip", **_LIMITS),), run="all", restarts=rng.choice([0, 2, 2]))
    groups = list(cluster.groups)
    index = rng.randrange(len(groups))
    group, relation = groups[index], (Relation(CLONE),)
    kinds = rng.choice([("together_with",), ("after",), ("together_with", "after"), (), ()])
    if promoted or not kinds:
        role = PromoteSpec(ROLE, PromoteOptions(f"{CLONE}/{INSTANCE}"), **_LIMITS)
        groups[index] = replace(group, resources=(role, *group.resources[1:]), overlap=False)
    else:
        placing = group.placing
        more = {kind: (*getattr(placing, kind), *relation) for kind in kinds}
        groups[index] = replace(group, placing=replace(placing, **more))
    return replace(cluster, groups=(*groups, clone))


class Instances:
    """What becomes of them in one schedule."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = random.Random(world.plan.seed * 53 + 5)
        self.running_since: dict[str, float] = {}
        cluster = world.plan.cluster
        self.promoting = next((group.name for group in cluster.exclusive if group.promotes), "")
        # That which is promoted, if one is.
        self.instance = next(((clone.name, clone.resources[0].name) for clone in cluster.clones), ("", ""))
        if cluster.group(CLONE) is not None:
            world.after(WRITE_MS, self._go_on)

    def is_running(self, node: SimNode) -> bool:
        """Whether the node's instance runs."""
        return self.instance in node.resources.running

    def died(self, node: SimNode) -> None:
        """The node's instance has ended, in whatever way: with it its role."""
        self.running_since.pop(node.name, None)
        node.resources.running.discard((self.promoting, ROLE))

    def kill(self, node: SimNode) -> None:
        """The role is ended the fast way: by the end of its instance."""
        if self.is_running(node):
            node.resources.die(self.instance)

    def _go_on(self) -> None:
        """Writing and replicating; now and then an instance dies."""
        world = self.world
        world.after(WRITE_MS, self._go_on)
        for node in world.nodes.values():
            if self.is_running(node):
                self.running_since.setdefault(node.name, world.now)
        alive = [node for node in world.nodes.values() if self.is_running(node) and node.powered and not node.frozen()]
        if self.promoting:
            self._replicate(alive)
            self._monitor()
        if alive and not world.mended_at and self.rng.random() < 0.01:
            node = self.rng.choice(alive)
            if self.rng.random() < 0.3:
                node.resources.scores[self.promoting] = 0
            node.resources.die((CLONE, INSTANCE))

    def _monitor(self) -> None:
        """A role that is gone is noticed by its monitor."""
        name = (self.promoting, ROLE)
        for node in self.world.nodes.values():
            run = node.daemon.state.runs.get(self.promoting) if node.daemon is not None else None
            if run is not None and run.health.get(ROLE) == "running" and name not in node.resources.running:
                node.deliver(node.daemon, events.Observed(*name, "stopped", "not promoted"))

    def _replicate(self, alive: list[SimNode]) -> None:
        group = self.promoting
        primary = next((node for node in alive if (group, ROLE) in node.resources.running), None)
        if primary is None:
            return
        scores = primary.resources.scores
        scores[group] = scores.get(group, 0) + 1
        for node in alive:
            if node is not primary and self.rng.random() < 0.8:
                node.resources.scores[group] = scores[group]


class InstanceChecks:
    """C1: instances run where they should; C2: nothing but an operator's request, a relation or a failure stops one;
    C3: no instance is promoted while one that could be has more."""

    def __init__(self, checks: Checks) -> None:
        self.checks = checks
        self.promoted = ("", 0)

    def acts(self, node: SimNode, act: effects.Act) -> None:
        """A daemon begins an action: C2."""
        world, daemon = self.checks.world, node.daemon
        if act.group != CLONE or act.action not in ("stop", "kill") or daemon is None:
            return
        state = daemon.state
        run, clone = state.clones[CLONE], world.plan.cluster.group(CLONE)
        wanted = state.cluster is not None and state.cluster.group(CLONE) == clone
        asked = state.release_on_exit or node.name in state.view.standby or CLONE in state.view.stopped
        asked = asked or CLONE in state.view.restarts
        banned = f"{CLONE}/{node.name}" in state.view.bans
        if wanted and not asked and not banned and not (run.failure or run.stop_failed):
            self.checks.fail("C2", f"{act.action} of the instance of {node.name}, for no reason")

    def acquired(self, node: SimNode, name: str, own: Ownership, previous_revision: int) -> None:
        """A group is taken: C3."""
        world = self.checks.world
        if name != world.instances.promoting or own.reason == "maintenance is over":
            return
        self.checks.count("promoted")
        for other in self._with_more(node, name):
            stored = world.ledger.get(world.keys.node(other.name))
            if stored is not None and stored.create_revision < previous_revision:
                self._fail(node, name, other)

    def started(self, node: SimNode, act: effects.Act) -> None:
        """A role begins: C3. It was promoted in this ownership before: its instance may have lost what it had."""
        if act.group != self.checks.world.instances.promoting or act.resource.name != ROLE:
            return
        if self.promoted == (node.name, act.epoch):
            for other in self._with_more(node, act.group):
                self._fail(node, act.group, other)
        self.promoted = (node.name, act.epoch)

    def _with_more(self, node: SimNode, group: str) -> Iterator[SimNode]:
        """The nodes that may run the group, as this one knows, and whose instances have had more for long enough."""
        world, daemon = self.checks.world, node.daemon
        for name in daemon.state.choice(group).candidates if daemon is not None else ():
            other, since = world.nodes[name], world.instances.running_since.get(name)
            known = since is not None and world.now - since > KNOWN_MS and not other.frozen()
            if known and other.resources.scores.get(group, 0) > node.resources.scores.get(group, 0):
                yield other

    def _fail(self, node: SimNode, group: str, other: SimNode) -> None:
        scores = [machine.resources.scores.get(group, 0) for machine in (node, other)]
        self.checks.fail("C3", f"{group} is promoted on {node.name} with {scores[0]}, and {other.name} has {scores[1]}")

    def at_end(self) -> None:
        """With all faults over for long: C1."""
        world = self.checks.world
        clone = world.plan.cluster.group(CLONE)
        for node in world.nodes.values():
            if clone is not None and node.daemon is not None and not world.instances.is_running(node):
                run = node.daemon.state.clones.get(CLONE)
                why = f"{run.phase}, {run.waiting or run.failure}" if run is not None else "unknown to its daemon"
                self.checks.fail("C1", f"the instance of {node.name} does not run: {why}")
