"""Where every group should run (docs/placement.md): what the other parts of the program use. Pure.

The same on every node, from the configuration and what the store holds. It reads no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from election.reading import ReadView
from hactl.decide.placement import instances
from hactl.decide.placement.attributes import checks_of
from hactl.decide.placement.board import Board
from hactl.decide.placement.costs import Wanted, preference
from hactl.decide.placement.eligible import Now, excluded
from hactl.decide.placement.rules import Places, Rules, find_places, rules_of
from hactl.decide.placement.solve import solve
from hactl.decide.planned import kept_off, off
from hactl.model.cluster import ClusterSpec


class Choice(NamedTuple):
    """The nodes a group may run on, best first, and for every other node of the cluster why not. The first one is where
    it is to run, `target`; the others may take it if that one does not. `stops`: nodes on which it may not stay, even
    where nobody else can run it."""

    candidates: tuple[str, ...]
    excluded: Mapping[str, str]
    stops: frozenset[str] = frozenset()

    def rank(self, node: str) -> int | None:
        """0 for the first choice; None: not eligible."""
        return self.candidates.index(node) if node in self.candidates else None

    def best_but(self, node: str) -> str | None:
        """The first choice other than `node`."""
        return next((name for name in self.candidates if name != node), None)

    @property
    def target(self) -> str:
        """Where it is to run; "": nowhere."""
        return self.candidates[0] if self.candidates else ""


@dataclass
class Plan:
    """Where every group that is enabled should run. `targets`: without those that can run nowhere.
    `solved`: the assignments of related groups. `changes`: the state of the view that it was made of.
    `checked`: the places of groups that go by health checks. `lacking`: the nodes on which groups lack an instance of a
    group that runs on every node."""

    cluster: ClusterSpec
    view: ReadView
    rules: Rules
    wanted: Mapping[str, Wanted]
    targets: Mapping[str, str]
    solved: Mapping[tuple[Wanted, ...], Mapping[str, str]]
    changes: int
    checked: Mapping[str, Places]
    lacking: instances.Lacking
    _choices: dict[str, Choice] = field(default_factory=dict)
    _board: Board | None = None

    def holds_for(self, cluster: ClusterSpec, view: ReadView) -> bool:
        """Whether nothing has changed since."""
        return self.cluster is cluster and self.view is view and self.changes == view.changes

    def places(self, group: str) -> Places:
        """The nodes that the group, which is enabled, may run on by the configuration and the health checks."""
        return self.checked.get(group) or self.rules.places[group]

    def choice(self, group: str) -> Choice:
        """The choice for one group."""
        if group not in self._choices:
            self._choices[group] = self._choose(group)
        return self._choices[group]

    def _choose(self, group: str) -> Choice:
        if group not in self.wanted:
            spec = self.cluster.group(group)
            reason = off(self.view, spec) if spec is not None else "the group is not configured"
            return Choice((), dict.fromkeys(self.rules.nodes, reason))
        places, wanted, target = self.places(group), self.wanted[group], self.targets.get(group, "")
        out = excluded(group, places, self.view)
        lacking = self.lacking.must.get(group, {})
        out = {**lacking, **out}
        stops = (
            {node for node, _ in places.excluded}
            | set(lacking)
            | {node for node in out if kept_off(self.view, group, node)}
        )
        able = []
        for candidate in sorted(wanted.candidates, key=preference):
            if candidate.node == target:
                continue
            if reason := self._beside(group, candidate.node):
                out[candidate.node] = reason
                stops.add(candidate.node)
            else:
                able.append(candidate.node)
        return Choice((target, *able) if target else tuple(able), out, frozenset(stops))

    def _beside(self, group: str, node: str) -> str:
        """Why the group may not be on the node when all others are where they should be."""
        if group not in self.rules.related and group not in self.rules.needs:
            return ""
        if self._board is None:
            self._board = Board(self.rules, self.targets)
        before = self._board.remove(group)
        try:
            return self._board.forbids(group, node)
        finally:
            if before:
                self._board.put(group, before)


def plan(cluster: ClusterSpec, view: ReadView, before: Plan | None = None) -> Plan:
    """Where every group should run. `before`: an earlier plan, of which what did not change is used again: it makes
    this faster, never different."""
    rules = before.rules if before is not None and before.cluster is cluster else rules_of(cluster)
    checked = _by_checks(cluster, rules, view)
    lacking = instances.lacking(rules, checked, view)
    now = Now(rules, view, lacking)
    wanted = {
        name: now.wanted(name, checked.get(name) or rules.places[name], spec.placing.priority)
        for name, spec in rules.groups.items()
        if not off(view, spec)
    }
    known = before.solved if before is not None and before.rules is rules else {}
    targets, solved = place_all(rules, wanted, known)
    return Plan(cluster, view, rules, wanted, targets, solved, view.changes, checked, lacking)


def _by_checks(cluster: ClusterSpec, rules: Rules, view: ReadView) -> dict[str, Places]:
    """The places of groups whose expressions ask for health checks."""
    if not rules.checked:
        return {}
    failing = {
        node: frozenset(name for name, check in checks_of(view, node).items() if check.get("ok") is False)
        for node in rules.nodes
    }
    named = {**rules.groups, **rules.clones}
    return {name: find_places(cluster, named[name], failing) for name in rules.checked}


Solved = Mapping[tuple[Wanted, ...], Mapping[str, str]]


def place_all(rules: Rules, wanted: Mapping[str, Wanted], known: Solved) -> tuple[dict[str, str], Solved]:
    """The node of each group that has one, and the assignments of related groups; those `known` are used again."""
    targets = {name: best for name, group in wanted.items() if name not in rules.related and (best := group.best)}
    solved: dict[tuple[Wanted, ...], Mapping[str, str]] = {}
    parts = dict.fromkeys(rules.related.values())
    for members in parts:
        targets |= _solved(rules, tuple(wanted[name] for name in members if name in wanted), known, solved)
    if rules.needs and _too_full(rules, targets):
        # Capacity couples all groups that need any, and those that these are related to.
        coupled = {name for need in rules.needs for name in rules.related.get(need, (need,))}
        for name in coupled:
            targets.pop(name, None)
        targets |= _solved(rules, tuple(wanted[name] for name in sorted(coupled) if name in wanted), known, solved)
    return targets, solved


def _solved(
    rules: Rules, groups: tuple[Wanted, ...], known: Solved, solved: dict[tuple[Wanted, ...], Mapping[str, str]]
) -> Mapping[str, str]:
    at = known.get(groups)
    if at is None:
        at = solve(rules, groups)
    solved[groups] = at  # hashing a thousand groups takes its time: no more often than this
    return at


def _too_full(rules: Rules, targets: Mapping[str, str]) -> bool:
    board = Board(rules, {name: targets[name] for name in rules.needs if name in targets})
    return board.overfull
