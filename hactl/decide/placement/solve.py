"""The best assignment of groups to nodes (docs/placement.md, *What is best*). Pure, deterministic.

An assignment is better when more groups of the highest priority run, then of the next one, and so on; then when fewer
groups move or stop, then fewer of those that follow another; then when fewer are on poor nodes, fewer preferences are
missed, less weight is lost, and those of a `spread` are less crowded. Musts are never broken.

Groups that have nothing to do with each other are placed alone. Of those that are related, every assignment is tried
in an order in which the first is good, and what cannot be better than the best so far is left out. Beyond a number of
steps, or of groups, the best so far counts; then some groups are moved to make room for those without a node.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import add
from typing import NamedTuple

from hactl.decide.placement.board import Board
from hactl.decide.placement.rules import Rules

# More related groups than this are placed one after the other.
_SEARCHED_GROUPS = 24
_MOST_STEPS = 2_500
_MOST_EXCHANGES = 4_000
# How many numbers of a cost come after those of the priorities.
_OWN = 6

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


def solve(rules: Rules, groups: Sequence[Wanted]) -> dict[str, str]:
    """The node of each of these groups, which are related; without one: it can run nowhere. Every group that they are
    related to is among them."""
    kept = _where_they_are(rules, groups)
    if kept is not None and len(kept.at) == len(groups):
        return kept.at  # every group runs and none moves: nothing is better
    ordered = _in_order(rules, groups)
    if len(ordered) > _SEARCHED_GROUPS:
        return _one_by_one(rules, ordered) if kept is None else _least_change(rules, ordered, kept)
    search = _Search(rules, ordered)
    search.descend(0, (0,) * (search.levels + _OWN))
    return search.best


def _where_they_are(rules: Rules, groups: Sequence[Wanted]) -> Board | None:
    """The groups that some node has, where they are; None: they may not be there all together."""
    board = Board(rules, {group.name: group.now for group in groups if group.now})
    if board.overfull:
        return None
    related = [name for name in board.at if rules.together.get(name) or rules.apart.get(name)]
    return None if any(board.unrelated(name, board.at[name]) for name in related) else board


def _least_change(rules: Rules, groups: Sequence[Wanted], board: Board) -> dict[str, str]:
    """The groups that no node has, beside the others; where not all have a place there, others may move for them."""
    costs = _Costs(rules, groups)
    _add(costs, groups, board)
    if all(group.name in board.at or not group.candidates for group in groups):
        return board.at
    return min(board.at, _one_by_one(rules, groups), key=lambda at: costs.of(groups, at))


def _add(costs: _Costs, groups: Sequence[Wanted], board: Board) -> None:
    for group in groups:
        if group.now:
            continue
        options = [
            (costs.there(group, there, board), order, there.node)
            for order, there in enumerate(group.candidates)
            if not board.forbids(group.name, there.node)
        ]
        if options:
            board.put(group.name, min(options)[2])


def _in_order(rules: Rules, groups: Iterable[Wanted]) -> list[Wanted]:
    """Those that others run with come first; then by priority, which is at least that of those that run with it."""
    known = {group.name: group for group in groups}
    priority: dict[str, int] = {}

    def highest(name: str, seen: frozenset[str]) -> int:
        if name not in priority:
            behind = [other for other in rules.followers.get(name, ()) if other in known and other not in seen]
            priority[name] = max([known[name].priority, *(highest(other, seen | {name}) for other in behind)])
        return priority[name]

    waits = {name: sum(relation.group in known for relation in rules.together.get(name, ())) for name in known}
    after: dict[str, list[str]] = {}
    for name in known:
        for relation in rules.together.get(name, ()):
            after.setdefault(relation.group, []).append(name)
    heap = [(-highest(name, frozenset()), name) for name, count in waits.items() if not count]
    heapq.heapify(heap)
    ordered: list[Wanted] = []
    while heap:
        _, name = heapq.heappop(heap)
        ordered.append(known[name])
        for other in after.get(name, ()):
            waits[other] -= 1
            if other in known and not waits[other]:
                heapq.heappush(heap, (-highest(other, frozenset()), other))
    # What is left runs with itself in a circle, which is refused in a configuration: it runs nowhere.
    return ordered


class _Costs:
    """What it costs to have a group somewhere: as long as the tuples of `Cost`, most important first."""

    def __init__(self, rules: Rules, groups: Sequence[Wanted]) -> None:
        self.rules = rules
        levels = sorted({group.priority for group in groups}, reverse=True)
        self.levels = len(levels)
        self._nowhere = {level: _unit(self.levels, index) for index, level in enumerate(levels)}
        self._placed = (0,) * self.levels

    def nowhere(self, group: Wanted) -> Cost:
        """Of running nowhere. A group that some node has is stopped for it."""
        stopped = (int(bool(group.now) and not self._follows(group)), int(bool(group.now) and self._follows(group)))
        return (*self._nowhere[group.priority], *stopped, 0, 0, 0, 0)

    def there(self, group: Wanted, candidate: Candidate, board: Board | None = None) -> Cost:
        """Of running there; without a board: what it costs at least."""
        moved = int(bool(group.now) and candidate.node != group.now)
        follows = self._follows(group)
        missed, crowd = candidate.disliked, 0
        if board is not None:
            missed += board.preferences_missed(group.name, candidate.node)
            crowd = board.crowded(group.name, candidate.node)
        own = (moved * (not follows), moved * follows, candidate.poor, missed, candidate.loss, crowd)
        return (*self._placed, *own)

    def of(self, groups: Sequence[Wanted], at: Mapping[str, str]) -> Cost:
        """Of an assignment, at least."""
        total = self._placed + (0,) * _OWN
        for group in groups:
            there = next((one for one in group.candidates if one.node == at.get(group.name)), None)
            total = _sum(total, self.nowhere(group) if there is None else self.there(group, there))
        return total

    def _follows(self, group: Wanted) -> bool:
        return any(relation.must for relation in self.rules.together.get(group.name, ()))


def _unit(length: int, index: int) -> Cost:
    return tuple(int(place == index) for place in range(length))


def _sum(left: Cost, right: Cost) -> Cost:
    return tuple(map(add, left, right))


class _Search(_Costs):
    """Every assignment, the most promising first."""

    def __init__(self, rules: Rules, groups: Sequence[Wanted]) -> None:
        super().__init__(rules, groups)
        self.groups, self.board = groups, Board(rules)
        self.best: dict[str, str] = {}
        self.best_cost: Cost | None = None
        self._steps = 0
        self._least: list[Cost] = [(0,) * (self.levels + _OWN)]  # from the k-th group on, at least
        for group in reversed(groups):
            cheapest = min([self.there(group, one) for one in group.candidates] or [self.nowhere(group)])
            self._least.append(_sum(self._least[-1], cheapest))
        self._least.reverse()

    def descend(self, index: int, cost: Cost) -> None:
        """Place the groups from `index` on."""
        if index == len(self.groups):
            if self.best_cost is None or cost < self.best_cost:
                self.best, self.best_cost = dict(self.board.at), cost
            return
        group = self.groups[index]
        options = [
            (self.there(group, candidate, self.board), order, candidate.node)
            for order, candidate in enumerate(group.candidates)
            if not self.board.forbids(group.name, candidate.node)
        ]
        for own, _, node in [*sorted(options), (self.nowhere(group), 0, "")]:
            total = _sum(cost, own)
            bound = _sum(total, self._least[index + 1])
            if self.best_cost is not None and (bound >= self.best_cost or self._steps >= _MOST_STEPS):
                return  # the options that follow cost as much at least
            self._steps += 1
            if node:
                self.board.put(group.name, node)
            self.descend(index + 1, total)
            if node:
                self.board.remove(group.name)


def _one_by_one(rules: Rules, groups: Sequence[Wanted]) -> dict[str, str]:
    """Each in turn to its best node, where possible one at which it does not drive another one away."""
    costs, board = _Costs(rules, groups), Board(rules)
    present = Board(rules, {group.name: group.now for group in groups if group.now})
    left = []
    for group in groups:
        present.remove(group.name)
        options = [
            (bool(present.no_room(group.name, there.node)), costs.there(group, there, present), order, there.node)
            for order, there in enumerate(group.candidates)
            if not board.forbids(group.name, there.node)
        ]
        if not options:
            left.append(group)
            continue
        node = group.now if any(option[3] == group.now for option in options) else min(options)[3]
        board.put(group.name, node)
        present.put(group.name, node)
    _make_room(rules, board, {group.name: group for group in groups}, left)
    return board.at


def _make_room(rules: Rules, board: Board, groups: Mapping[str, Wanted], left: Sequence[Wanted]) -> None:
    """For each group without a node, move one other group, of those that nothing runs with, to another node."""
    alone = {name for name in groups if not rules.together.get(name) and not rules.followers.get(name)}
    tried = 0
    for group in left:
        for candidate in group.candidates:
            there = [name for name, node in board.at.items() if node == candidate.node and name in alone]
            if next((True for name in sorted(there) if _exchange(board, groups[name], group, candidate.node)), False):
                break
            tried += len(there)
            if tried > _MOST_EXCHANGES:
                return


def _exchange(board: Board, leaving: Wanted, coming: Wanted, node: str) -> bool:
    """Move `leaving` away from the node and `coming` there, if both can be; whether that was done."""
    board.remove(leaving.name)
    if not board.forbids(coming.name, node):
        board.put(coming.name, node)
        for candidate in leaving.candidates:
            if candidate.node != node and not board.forbids(leaving.name, candidate.node):
                board.put(leaving.name, candidate.node)
                return True
        board.remove(coming.name)
    board.put(leaving.name, node)
    return False
