"""The best assignment of groups to nodes (docs/placement.md, *What is best*). Pure, deterministic.

An assignment is better when more groups of the highest priority run, then of the next one, and so on; then when fewer
groups move or stop, then fewer of those that follow another; then when fewer are on poor nodes, fewer preferences are
missed, less weight is lost, and those of a `spread` are less crowded. Musts are never broken.

Groups that have nothing to do with each other are placed alone. Of those that are related, every assignment is tried
in an order in which the first is good, and what cannot be better than the best so far is left out. Beyond a number of
steps the best so far counts; beyond a number of groups they are placed one after the other (many.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hactl.decide.placement.board import Board
from hactl.decide.placement.costs import OWN, Cost, Costs, Wanted, plus
from hactl.decide.placement.many import place_many
from hactl.decide.placement.rules import Rules
from hactl.decide.placement.turns import in_turn, urgency

# More related groups than this are not searched.
_SEARCHED_GROUPS = 24
_MOST_STEPS = 2_500


def solve(rules: Rules, groups: Sequence[Wanted]) -> Mapping[str, str]:
    """The node of each of these groups, which are related; without one: it can run nowhere. Every group that they are
    related to is among them."""
    kept = _where_they_are(rules, groups)
    if kept is not None and len(kept.at) == len(groups):
        return kept.at  # every group runs and none moves: nothing is better
    urgent = urgency(rules, groups)
    ordered = in_turn(rules, groups, urgent)
    if len(ordered) > _SEARCHED_GROUPS:
        return place_many(rules, ordered, urgent, kept is not None)
    search = _Search(rules, ordered)
    search.descend(0, (0,) * (search.levels + OWN))
    return search.best


def _where_they_are(rules: Rules, groups: Sequence[Wanted]) -> Board | None:
    """The groups that some node has, where they are; None: they may not be there all together."""
    board = Board(rules, {group.name: group.now for group in groups if group.now})
    if board.overfull:
        return None
    related = [name for name in board.at if rules.together.get(name) or rules.apart.get(name)]
    return None if any(board.unrelated(name, board.at[name]) for name in related) else board


class _Search(Costs):
    """Every assignment, the most promising first."""

    def __init__(self, rules: Rules, groups: Sequence[Wanted]) -> None:
        super().__init__(rules, groups)
        self.groups, self.board = groups, Board(rules)
        self.best: dict[str, str] = {}
        self.best_cost: Cost | None = None
        self._steps = 0
        self._least: list[Cost] = [(0,) * (self.levels + OWN)]  # from the k-th group on, at least
        for group in reversed(groups):
            cheapest = min([self.there(group, one) for one in group.candidates] or [self.nowhere(group)])
            self._least.append(plus(self._least[-1], cheapest))
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
            total = plus(cost, own)
            bound = plus(total, self._least[index + 1])
            if self.best_cost is not None and (bound >= self.best_cost or self._steps >= _MOST_STEPS):
                return  # the options that follow cost as much at least
            self._steps += 1
            if node:
                self.board.put(group.name, node)
            self.descend(index + 1, total)
            if node:
                self.board.remove(group.name)
