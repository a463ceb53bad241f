"""The warnings of groups that run on every node. Pure: from the status document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hactl.status.clone_words import at_rest
from hactl.status.service_warnings import Warning_


def clone_warnings(document: dict[str, Any]) -> Iterator[Warning_]:
    """What is wrong with instances, and what to do."""
    for clone in document["clones"]:
        if clone["state"] == "unmanaged":
            continue  # said of its maintenance
        for instance in clone["nodes"]:
            yield from _of_instance(clone, instance)
        if clone["state"] == "failed":
            yield "error", f"group {clone['name']} runs on no node", "see what is said of each of them"
        yield from _of_restart(clone)


def _of_instance(clone: dict[str, Any], instance: dict[str, Any]) -> Iterator[Warning_]:
    name, node, reason = clone["name"], instance["node"], instance["reason"]
    if not instance["live"] or at_rest(instance):
        return
    if instance["state"] == "blocked":
        yield "error", f"group {name} cannot be stopped on {node}: {reason}", f"stop it by hand on {node}"
    elif instance["phase"] == "barred":
        text = f"group {name} is not started on {node}: whether it runs there cannot be told ({reason})"
        yield "error", text, f"repair that on {node}: it is looked at again and again"
    elif not instance["wanted"]:
        words = f": {reason}" if reason else ""
        yield "notice", f"group {name} is to leave {node} ({instance['why_not']}){words}", "wait"
    elif instance["given_up"]:
        todo = f"repair it on {node}, then `hactl group cleanup {name} --node {node}`; it is tried again meanwhile"
        yield "error", f"group {name} fails on {node}, and nothing relies on it there: {reason}", todo
    elif instance["state"] == "failed":
        todo = f"it is restarted by itself; see `hactl events` and the log of {node}"
        yield "warning", f"group {name} has failed on {node}: {reason}", todo
    elif instance["outdated"] and instance["state"] == "running":
        text = f"group {name} runs on {node} by its configuration before: instances are restarted one after the other"
        yield "notice", text, "wait; where one does not come up, see what is said of it"
    elif not clone["restarting"]:
        why = f": {reason}" if reason else ""
        yield "notice", f"group {name} is {instance['state']} on {node}{why}", "wait; `hactl status --watch`"


def _of_restart(clone: dict[str, Any]) -> Iterator[Warning_]:
    """A restart from node to node, and for what it waits."""
    if not clone["restarting"]:
        return
    wanted = [instance for instance in clone["nodes"] if instance["live"] and instance["wanted"]]
    left = [instance["node"] for instance in wanted if not instance["restarted"]]
    failed = next((instance for instance in wanted if instance["state"] == "failed" or instance["alone"]), None)
    text = f"group {clone['name']} is being restarted, node after node; left: {', '.join(left) or 'none'}"
    if failed is None or not left:
        yield "notice", text, "wait; `hactl status --watch`"
        return
    todo = f"repair it there; to go on without it: `hactl group ban {clone['name']} {failed['node']}`"
    yield "warning", f"{text}; it waits, since it does not run on {failed['node']}: {failed['reason']}", todo
