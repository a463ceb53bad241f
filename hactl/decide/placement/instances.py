"""Instances of groups that run on every node (docs/clones.md), as placement sees them. Pure, and without a clock.

A group that runs with a clone is on a node that has an instance of it. An instance that is down for a moment is
restarted where it is, and moves nothing; one that has failed more often than that, or that is not to be there, does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from election.reading import ReadView
from election.records import GroupReport
from hactl.decide.node_reports import current_report
from hactl.decide.placement.rules import Places, Rules
from hactl.decide.planned import off, sent_off
from hactl.model.cluster import GroupSpec


class Lacking(NamedTuple):
    """Of each group the nodes on which it lacks an instance with which it must, or should, run, and why."""

    must: Mapping[str, Mapping[str, str]]
    should: Mapping[str, Mapping[str, str]]


def not_here(clone: GroupSpec, node: str, places: Places | None, view: ReadView) -> str:
    """Why no instance of the clone is to run on the node; empty: one is. `places`: None, the clone is disabled."""
    if reason := off(view, clone) or sent_off(view, clone.name, node):
        return reason
    return next((reason for name, reason in places.excluded if name == node), "") if places is not None else "disabled"


def said_of(view: ReadView, clone: str, node: str) -> GroupReport | None:
    """What the node says, in its present session, of its instance; None: nothing."""
    report = current_report(view, node)
    return report.groups.get(clone) if report is not None else None


def never(rules: Rules, group: str) -> dict[str, str]:
    """The nodes on which, by the configuration, the group never has an instance that it must run with, and why."""
    out: dict[str, str] = {}
    for relation in rules.instances.get(group, ()):
        if relation.must:
            places = rules.places[relation.group].excluded if relation.group in rules.clones else None
            excluded = dict(places) if places is not None else dict.fromkeys(rules.nodes, "disabled")
            out |= {node: _not_to_run(relation.group, reason) for node, reason in excluded.items()}
    return out


def _not_to_run(clone: str, reason: str) -> str:
    return f"{clone}, with which it runs, is not to run there: {reason}"


def lacking(rules: Rules, checked: Mapping[str, Places], view: ReadView) -> Lacking:
    """The nodes on which groups lack the instance of a clone with which they must, or should, run."""
    known: dict[str, dict[str, str]] = {}
    must: dict[str, dict[str, str]] = {}
    should: dict[str, dict[str, str]] = {}
    for group, relations in rules.instances.items():
        for relation in relations:
            if relation.group not in known:
                known[relation.group] = _without(rules, relation.group, checked, view)
            (must if relation.must else should).setdefault(group, {}).update(known[relation.group])
    return Lacking(must, should)


def _without(rules: Rules, name: str, checked: Mapping[str, Places], view: ReadView) -> dict[str, str]:
    """The nodes on which no instance runs or will run soon, and why."""
    clone = rules.clones.get(name)
    if clone is None:
        return dict.fromkeys(rules.nodes, _not_to_run(name, "disabled"))
    places = checked.get(name) or rules.places[name]
    without = {}
    for node in rules.nodes:
        said = said_of(view, name, node)
        if reason := not_here(clone, node, places, view):
            without[node] = _not_to_run(name, reason)
        elif said is not None and said.get("given_up"):
            without[node] = f"{name}, with which it runs, fails there: {said.get('reason', '')}"
    return without
