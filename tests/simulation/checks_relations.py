"""What must hold of groups that are related (docs/placement.md): P1 apart, P2 together, P3 after."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from election.records import Ownership
from hactl.decide.placement.ideal import places
from hactl.decide.placement.rules import rules_of
from tests.support.malformed import readable

if TYPE_CHECKING:
    from tests.simulation.checks import Checks
    from tests.simulation.node import SimNode

# What another node's group does is known by a report, which may be as old as its node's lease.
KNOWN_LEASES = 2.0


class RelationChecks:
    """Looked at whenever a resource starts and a group is taken."""

    def __init__(self, checks: Checks) -> None:
        self.checks = checks
        self.ran_at: dict[str, float] = {}

    def started(self, node: SimNode, name: str) -> None:
        """Something of the group starts on the node."""
        cluster = self.checks.world.plan.cluster
        self._see()
        for group in cluster.groups:
            for relation in group.placing.apart_from:
                if relation.must and name in (group.name, relation.group):
                    self._apart(node, name, relation.group if name == group.name else group.name)
        spec = cluster.group(name)
        if spec is None or sum(running[0] == name for running in node.resources.running) > 1:
            return  # not its first resource
        for relation in spec.placing.after:
            if relation.must:
                self._after(node, name, relation.group)

    def _apart(self, node: SimNode, name: str, other: str) -> None:
        if any(running[0] == other for running in node.resources.running):
            self.checks.fail("P1", f"{name} starts on {node.name} beside {other}, from which it must be apart")

    def _after(self, node: SimNode, name: str, other: str) -> None:
        world = self.checks.world
        self.checks.count("started after")
        since = self.ran_at.get(other, -1e9)
        away = sum(max(0.0, min(end, world.now) - max(start, since)) for start, end in world.outages)
        silent = world.now - since - away  # with the store away nobody is known to have stopped
        if silent > KNOWN_LEASES * world.plan.cluster.timing.lease_ms:
            self.checks.fail("P3", f"{name} starts on {node.name}, and {other} has not run for {silent:.0f} ms")

    def _see(self) -> None:
        """Which groups run on some node now, all of them."""
        world = self.checks.world
        for group in world.plan.cluster.groups:
            wanted = {(group.name, resource.name) for resource in group.resources}
            if any(wanted <= node.resources.running for node in world.nodes.values()):
                self.ran_at[group.name] = world.now

    def stepped(self) -> None:
        """After anything has changed."""
        if any(group.placing.after for group in self.checks.world.plan.cluster.groups):
            self._see()

    def acquired(self, node: SimNode, name: str, previous: Ownership | None) -> None:
        """The group is taken by the node. One that runs it still, in an overlap, may have it back."""
        world = self.checks.world
        if previous is not None and node.name in {holder.node for holder in previous.holders}:
            return
        spec = world.plan.cluster.group(name)
        for relation in spec.placing.together_with if spec is not None else ():
            stored = world.ledger.get(world.keys.group(relation.group))
            own = readable(Ownership, stored)
            there = own is not None and (own.node, own.state) == (node.name, "owned")
            if relation.must and not there and not self.checks.is_clone(relation.group):
                where = f"{own.state} by {own.node}" if own is not None else "nobody's"
                self.checks.fail("P2", f"{node.name} takes {name}, and {relation.group} is {where}")

    def possible(self) -> set[str]:
        """The groups that have a node beside the others, of those nodes that live and can run them. Of related ones all
        or none: where not all fit, it is not said here which do."""
        world = self.checks.world
        dead = {node.name for node in world.nodes.values() if not node.daemon}
        groups = []
        for group in world.plan.cluster.groups:
            unable = dead | {node for node, of in world.plan.broken if of == group.name}
            groups.append(replace(group, placing=replace(group.placing, never=tuple(unable))))
        cluster = replace(world.plan.cluster, groups=tuple(groups))
        rules = rules_of(cluster)
        placed = places(cluster)
        able = {name for name in placed if all(other in placed for other in rules.related.get(name, ()))}
        waiting = [name for name in rules.groups if name not in able]
        for name in waiting:  # those that run after one that does not wait for it
            behind = [other for other in rules.behind.get(name, ()) if other in able]
            able -= set(behind)
            waiting += behind
        return able
