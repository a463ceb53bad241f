"""Groups that run on every node, from the status document: in words, and whether they are as they are to be. Pure, and
light to import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# In these phases nothing of an instance runs.
DOWN = ("", "stopped", "barred")


def mark_clones_as_old(document: dict[str, Any], age_ms: int) -> None:
    """Etcd does not answer: what they do is not known."""
    for clone in document["clones"]:
        if clone["enabled"]:
            clone["state"] = "unknown"
            for instance in clone["nodes"]:
                instance["reason"] = f"{age_ms / 1000:.0f} s ago: {instance['state']}"
                instance["state"] = "unknown"


def is_on(clone: Mapping[str, Any], node: str) -> bool:
    """Whether something of it is on the node, as far as is known."""
    return any(instance["node"] == node and instance["phase"] not in DOWN for instance in clone["nodes"])


def about_clone(clone: Mapping[str, Any]) -> str:
    """A clone in words: on how many nodes it runs, and why not on others."""
    state = "is to be restarted" if clone["restarting"] else f"is {clone['state']}"
    others = "; ".join(about_instance(instance) for instance in clone["nodes"] if not at_rest(instance))
    return f"{clone['name']} {state}, on {clone['running']} of {clone['wanted']}" + (f" ({others})" if others else "")


def about_instance(instance: Mapping[str, Any]) -> str:
    """An instance in words."""
    before = "by its configuration before" if instance["outdated"] else ""
    why = instance["reason"] or before or ("" if instance["wanted"] else instance["why_not"])
    return f"{instance['node']}: {instance['state']}" + (f", {why}" if why else "")


def at_rest(instance: Mapping[str, Any]) -> bool:
    """Whether it is as it is to be, or nothing can be known of it."""
    if not instance["live"]:
        return True
    if instance["wanted"]:
        return bool(instance["state"] == "running" and not instance["outdated"])
    return instance["phase"] in DOWN


def is_on_its_way(instance: Mapping[str, Any]) -> bool:
    """Whether it starts or stops, or soon will: it is not as it is to be, and has not failed either."""
    return not at_rest(instance) and not instance["alone"] and instance["state"] not in ("failed", "blocked")
