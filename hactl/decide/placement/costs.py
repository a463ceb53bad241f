"""What it costs to have a group on a node, or on none (docs/placement.md, *What is best*). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import add
from typing import NamedTuple

from hactl.decide.placement.board import Board
from hactl.decide.placement.rules import Rules

# How many numbers of a cost come after those of the priorities.
OWN = 6

Cost = tuple[int, ...]


class Candidate(NamedTuple):
    """A node that may run a group now. `poor`: it is not well for it; see `rules.Place` for the others."""

    node: str
    poor: int = 0
    disliked: int = 0
    loss: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A group that is to run. `candidates`: best first. `now`: the candidate that has it, "" none."""

    name: str
    candidates: tuple[Candidate, ...]
    now: str = ""
    priority: int = 0

    @property
    def best(self) -> str:
        """Its node where no other group has a say; "" none."""
        if self.now or not self.candidates:
            return self.now
        return min(self.candidates, key=preference).node


def preference(candidate: Candidate) -> tuple[int, int, int]:
    """The lower, the better."""
    return candidate.poor, candidate.disliked, candidate.loss


class Costs:
    """What it costs to have a group somewhere: as long as the tuples of `Cost`, most important first."""

    def __init__(self, rules: Rules, groups: Sequence[Wanted]) -> None:
        self.rules = rules
        levels = sorted({group.priority for group in groups}, reverse=True)
        self.levels = len(levels)
        self._nowhere = {level: _unit(self.levels, index) for index, level in enumerate(levels)}
        self._placed = (0,) * self.levels
        self._following = {name for name, others in rules.together.items() if any(other.must for other in others)}

    def nowhere(self, group: Wanted) -> Cost:
        """Of running nowhere. A group that some node has is stopped for it."""
        stopped, follows = int(bool(group.now)), group.name in self._following
        return (*self._nowhere[group.priority], stopped * (not follows), stopped * follows, 0, 0, 0, 0)

    def there(self, group: Wanted, candidate: Candidate, board: Board | None = None) -> Cost:
        """Of running there; without a board: what it costs at least."""
        moved, follows = int(bool(group.now) and candidate.node != group.now), group.name in self._following
        missed, crowd = candidate.disliked, 0
        if board is not None:
            missed += board.preferences_missed(group.name, candidate.node)
            crowd = board.crowded(group.name, candidate.node)
        own = (moved * (not follows), moved * follows, candidate.poor, missed, candidate.loss, crowd)
        return (*self._placed, *own)

    def of(self, groups: Sequence[Wanted], at: Mapping[str, str]) -> Cost:
        """Of an assignment, at least."""
        cost = self._placed + (0,) * OWN
        for group in groups:
            there = next((one for one in group.candidates if one.node == at.get(group.name)), None)
            cost = plus(cost, self.nowhere(group) if there is None else self.there(group, there))
        return cost


def _unit(length: int, index: int) -> Cost:
    return tuple(int(place == index) for place in range(length))


def plus(left: Cost, right: Cost) -> Cost:
    """Both together."""
    return tuple(map(add, left, right))
