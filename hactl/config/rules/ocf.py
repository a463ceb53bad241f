"""What the OCF resource agents, as installed on this machine, say about the resources that name them.

For `hactl config check` and `apply` alone: a daemon asks its node's agents by itself, whether they fit what
it is to run (`hactl.resources.ocf.resource`).
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from typing import NamedTuple

from fencing.agents.secret_sources import SecretError, read_secret
from hactl.config.advice import Answers
from hactl.config.errors import KeyPath
from hactl.config.load import Loaded
from hactl.config.rules.findings import Finding, twice
from hactl.linux.errors import OperationError
from hactl.model.cluster import ClusterSpec
from hactl.model.resources import OcfSpec, PromoteSpec
from hactl.resources.base import NodeContext
from hactl.resources.ocf import parameters
from hactl.resources.ocf.catalog import InstalledAgent
from hactl.resources.ocf.resource import Ocf


class _Here(NamedTuple):
    """A resource with its place. `runs_here`: its group may run on this node."""

    path: KeyPath
    group: str
    spec: OcfSpec
    runs_here: bool


def ocf_findings(loaded: Loaded, answers: Answers, node: str) -> list[Finding]:
    """The agents' objections. `node`: the name of this machine in the cluster; "" or another: none of the groups runs
    here, so that an agent which is missing is only a remark."""
    resources = list(_resources(loaded.spec, node))
    findings = [finding for here in resources for finding in _of_resource(here, answers[here.spec.options.agent], node)]
    findings += _shared(resources, answers)
    findings += _not_promotable(loaded.spec, answers)
    if not any(finding.refused for finding in findings) and os.geteuid() == 0:
        findings += asyncio.run(_validated([here for here in resources if here.runs_here], answers, node))
    return findings


def _resources(spec: ClusterSpec, node: str) -> Iterator[_Here]:
    for number, group in enumerate(spec.groups):
        nodes = group.nodes or tuple(known.name for known in spec.nodes)
        for place, resource in enumerate(group.resources):
            if isinstance(resource, OcfSpec):
                path = ("groups", number, "resources", place, "ocf")
                yield _Here(path, group.name, resource, node in nodes)


def _of_resource(here: _Here, agent: InstalledAgent, node: str) -> Iterator[Finding]:
    options, metadata = here.spec.options, agent.metadata
    if metadata is None:
        at = (*here.path, "agent")
        if agent.path:
            yield Finding(at, f"{agent.name} does not work here: {agent.broken}", "see `hactl resource agents`")
        else:
            text, _, hint = agent.broken.partition("; ")
            unchecked = "" if here.runs_here else ", so that its parameters are not checked"
            yield Finding(at, text.replace("this node", _named(node)) + unchecked, hint, here.runs_here)
        return
    if metadata.lacks:
        text = f"{agent.name} has no action `{'`, `'.join(metadata.lacks)}`"
        yield Finding((*here.path, "agent"), text, "it is no resource that can be started and stopped: choose another")
    for problem in parameters.check(agent.name, metadata, options):
        path = (*here.path, problem.section, problem.name) if problem.in_use else here.path
        yield Finding(path, problem.message, problem.hint, problem.refused)
    if here.runs_here and os.geteuid() == 0:
        yield from _secrets(here, node)


def _not_promotable(spec: ClusterSpec, answers: Answers) -> Iterator[Finding]:
    """Agents whose resources are to be promoted, and that cannot. One that is not here is another finding."""
    for number, group in enumerate(spec.groups):
        for place, resource in enumerate(group.resources):
            promoted = resource.options.instance if isinstance(resource, PromoteSpec) else None
            metadata = answers[promoted.options.agent].metadata if isinstance(promoted, OcfSpec) else None
            lacking = [action for action in ("promote", "demote") if metadata is not None and not metadata.can(action)]
            if lacking and isinstance(promoted, OcfSpec):
                yield Finding(
                    ("groups", number, "resources", place, "promote", "of"),
                    f"{promoted.options.agent} has no action `{'`, `'.join(lacking)}`",
                    "its instances cannot be promoted: choose another agent, or a unit or commands with your own "
                    "`promote`, `demote` and `role`",
                )


def _secrets(here: _Here, node: str) -> Iterator[Finding]:
    for name, path in here.spec.options.secrets.items():
        try:
            read_secret(path)
        except SecretError as error:
            hint = "without it this node cannot run the group"
            yield Finding((*here.path, "secrets", name), f"on this node, {node}: {error}", hint, refused=False)


def _shared(resources: list[_Here], answers: Answers) -> Iterator[Finding]:
    """Values that, as the agent says, no two of its resources may have in common."""
    held = []
    for here in resources:
        metadata = answers[here.spec.options.agent].metadata
        for name, value in here.spec.options.parameters.items():
            known = metadata.parameter(name) if metadata else None
            if known is not None and known.unique and value:
                key = (here.spec.options.agent, name, value)
                held.append(((*here.path, "parameters", name), key, f"`{name}: {value}` of {here.spec.options.agent}"))
    hint = "its agent wants another value for each resource"
    yield from (finding._replace(refused=False) for finding in twice(held, hint))


async def _validated(resources: list[_Here], answers: Answers, node: str) -> list[Finding]:
    """Remarks: what an agent lacks here may come with a resource that starts before it, such as a mount."""
    findings = []
    for here in resources:
        metadata = answers[here.spec.options.agent].metadata
        if metadata is not None and metadata.can("validate-all") and (problem := await _validate(here, node)):
            hint = "right if a resource before it in its group brings what it lacks"
            findings.append(Finding(here.path, f"on this node, {node}: {problem}", hint, refused=False))
    return findings


async def _validate(here: _Here, node: str) -> str:
    try:
        with tempfile.TemporaryDirectory(prefix="hactl-check-") as directory:
            return await Ocf(here.spec, NodeContext(node, directory, None), here.group).validate()
    except OSError as error:
        return f"validate-all: no room for a directory: {error.strerror}"
    except OperationError as error:
        return str(error)


def _named(node: str) -> str:
    return f"this node, {node}" if node else "this machine"
