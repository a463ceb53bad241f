"""The conditions of `hactl wait`, judged by the status document. Pure, and light to import."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from hactl.status.clone_words import about_clone, about_instance, at_rest, is_on, is_on_its_way

GROUP_STATES = ("running", "stopped", "unmanaged")
NODE_STATES = ("online", "standby", "dead")
SETTLED = "settled"

# How a condition is written, for the operator.
FORMS = "settled, GROUP=running|stopped|unmanaged, GROUP@NODE, NODE=online|standby|dead"

Document = Mapping[str, Any]


class Condition(NamedTuple):
    """`kind`: `settled`, `group` (its state is `value`), `at` (it runs on node `value`), `node` (its state is `value`);
    `text`: as it was typed."""

    text: str
    kind: str
    name: str = ""
    value: str = ""


def parse(text: str) -> Condition:
    """The condition as it was typed. Raises ValueError, with the forms that there are."""
    if text == SETTLED:
        return Condition(text, SETTLED)
    name, separator, value = text.partition("=")
    if separator and name and value in GROUP_STATES:
        return Condition(text, "group", name, value)
    if separator and name and value in NODE_STATES:
        return Condition(text, "node", name, value)
    name, separator, value = text.partition("@")
    if separator and name and value:
        return Condition(text, "at", name, value)
    raise ValueError(f"`{text}` is no condition; there are: {FORMS}")


def unknown_name(condition: Condition, document: Document) -> str:
    """What the condition names and the cluster does not have, in words; empty: all of it is there, or not yet known."""
    if document["stale_ms"] is not None or not document["config"]["revision"]:
        return ""
    nodes = [node["name"] for node in document["nodes"]]
    groups = [group["name"] for group in (*document["groups"], *document.get("clones", ()))]
    if condition.kind in ("group", "at") and condition.name not in groups:
        return f"no group `{condition.name}`; there are: {', '.join(groups) or 'none'}"
    node = condition.name if condition.kind == "node" else condition.value if condition.kind == "at" else ""
    return f"no node `{node}`; there are: {', '.join(nodes) or 'none'}" if node and node not in nodes else ""


def missing(condition: Condition, document: Document) -> str:
    """Why the condition does not hold, in words; empty: it holds. Nothing holds of what was known some time ago."""
    if document["stale_ms"] is not None:
        return "etcd does not answer"
    if condition.kind == SETTLED:
        return "; ".join(_unsettled(document))
    if condition.kind == "node":
        return _node_is_not(document, condition.name, condition.value)
    group = _named(document["groups"], condition.name)
    clone = _named(document.get("clones", ()), condition.name)
    if clone is not None:
        return _clone_is_not(clone, condition)
    if group is None:
        return f"no group {condition.name} is known"
    wanted = "running" if condition.kind == "at" else condition.value
    if not _is(group, wanted):
        return about(group)
    if condition.kind == "at" and group["owner"] != condition.value:
        return f"{condition.name} runs on {group['owner']}"
    return _let_go(group) if wanted == "running" else ""


def about(group: Mapping[str, Any]) -> str:
    """A group's state in words: where it is, and why it is not running."""
    where = f" on {group['owner']}" if group["owner"] else ""
    why = f" ({group['waiting']})" if group["waiting"] else ""
    state = f"{group['state']}, and to be restarted" if group["restarting"] else group["state"]
    return f"{group['name']} is {state}{where}{why}"


def leaving(document: Document, node: str) -> list[str]:
    """Of each group that is still on the node, why; empty: nothing of it is there any more."""
    groups = [about(group) for group in document["groups"] if group["owner"] == node or node in group["holders"]]
    clones = [clone for clone in document.get("clones", ()) if clone["state"] != "unmanaged" and is_on(clone, node)]
    return groups + [
        f"{clone['name']} on {about_instance(instance)}"
        for clone in clones
        for instance in clone["nodes"]
        if instance["node"] == node
    ]


def unplaced(document: Document, name: str) -> str:
    """Why a group is not where it belongs by what is asked for, in words; empty: it is, or no node may run it and none
    does. For a group that is left alone: nothing is waited for."""
    if document["stale_ms"] is not None:
        return "etcd does not answer"
    clone = _named(document.get("clones", ()), name)
    if clone is not None:
        return about_clone(clone) if any(map(is_on_its_way, clone["nodes"])) and not clone["maintenance"] else ""
    group = _named(document["groups"], name)
    if group is None:
        return f"no group {name} is known"
    if not group["candidates"]:
        return about(group) if group["owner"] and not group["maintenance"] else ""
    return _restless(group)


def _named(parts: Iterable[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    return next((part for part in parts if part["name"] == name), None)


def _is(group: Mapping[str, Any], state: str) -> bool:
    if state == "stopped":
        return not group["owner"] and group["state"] in ("stopped", "disabled", "released", "unowned")
    return bool(group["state"] == state) and not (state == "running" and group["restarting"])


def _clone_is_not(clone: Mapping[str, Any], condition: Condition) -> str:
    """Running: on all live nodes where it is to, and restarted on all of them where that was asked for."""
    if condition.kind == "at":
        instance = next((known for known in clone["nodes"] if known["node"] == condition.value), None)
        if instance is None:
            return f"{clone['name']} has no instance on {condition.value}"
        running = instance["state"] == "running" and instance["wanted"] and not clone["restarting"]
        return "" if running else f"{clone['name']} on {about_instance(instance)}"
    if condition.value == "stopped":
        there = not all(at_rest(instance) for instance in clone["nodes"])
        return about_clone(clone) if there or clone["state"] not in ("stopped", "disabled", "nowhere") else ""
    if clone["state"] == condition.value and not (condition.value == "running" and clone["restarting"]):
        return ""
    return about_clone(clone)


def _let_go(group: Mapping[str, Any]) -> str:
    """The earlier owners of an overlap that still run it."""
    return f"{', '.join(group['holders'])} still has {group['name']}" if group["holders"] else ""


def _node_is_not(document: Document, name: str, state: str) -> str:
    node = next((node for node in document["nodes"] if node["name"] == name), None)
    if node is None:
        return f"no node {name} is known"
    if state == "standby" and node["standby"]:
        return "; ".join(leaving(document, name))
    if state == "dead":
        return "" if node["state"] in ("dead", "absent") else f"{name} is {node['state'].replace('_', ' ')}"
    return "" if node["state"] == state else f"{name} is {node['state'].replace('_', ' ')}"


def _unsettled(document: Document) -> Iterator[str]:
    """What is on its way, or should be: in words, one after the other."""
    if document["config"]["problem"]:
        yield "the configuration in the store cannot be used"
    for group in document["groups"]:
        if reason := _restless(group):
            yield reason
    for clone in document.get("clones", ()):
        if clone["state"] != "unmanaged" and _clone_is_restless(clone):
            yield about_clone(clone)
    for move in document["moves"]:
        yield f"{move['group']} is to move from {move['from']} to {move['to'] or 'another node'}"
    for node in document["nodes"]:
        if node["state"] == "fence_pending":
            yield f"{node['name']} is not known to be stopped"
        elif node["state"] in ("online", "standby") and not node["config_current"]:
            yield f"{node['name']} does not use the newest configuration yet"


def _clone_is_restless(clone: Mapping[str, Any]) -> bool:
    if not clone["configured"] or clone["restarting"]:
        return True
    at_rest_all = all(at_rest(instance) for instance in clone["nodes"])
    return not at_rest_all or clone["state"] not in ("running", "stopped", "disabled", "nowhere")


def _restless(group: Mapping[str, Any]) -> str:
    """Why a group is not at rest; empty: it is where it stays."""
    name, state, owner, first = group["name"], group["state"], group["owner"], group["candidates"][:1]
    if not group["configured"]:
        return f"{name} is not in the configuration, and on {owner}"
    if state in ("unmanaged", "stopped", "disabled"):
        return ""
    if not _is(group, "running"):
        return about(group)
    if first and owner != first[0]:
        return f"{name} is on {owner}, and belongs on {first[0]}"
    return _let_go(group)
