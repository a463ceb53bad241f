"""Why a group is where it is, why not elsewhere, and what would change that (`hactl explain`). Pure.

From the plan by which the daemons decide: what is said here is what they do.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from election.reading import ReadView
from hactl.decide.placement.eligible import node_away
from hactl.decide.placement.plan import Plan
from hactl.decide.placement.rules import Place
from hactl.decide.planned import kept_off, off
from hactl.decide.readiness import reported
from hactl.model.cluster import GroupSpec
from hactl.status.document import group_state


class Why(NamedTuple):
    """A reason, and what to do about it ("": nothing, or that is said by the reason)."""

    reason: str
    hint: str = ""


def explain(planned: Plan, group: GroupSpec, waiting: str) -> dict[str, Any]:
    """The explanation of one group. `waiting`: why it does not run, as in its status."""
    view, choice = planned.view, planned.choice(group.name)
    stored = view.groups.get(group.name)
    owner = stored.record.node if stored is not None and stored.record.state != "released" else ""
    here = _here(planned, group, owner, waiting)
    nodes = [_node(planned, group, name, owner) for name in planned.rules.nodes]
    return {
        "group": group.name,
        "state": group_state(view, group),
        "owner": owner,
        "target": choice.target,
        "since": stored.record.reason if stored is not None and owner else "",
        "why": here.reason,
        "hint": here.hint,
        "relations": relations(planned, group),
        "requires": [{"service": each.service, "must": each.must} for each in group.placing.requires],
        "nodes": nodes,
    }


def _here(planned: Plan, group: GroupSpec, owner: str, waiting: str) -> Why:
    view, choice = planned.view, planned.choice(group.name)
    if reason := off(view, group):
        hint = f"hactl group start {group.name}" if group.enabled else "`enabled: true` in cluster.yaml"
        return Why(f"it is {reason}", hint)
    if group.name in view.moves:
        to = view.moves[group.name].record.to or choice.best_but(owner)
        return Why(f"an operator has requested its move to {to}")
    if not choice.target:
        return Why("no node may run it now; for each node below is why, and what helps")
    if not owner:
        return Why(f"nobody has it yet: {waiting}" if waiting else f"{choice.target} is about to take it")
    standing = reported(view, group.name, owner)
    if choice.target == owner and standing.level != "ready":
        better = next((name for name in choice.candidates if not _level(view, group, name)), "")
        if better:
            return Why(f"{owner} is not well for it ({standing.why}), so it goes to {better} if this lasts")
        return Why(f"{owner} is not well for it ({standing.why}), but no other node is better, so it stays")
    if choice.target == owner:
        stays = "it stays where it runs, as long as it may be there"
        if group.placing.failback == "immediately":
            stays += ", and no better node is ready"
        elif group.placing.failback != "never":
            stays += f"; to a better node it goes within {group.placing.failback} UTC"
        return Why(stays)
    reason = choice.excluded.get(owner) or "there all groups have a place"
    return Why(f"it is to go from {owner} to {choice.target}: {reason}" + (f"; {waiting}" if waiting else ""))


def _node(planned: Plan, group: GroupSpec, node: str, owner: str) -> dict[str, Any]:
    choice = planned.choice(group.name)
    rank = choice.rank(node)
    if rank is None:
        why = _why_not(planned, group, node)
        return {"node": node, "verdict": "no", "rank": None, "reason": why.reason, "hint": why.hint}
    if node == owner:
        return {"node": node, "verdict": "owner", "rank": rank, "reason": "it has the group", "hint": ""}
    reason = "the first choice" if rank == 0 else f"choice {rank + 1}: " + _comparison(planned, group, node)
    hint = f"hactl failover {group.name} --to {node}" if owner else ""
    return {"node": node, "verdict": "may", "rank": rank, "reason": reason, "hint": hint}


def _comparison(planned: Plan, group: GroupSpec, node: str) -> str:
    """Why another node comes before this one."""
    first = planned.choice(group.name).target
    places = {place.node: place for place in planned.places(group.name).allowed}
    mine, other = places.get(node), places.get(first)
    there = reported(planned.view, group.name, node)
    if there.level == "poor" and reported(planned.view, group.name, first).level != "poor":
        return f"it is poor for it: {there.why}"
    if mine is not None and other is not None and (words := _less(group, mine, other)):
        return words
    wanted = planned.wanted.get(group.name)
    return f"{first} has it" if wanted is not None and wanted.now == first else f"as good as {first}, which comes first"


def _level(view: ReadView, group: GroupSpec, node: str) -> int:
    """How bad the node is for the group; 0: ready."""
    return reported(view, group.name, node).badness


def _less(group: GroupSpec, mine: Place, other: Place) -> str:
    if mine.disliked > other.disliked:
        return f"it does not fulfil `prefers: {group.placing.prefers}`"
    if mine.loss > other.loss and group.placing.weights:
        return f"its weight is lower by {mine.loss - other.loss}"
    return f"{other.node} stands before it in `nodes`" if mine.loss > other.loss else ""


def _why_not(planned: Plan, group: GroupSpec, node: str) -> Why:
    view, name = planned.view, group.name
    reason = planned.choice(name).excluded.get(node, "it is no node of this cluster")
    if off(view, group) or name not in planned.rules.places:
        return Why(reason)
    if node in dict(planned.places(name).excluded):
        return Why(
            reason,
            "by `nodes`, `never` or `where` of the group in cluster.yaml; `where` may ask for a health check",
        )
    if node_away(node, view):
        return Why(reason, f"start hactl there (`systemctl start hactl`); see `hactl fence status {node}`")
    if kept_off(view, name, node):
        return Why(reason, let_in(view, name, node))
    if f"{name}/{node}" in view.failures:
        return Why(reason, f"repair it, then `hactl group cleanup {name} --node {node}`; else it is tried again later")
    if reported(view, name, node).level == "unfit":
        return Why(reason, "repair that on the node: it is seen by itself")
    if node in planned.lacking.must.get(name, {}):
        return Why(reason, f"hactl explain {_instance_of(planned, name, reason)}")
    return Why(reason, "it follows from where the other groups are: see `together_with`, `apart_from`, `needs`")


def _instance_of(planned: Plan, group: str, reason: str) -> str:
    """The clone of which the group lacks an instance."""
    names = [relation.group for relation in planned.rules.instances[group] if relation.must]
    return next((name for name in names if reason.startswith(f"{name}, ")), names[0])


def let_in(view: ReadView, group: str, node: str) -> str:
    """The command that ends an operator's request to keep the group off the node."""
    if node in view.standby:
        return f"hactl node online {node}"
    if node in view.node_maintenance:
        return f"hactl maintenance off --node {node}"
    return f"hactl group clear {group} {node}"


def relations(planned: Plan, group: GroupSpec) -> list[dict[str, Any]]:
    """The groups that it goes by, and those that go by it."""
    rows = []
    for kind in ("together_with", "apart_from", "after"):
        for relation in getattr(group.placing, kind):
            rows.append({"kind": kind, "group": relation.group, "must": relation.must, "of": group.name})
        for name, other in {**planned.rules.groups, **planned.rules.clones}.items():
            rows += [
                {"kind": kind, "group": group.name, "must": relation.must, "of": name}
                for relation in getattr(other.placing, kind)
                if relation.group == group.name
            ]
    return rows
