"""In which order groups get their nodes. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping

from hactl.decide.placement.costs import Wanted
from hactl.decide.placement.rules import Rules


def urgency(rules: Rules, groups: Iterable[Wanted]) -> dict[str, int]:
    """The priority of each group, which is at least that of those that run with it."""
    known = {group.name: group.priority for group in groups}
    found: dict[str, int] = {}

    def highest(name: str, seen: frozenset[str]) -> int:
        if name not in found:
            behind = [other for other in rules.followers.get(name, ()) if other in known and other not in seen]
            found[name] = max([known[name], *(highest(other, seen | {name}) for other in behind)])
        return found[name]

    return known if rules.followers.keys().isdisjoint(known) else {name: highest(name, frozenset()) for name in known}


def in_turn(rules: Rules, groups: Iterable[Wanted], urgent: Mapping[str, int]) -> list[Wanted]:
    """Those that others run with come first; then by urgency."""
    known = {group.name: group for group in groups}
    waits: dict[str, int] = {}
    after: dict[str, list[str]] = {}
    for name in known.keys() & rules.together.keys():
        leaders = [relation.group for relation in rules.together[name] if relation.group in known]
        waits[name] = len(leaders)
        for leader in leaders:
            after.setdefault(leader, []).append(name)
    turns = sorted((-urgent[name], name) for name in known if not waits.get(name))  # which is a heap
    if not after:
        return [known[name] for _, name in turns]
    ordered: list[Wanted] = []
    while turns:
        _, name = heapq.heappop(turns)
        ordered.append(known[name])
        for other in after.get(name, ()):
            waits[other] -= 1
            if not waits[other]:
                heapq.heappush(turns, (-urgent[other], other))
    # What is left runs with itself in a circle, which is refused in a configuration: it runs nowhere.
    return ordered
