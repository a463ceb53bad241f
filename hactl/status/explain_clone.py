"""Why a group that runs on every node does or does not run on each of them (`hactl explain`). Pure."""

from __future__ import annotations

from typing import Any

from hactl.decide.placement.plan import Plan
from hactl.decide.planned import off, sent_off
from hactl.model.cluster import GroupSpec
from hactl.status.clone_words import at_rest, is_on
from hactl.status.clones import clone_status
from hactl.status.explain import Why, let_in, relations

_BY_CONFIGURATION = "by `nodes`, `never` or `where` of the group in cluster.yaml; `where` may ask for a health check"


def explain_clone(planned: Plan, clone: GroupSpec) -> dict[str, Any]:
    """The explanation of one clone, in the form of that of a group: without an owner."""
    status = clone_status(planned.view, planned, clone)
    known = {instance["node"]: instance for instance in status["nodes"]}
    here = _overall(planned, clone, status)
    nodes = [_node(planned, clone, status, known.get(node), node) for node in planned.rules.nodes]
    return {
        "group": clone.name,
        "state": status["state"],
        "owner": "",
        "target": "",
        "since": "",
        "why": here.reason,
        "hint": here.hint,
        "relations": relations(planned, clone),
        "nodes": nodes,
    }


def _overall(planned: Plan, clone: GroupSpec, status: dict[str, Any]) -> Why:
    if reason := off(planned.view, clone):
        return Why(
            f"it is {reason}", f"hactl group start {clone.name}" if clone.enabled else "`enabled: true` in cluster.yaml"
        )
    if status["state"] == "unmanaged":
        return Why("it is left alone (maintenance)", f"hactl group manage {clone.name}")
    return Why(f"it runs on each node where it may: {status['running']} of {status['wanted']} instances run")


def _node(
    planned: Plan, clone: GroupSpec, status: dict[str, Any], instance: dict[str, Any] | None, node: str
) -> dict[str, Any]:
    if instance is None:
        places = dict(planned.places(clone.name).excluded) if clone.enabled else {}
        why, verdict = Why(places.get(node, "disabled"), _BY_CONFIGURATION), "no"
    elif not instance["wanted"]:
        leaves = "; it is leaving" if is_on(status, node) else ""
        why, verdict = Why(instance["why_not"] + leaves, _to_allow(planned, clone, node)), "no"
    elif not instance["live"]:
        why, verdict = Why("the node takes no part", f"start hactl on {node}"), "down"
    elif at_rest(instance):
        why, verdict = Why("its instance runs"), "owner"
    else:
        reason = f"its instance is {instance['state']}" + (f": {instance['reason']}" if instance["reason"] else "")
        hint = f"hactl group cleanup {clone.name} --node {node}" if instance["state"] == "failed" else ""
        why, verdict = Why(reason, hint), "down"
    return {"node": node, "verdict": verdict, "rank": None, "reason": why.reason, "hint": why.hint}


def _to_allow(planned: Plan, clone: GroupSpec, node: str) -> str:
    if off(planned.view, clone):
        return ""
    return let_in(planned.view, clone.name, node) if sent_off(planned.view, clone.name, node) else _BY_CONFIGURATION
