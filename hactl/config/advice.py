"""The timeouts that OCF resource agents advise, for resources of a cluster.yaml that gives none.

What is stored has them written out, so that they are the same on every node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from hactl.config.instances import linked
from hactl.config.yaml_tree import Tree
from hactl.model.cluster import ClusterSpec
from hactl.model.resources import OcfSpec, PromoteSpec, ResourceSpec
from hactl.resources.ocf.catalog import InstalledAgent, describe

Answers = Mapping[str, InstalledAgent]
# By the names of our settings, the agent's actions.
_ACTIONS = {"start": "start", "stop": "stop", "monitor": "monitor"}
_OF_PROMOTION = {"start": "promote", "stop": "demote", "monitor": "monitor"}


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
    return linked(replace(spec, groups=tuple(groups)))


def _advised(resource: ResourceSpec, written: Mapping[str, Any], answers: Answers) -> ResourceSpec:
    promoted = resource.options.instance if isinstance(resource, PromoteSpec) else None
    driven = promoted or resource
    metadata = answers[driven.options.agent].metadata if isinstance(driven, OcfSpec) else None
    if metadata is None:
        return resource
    actions = _OF_PROMOTION if promoted else _ACTIONS
    longer = {
        f"{ours}_timeout_ms": max(getattr(resource, f"{ours}_timeout_ms"), metadata.advised_ms(of_agent) or 0)
        for ours, of_agent in actions.items()
        if f"{ours}_timeout" not in written
    }
    return msgspec.structs.replace(resource, **longer)


async def _ask(agents: set[str]) -> dict[str, InstalledAgent]:
    """One after another: this is no time to load the machine with dozens of interpreters at once."""
    return {agent: await describe(agent) for agent in sorted(agents)}
