"""Many groups that depend on each other, which are not searched (docs/placement.md, *What is best*). Pure,
deterministic.

What is where it may be stays there; only groups without a place are decided about. Each in turn gets its best place
beside the others, or one other group is moved to make room for it. Where some still have none, less urgent groups make
way for them, if that is better on the whole.

That a group can be helped by nothing must be found out soon: where there is hardly any room it is so for many, after
each change. The room that is lacking on a node must be free on another one, else no move makes it; alike groups are
not tried again as long as nothing leaves its place; and nothing makes way for the least urgent.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Mapping, Sequence

from hactl.decide.placement.board import TOLERANCE, Board
from hactl.decide.placement.costs import Candidate, Costs, Wanted, plus
from hactl.decide.placement.rules import Rules

# How often at most one group is tried to be moved for another one.
_MOST_EXCHANGES = 1_000
# No more groups than this are all placed anew as well where some have no place.
_ANEW_GROUPS = 250

# What alike groups have in common: what they need, and where they may be.
_Kind = tuple[tuple[tuple[str, float], ...], tuple[Candidate, ...]]


def place_many(rules: Rules, groups: Sequence[Wanted], urgent: Mapping[str, int], settled: bool) -> Mapping[str, str]:
    """The node of each group that has one. `groups`: in turn; `settled`: those that some node has may be where they are
    all together."""
    return _Many(rules, groups, urgent).place(settled)


class _Places(Board):
    """A board that knows which groups are on a node, by their turn."""

    def __init__(self, rules: Rules, turn: Mapping[str, int], at: Mapping[str, str]) -> None:
        self.turn, self.on = turn, defaultdict[str, list[int]](list)
        super().__init__(rules, at)

    def put(self, name: str, node: str) -> None:
        """See Board."""
        super().put(name, node)
        insort(self.on[node], self.turn[name])

    def remove(self, name: str) -> str:
        """See Board."""
        if node := super().remove(name):
            there = self.on[node]
            del there[bisect_left(there, self.turn[name])]
        return node


class _Many:
    """The groups, and where they are so far."""

    def __init__(self, rules: Rules, groups: Sequence[Wanted], urgent: Mapping[str, int]) -> None:
        self.rules, self.groups, self.urgent = rules, groups, urgent
        self.turn = {group.name: turn for turn, group in enumerate(groups)}
        self.costs, self.board = Costs(rules, groups), self._places({})
        self.nodes = {there.node for candidates in {group.candidates for group in groups} for there in candidates}
        self.tried = 0

    def _places(self, at: Mapping[str, str]) -> _Places:
        return _Places(self.rules, self.turn, at)

    def place(self, settled: bool) -> Mapping[str, str]:
        """The best that is found."""
        self._stay(settled)
        stay = dict(self.board.at)
        loose = [group for group in self.groups if group.name not in stay and group.candidates]
        left = self._find_places(loose, make_way=False)
        if not left:
            return self.board.at
        found = [self.board.at]
        least = min(self.urgent.values())
        if any(self.urgent[group.name] > least for group in left):
            self.board = self._places(stay)
            self._find_places(loose, make_way=True)
            found.append(self.board.at)
        if len(self.groups) <= _ANEW_GROUPS:
            self.board = self._places({})
            self._find_places([group for group in self.groups if group.candidates], make_way=True)
            found.append(self.board.at)
        changed = [group for group in self.groups if len({at.get(group.name) for at in found}) > 1]
        return min(found, key=lambda at: self.costs.of(changed, at))

    def _find_places(self, groups: Sequence[Wanted], make_way: bool) -> list[Wanted]:
        """A place for each in turn; those left without one. `make_way`: less urgent groups lose theirs for it."""
        hopeless: set[_Kind] = set()  # as long as nothing leaves its place; the more urgent were tried first
        waiting, left = [self.turn[group.name] for group in groups], []
        heapq.heapify(waiting)
        while waiting:
            group = self.groups[heapq.heappop(waiting)]
            kind = self._kind(group)
            if kind in hopeless:
                left.append(group)
            elif self._beside(group):
                continue
            elif self._with_one_move(group):
                hopeless.clear()
            elif make_way and (gone := self._drive_out(group)):
                hopeless.clear()
                for name in gone:
                    heapq.heappush(waiting, self.turn[name])
            else:
                left.append(group)
                if kind is not None:
                    hopeless.add(kind)
        return left

    def _stay(self, settled: bool) -> None:
        """Put each where it is, as far as those before it let it."""
        for group in self.groups:
            if group.now and (settled or not self.board.forbids(group.name, group.now)):
                self.board.put(group.name, group.now)

    def _beside(self, group: Wanted) -> bool:
        """Put the group beside the others, where it is best; whether it has a place there."""
        options = [
            (self.costs.there(group, there, self.board), order, there.node)
            for order, there in enumerate(group.candidates)
            if not self.board.forbids(group.name, there.node)
        ]
        if options:
            self.board.put(group.name, min(options)[2])
        return bool(options)

    def _kind(self, group: Wanted) -> _Kind | None:
        """Equal for groups of which each has a place where the others have; None: its relations have a say, too."""
        if group.name in self.rules.together or group.name in self.rules.apart:
            return None
        return self.rules.needs.get(group.name, ()), group.candidates

    def _with_one_move(self, group: Wanted) -> bool:
        """Put the group where one other group, with which nothing runs, can leave for another node; whether that was
        possible."""
        for there in group.candidates:
            for other in self._in_the_way(group, there.node):
                if self.tried >= _MOST_EXCHANGES:
                    return False
                self.tried += 1
                self.board.remove(other.name)
                if not self.board.forbids(group.name, there.node):
                    self.board.put(group.name, there.node)
                    if self._beside(other):
                        return True
                    self.board.remove(group.name)
                self.board.put(other.name, there.node)
        return False

    def _in_the_way(self, group: Wanted, node: str) -> list[Wanted]:
        """The groups on the node of which one could make room by moving: first those that are not there yet, then the
        least urgent; of groups that are alike, one."""
        board, free = self.board, dict[str, float]()
        apart = board.apart_there(group.name, node)
        if board.leader_elsewhere(group.name, node):
            return []
        lacking, others = board.lacking(group.name, node), self.nodes - {node}
        for resource, amount in lacking.items():
            lacking[resource] = amount - TOLERANCE
            free[resource] = TOLERANCE + max((board.free(other, resource) for other in others), default=0.0)
            if free[resource] < amount:
                return []
        kinds: dict[object, Wanted] = {}
        for turn in reversed(board.on[node]):
            name, other = self.groups[turn].name, self.groups[turn]
            needs = self.rules.needs.get(name, ())
            enough = sum(
                resource in lacking and lacking[resource] <= need <= free[resource] for resource, need in needs
            )
            if enough == len(lacking) and name not in self.rules.followers and apart in ([], [name]):
                kinds.setdefault((self._kind(other) or name, other.now == node), other)
        return sorted(kinds.values(), key=lambda other: other.now == node)

    def _drive_out(self, group: Wanted) -> list[str]:
        """Put the group where the least is lost by it; the less urgent groups that have lost their place. Empty:
        there is no such place."""
        options = []
        for order, there in enumerate(group.candidates):
            gone = self._to_make_way(group, there.node)
            if gone is not None:
                lost = self.costs.there(group, there, self.board)
                for name in gone:
                    lost = plus(lost, self.costs.nowhere(self.groups[self.turn[name]]))
                options.append((lost, order, there.node, gone))
        if not options:
            return []
        _, _, node, gone = min(options)
        for name in gone:
            self.board.remove(name)
        self.board.put(group.name, node)
        return gone

    def _to_make_way(self, group: Wanted, node: str) -> list[str] | None:
        """The less urgent groups, and those that run with them, that would have to leave the node for this one, the
        least urgent first; one that is small may find room there again in its turn. None: it cannot be there."""
        board, urgency = self.board, self.urgent[group.name]
        apart = board.apart_there(group.name, node)
        if any(self.urgent[name] >= urgency for name in apart):
            return None
        gone: list[str] = []
        for name in apart:
            self._take_away(name, gone)
        for turn in reversed(board.on[node].copy()):
            name, lacking = self.groups[turn].name, board.lacking(group.name, node)
            if not lacking or self.urgent[name] >= urgency:
                break
            if any(resource in lacking for resource, _ in self.rules.needs.get(name, ())):
                self._take_away(name, gone)
        possible = not board.forbids(group.name, node)
        for name in gone:
            board.put(name, node)
        return gone if possible else None

    def _take_away(self, name: str, gone: list[str]) -> None:
        """Take the group off the board with all that runs with it."""
        if self.board.remove(name):
            gone.append(name)
            for other in self.rules.followers.get(name, ()):
                self._take_away(other, gone)
