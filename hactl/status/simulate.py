"""What the cluster would do if nodes died, went into standby, groups failed, or another configuration were applied
(`hactl simulate`). Pure.

The plan by which the daemons decide is made twice: as things are, and as they would be. What differs is what would
happen. Nothing is written.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from election.reading import ReadView
from election.records import Failure
from election.view import Versioned, View
from hactl.decide.placement.instances import not_here
from hactl.decide.placement.plan import Plan, plan
from hactl.decide.timing import worst_case_ms
from hactl.model.cluster import ClusterSpec, GroupSpec
from hactl.status.clones import clone_status

# Of what runs on every node: `stop` (on all of them), `change`, and what one instance of it does.
What = Literal["stop", "move", "take over", "start", "restart", "change", "instance stops", "instance starts"]


_STOPS = ("stop", "instance stops")


@dataclass(frozen=True)
class Supposed:
    """What is supposed. `kill`, `standby`: nodes; `fail`: groups, on their nodes; `cluster`: another configuration."""

    kill: tuple[str, ...] = ()
    standby: tuple[str, ...] = ()
    fail: tuple[str, ...] = ()
    cluster: ClusterSpec | None = None


class Effect(NamedTuple):
    """What becomes of one group, or of one instance. `worst_ms`: how long it is away at worst, None: there is no bound.
    `usual_ms`: how long it was away the last times, None: it never was."""

    group: str
    what: What
    origin: str
    to: str
    reason: str
    worst_ms: float | None = None
    usual_ms: float | None = None


@dataclass
class Outcome:
    """What would happen, in the order in which it begins. `stays`: the groups to which nothing happens."""

    effects: list[Effect] = field(default_factory=list)
    stays: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {"effects": [effect._asdict() for effect in self.effects], "stays": self.stays}


def simulate(
    cluster: ClusterSpec, view: View, supposed: Supposed, takeovers: Sequence[Mapping[str, Any]] = ()
) -> Outcome:
    """What would happen. `takeovers`: earlier ones, as `hactl timeline` has them."""
    before, after = plan(cluster, view), plan(supposed.cluster or cluster, _as_supposed(view, supposed))
    outcome = Outcome()
    for name in dict.fromkeys([group.name for group in (*cluster.groups, *after.cluster.groups)]):
        if _is_clone(before, name) or _is_clone(after, name):
            effects = list(_of_clone(before, after, supposed, name))
        else:
            effect = _effect(before, after, supposed, name, takeovers)
            effects = [effect] if effect is not None else []
        outcome.effects += effects
        if not effects:
            outcome.stays.append(name)
    _restart_those_behind(after, outcome)
    outcome.effects = _in_order(after, outcome.effects)
    return outcome


def _is_clone(planned: Plan, name: str) -> bool:
    group = planned.cluster.group(name)
    return group is not None and group.run == "all"


def _of_clone(before: Plan, after: Plan, supposed: Supposed, name: str) -> Iterator[Effect]:
    """What becomes of the instances of a group that runs on every node."""
    old, new = _instances(before, name), _instances(after, name)
    if old and not new:
        yield Effect(name, "stop", ", ".join(old), "", _why_no_instance(after, supposed, name, next(iter(old))))
        return
    for node in [node for node in old if node not in new]:
        yield Effect(name, "instance stops", node, "", _why_no_instance(after, supposed, name, node))
    for node in [node for node in new if node not in old]:
        yield Effect(name, "instance starts", "", node, "it is to run there then")
    spec, changed = before.cluster.group(name), after.cluster.group(name)
    stays = ", ".join(node for node in new if node in old)
    if stays and spec is not None and changed is not None and spec.resources != changed.resources:
        reason = "its resources change: one node after the other restarts its instance"
        yield Effect(name, "change", stays, stays, reason, _stop_and_start_ms(spec, changed))


def _instances(planned: Plan, name: str) -> dict[str, None]:
    """The live nodes that are to have an instance."""
    clone = planned.cluster.group(name)
    if clone is None or clone.run == "one":
        return {}
    instances = clone_status(planned.view, planned, clone)["nodes"]
    return dict.fromkeys(instance["node"] for instance in instances if instance["live"] and instance["wanted"])


def _why_no_instance(after: Plan, supposed: Supposed, name: str, node: str) -> str:
    if node in supposed.kill:
        return f"{node} is dead"
    clone = after.cluster.group(name)
    if clone is None or clone.run == "one":
        return "taken out of the configuration"
    return not_here(clone, node, after.places(name) if clone.enabled else None, after.view)


def _as_supposed(view: View, supposed: Supposed) -> View:
    there = view.copy()
    for node in supposed.kill:
        there.sessions.pop(node, None)
    for node in supposed.standby:
        there.standby[node] = Versioned("simulated", 0, 0)
    for group in supposed.fail:
        owner = _owner(view, group)
        if owner:
            there.failures[f"{group}/{owner}"] = Versioned(Failure(1, "simulated", "it is supposed to fail"), 0, 0)
    return there


def _owner(view: ReadView, group: str) -> str:
    stored = view.groups.get(group)
    return stored.record.node if stored is not None and stored.record.state != "released" else ""


def _effect(
    before: Plan, after: Plan, supposed: Supposed, name: str, takeovers: Iterable[Mapping[str, Any]]
) -> Effect | None:
    origin, to = _owner(before.view, name), after.targets.get(name, "")
    if not origin:
        # What is about to start anyhow is no effect.
        return Effect(name, "start", "", to, "it has a node then") if to and name not in before.targets else None
    if not to:
        return Effect(name, "stop", origin, "", _nowhere(after, supposed, name, origin))
    old, new = before.cluster.group(name), after.cluster.group(name)
    assert new is not None
    if origin in supposed.kill:
        worst = worst_case_ms(after.cluster.timing, new, after.cluster.fencing, (origin,)).total_ms
        return Effect(name, "take over", origin, to, f"{origin} is dead", worst, _usual(takeovers, name, planned=False))
    if to != origin:
        reason = after.choice(name).excluded.get(origin, "there all groups have a place")
        worst = 0.0 if new.overlap else _stop_and_start_ms(old, new)
        return Effect(name, "move", origin, to, reason, worst, _usual(takeovers, name))
    if old is not None and old.resources != new.resources:
        return Effect(name, "change", origin, to, "its resources change: it is restarted", _stop_and_start_ms(old, new))
    return None


def _nowhere(after: Plan, supposed: Supposed, name: str, origin: str) -> str:
    """Why it runs nowhere: that its node is gone or not to be used, and why not on each other one."""
    reasons = dict(after.choice(name).excluded)
    first = f"{origin} is dead" if origin in supposed.kill else reasons.get(origin, "")
    others = [f"{node}: {why}" for node, why in reasons.items() if node != origin]
    return "; ".join([first, *others] if first else others)


def _stop_and_start_ms(old: GroupSpec | None, new: GroupSpec | None) -> float:
    stops = sum(resource.stop_timeout_ms for resource in old.resources) if old is not None else 0.0
    return stops + (sum(resource.start_timeout_ms for resource in new.resources) if new is not None else 0.0)


def _usual(takeovers: Iterable[Mapping[str, Any]], group: str, *, planned: bool = True) -> float | None:
    times = [
        float(takeover["phases"]["total"])
        for takeover in takeovers
        if takeover.get("group") == group
        and (takeover.get("reason") != "node_lost") == planned
        and "total" in takeover.get("phases", {})
    ]
    return round(statistics.median(times), 1) if times else None


def _restart_those_behind(planned: Plan, outcome: Outcome) -> None:
    """Groups that must run after one that is away for a moment are stopped and started with it."""
    away = [effect.group for effect in outcome.effects if not effect.what.startswith("instance")]
    for name in away:
        for behind in planned.rules.behind.get(name, ()):
            if behind in outcome.stays:
                outcome.stays.remove(behind)
                node = planned.targets.get(behind, "")
                outcome.effects.append(Effect(behind, "restart", node, node, f"it runs after {name}"))
                away.append(behind)


def _in_order(planned: Plan, effects: list[Effect]) -> list[Effect]:
    """Those that others run after come first, as they start."""
    by_name: dict[str, list[Effect]] = {}
    for effect in effects:
        by_name.setdefault(effect.group, []).append(effect)
    ordered: dict[str, list[Effect]] = {}

    def put(name: str, seen: frozenset[str]) -> None:
        if name in ordered or name not in by_name or name in seen:
            return
        group = planned.cluster.group(name)
        for relation in (*group.placing.after, *group.placing.together_with) if group is not None else ():
            put(relation.group, seen | {name})
        ordered[name] = by_name[name]

    for effect in effects:
        put(effect.group, frozenset())
    stops = [effect for some in reversed(ordered.values()) for effect in some if effect.what in _STOPS]
    return [*stops, *(effect for some in ordered.values() for effect in some if effect.what not in _STOPS)]


def with_names_checked(cluster: ClusterSpec, supposed: Supposed) -> list[str]:
    """What is supposed of nodes and groups that are not there, in words."""
    nodes, groups = {node.name for node in cluster.nodes}, {group.name for group in cluster.groups}
    clones = {group.name for group in cluster.clones}
    unknown = [f"no node `{name}`" for name in (*supposed.kill, *supposed.standby) if name not in nodes]
    unknown += [f"no group `{name}`" for name in supposed.fail if name not in groups]
    words = "runs on every node, and one that fails there moves nothing by itself: use --standby NODE"
    return unknown + [f"group `{name}` {words}" for name in supposed.fail if name in clones]
