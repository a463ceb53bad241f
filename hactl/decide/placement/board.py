"""Groups on nodes, and what their relations forbid there. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from hactl.decide.placement.rules import Rules

# Sums of decimal numbers are never exact.
TOLERANCE = 1e-9


class Board:
    """Which group is where."""

    def __init__(self, rules: Rules, at: Mapping[str, str] | None = None) -> None:
        self.rules = rules
        self.at: dict[str, str] = {}
        self.used: defaultdict[tuple[str, str], float] = defaultdict(float)
        self.crowd: defaultdict[tuple[str, str], int] = defaultdict(int)
        for name, node in (at or {}).items():
            self.put(name, node)

    def put(self, name: str, node: str) -> None:
        """The group is there."""
        self._count(name, node, 1)
        self.at[name] = node

    def remove(self, name: str) -> str:
        """The group is nowhere; where it was."""
        node = self.at.pop(name, "")
        if node:
            self._count(name, node, -1)
        return node

    def _count(self, name: str, node: str, by: int) -> None:
        for resource, need in self.rules.needs.get(name, ()):
            self.used[node, resource] += by * need
        if (label := self.rules.spread.get(name)) is not None:
            self.crowd[label, node] += by

    def forbids(self, name: str, node: str) -> str:
        """Why the group may not be there, with the others where they are; empty: it may. It itself is nowhere."""
        return self.unrelated(name, node) or self.no_room(name, node)

    def unrelated(self, name: str, node: str) -> str:
        """Why its relations to other groups do not let the group be there; empty: they do."""
        if leader := self.leader_elsewhere(name, node):
            where = f"is on {self.at[leader]}" if leader in self.at else "runs nowhere"
            return f"{leader}, with which it runs, {where}"
        for other in self.apart_there(name, node):
            return f"{other}, from which it must be apart, is there"
        return ""

    def leader_elsewhere(self, name: str, node: str) -> str:
        """The first group with which this one must run and that is not on the node; empty: there is none."""
        for relation in self.rules.together.get(name, ()):
            if relation.must and self.at.get(relation.group) != node:
                return relation.group
        return ""

    def apart_there(self, name: str, node: str) -> list[str]:
        """The groups on the node from which this one must be apart."""
        apart = self.rules.apart.get(name)
        return [other for other, must in apart.items() if must and self.at.get(other) == node] if apart else []

    def no_room(self, name: str, node: str) -> str:
        """Why the group does not fit on the node; empty: it does."""
        for resource in self.lacking(name, node):
            need, there = dict(self.rules.needs[name])[resource], self.rules.capacity.get(node, {}).get(resource, 0.0)
            free = max(0.0, self.free(node, resource))
            return f"it needs {need:g} of {resource}, and {free:g} of {there:g} are free"
        return ""

    def lacking(self, name: str, node: str) -> dict[str, float]:
        """How much of what is more than is free on the node for the group."""
        lacking = {}
        for resource, need in self.rules.needs.get(name, ()):
            if (amount := need - self.free(node, resource)) > TOLERANCE:
                lacking[resource] = amount
        return lacking

    def free(self, node: str, resource: str) -> float:
        """How much of it the groups on the node leave."""
        return self.rules.capacity.get(node, {}).get(resource, 0.0) - self.used[node, resource]

    @property
    def overfull(self) -> bool:
        """Whether groups on some node need more than it has."""
        capacity = self.rules.capacity
        return any(
            amount > capacity.get(node, {}).get(resource, 0.0) + TOLERANCE
            for (node, resource), amount in self.used.items()
        )

    def preferences_missed(self, name: str, node: str) -> int:
        """How many of the group's preferences about others are not fulfilled there."""
        if name not in self.rules.together and name not in self.rules.apart:
            return 0
        missed = sum(
            not relation.must and self.at.get(relation.group, node) != node
            for relation in self.rules.together.get(name, ())
        )
        return missed + sum(
            not must and self.at.get(other) == node for other, must in self.rules.apart.get(name, {}).items()
        )

    def crowded(self, name: str, node: str) -> int:
        """How many groups of its `spread` are there."""
        label = self.rules.spread.get(name)
        return self.crowd[label, node] if label is not None else 0
