"""The timeouts that OCF resource agents advise, for resources of a cluster.yaml that gives none.

What is stored has them written out, so that they are the same on every node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from hactl.config.yaml_tree import Tree
from hactl.model.cluster import ClusterSpec
from hactl.model.resources import OcfSpec, ResourceSpec
from hactl.resources.ocf.catalog import InstalledAgent, describe

Answers = Mapping[str, InstalledAgent]
_ACTIONS = ("start", "stop", "monitor")


def ask_agents(spec: ClusterSpec) -> Answers:
    """All agents that the configuration names, as they are installed here."""
    agents = {
        resource.options.agent for group in spec.groups for resource in group.resources if isinstance(resource, OcfSpec)
    }
    return asyncio.run(_ask(agents)) if agents else {}


def with_advice(spec: ClusterSpec, tree: Tree) -> ClusterSpec:
    """The cluster with the advised timeouts, where `tree` gives none and ours are shorter. An agent that is not
    installed here advises nothing."""
    answers = ask_agents(spec)
    if not answers:
        return spec
    groups = []
    for group, written in zip(spec.groups, tree.data["groups"], strict=True):
        pairs = zip(group.resources, written["resources"], strict=True)
        groups.append(replace(group, resources=tuple(_advised(*pair, answers) for pair in pairs)))
    return replace(spec, groups=tuple(groups))


def _advised(resource: ResourceSpec, written: Mapping[str, Any], answers: Answers) -> ResourceSpec:
    metadata = answers[resource.options.agent].metadata if isinstance(resource, OcfSpec) else None
    if not isinstance(resource, OcfSpec) or metadata is None:
        return resource
    times = {action: getattr(resource, f"{action}_timeout_ms") for action in _ACTIONS}
    longer = {
        f"{action}_timeout_ms": max(ours, metadata.advised_ms(action) or 0)
        for action, ours in times.items()
        if f"{action}_timeout" not in written
    }
    return msgspec.structs.replace(resource, **longer)


async def _ask(agents: set[str]) -> dict[str, InstalledAgent]:
    """One after another: this is no time to load the machine with dozens of interpreters at once."""
    return {agent: await describe(agent) for agent in sorted(agents)}
