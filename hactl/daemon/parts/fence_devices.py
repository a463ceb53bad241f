"""Fence devices as configured, spoken to by their agents.

The metadata of an agent is read when the configuration is, by `preload`, and not on the way to an action: of an
agent that is not known yet a plug is given as `port`, which agents understand by convention (FenceAgentAPI).
"""

from __future__ import annotations

import asyncio

import structlog

from election.clock import remaining
from fencing.agents.agent import AgentCall, AgentResult, run_agent
from fencing.agents.catalog import describe
from fencing.agents.metadata import Metadata
from fencing.agents.verdict import Action
from fencing.linux.clock import now
from fencing.topology import Device, Topology
from hactl.model.cluster import ClusterSpec
from hactl.model.effects import FenceAct
from hactl.model.events import FenceActed

log = structlog.get_logger()

# How many agents are asked about themselves at a time: each is an interpreter that starts.
AT_ONCE = 2

_known: dict[str, Metadata] = {}


async def preload(topology: Topology) -> None:
    """Read the metadata of all devices' agents. One that is unchanged since it was asked is not asked."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def ask(agent: str) -> None:
        async with turns:
            installed = await describe(agent)
        if installed.metadata is not None:
            _known[agent] = installed.metadata
        elif _known.pop(agent, None) is not None or installed.path:
            log.warning("fence_agent_unusable", agent=agent, problem=installed.broken)

    await asyncio.gather(*(ask(agent) for agent in sorted({device.agent for device in topology.devices.values()})))


def can(device: Device, action: Action) -> bool:
    """Whether the device's agent has the action, by its metadata; False while that is unknown."""
    known = _known.get(device.agent)
    return known is not None and known.can(action)


async def ask(
    device: Device, action: Action, timeout_ms: float, *, plug: str = "", node: str = "", cgroup: str | None = None
) -> AgentResult:
    """Have the device's agent do `action` on `plug`, for `node`. `cgroup`: as for `run_agent`. Never raises for a
    failure of it; a cancellation kills the agent."""
    known = _known.get(device.agent)
    call = AgentCall(
        agent=device.agent,
        action=action,
        timeout_s=timeout_ms / 1000,
        options=device.options,
        plug=plug or None,
        node=node or None,
        plug_option=(known.plug_option if known else None) or "port",
        secret_names=known.secret_names if known else frozenset(),
    )
    return await run_agent(call, cgroup=cgroup)


async def act(spec: ClusterSpec, effect: FenceAct, *, cgroup: str | None = None) -> FenceActed:
    """Carry out an action of a fence job."""
    device = spec.fencing.devices.get(effect.target.device)
    if device is None:
        return _failed(effect, f"there is no device `{effect.target.device}` in the configuration in use")
    if effect.until is not None and remaining(effect.until, now()) < effect.timeout_ms:
        # Others take it that nothing hits the node after that (docs/protocol.md, *Guarantees*: S5).
        return _failed(effect, "not begun: this node was held up, and it could have come too late")
    try:
        done = await ask(
            device, effect.action, effect.timeout_ms, plug=effect.target.plug, node=effect.node, cgroup=cgroup
        )
    except Exception as error:  # the decide side must get an outcome
        log.exception("fence_action_crashed", device=device.name, action=effect.action)
        return _failed(effect, f"{type(error).__name__}: {error}")
    return FenceActed(effect.id, done.outcome == "ok", done.power, done.detail)


def _failed(effect: FenceAct, detail: str) -> FenceActed:
    return FenceActed(effect.id, False, "unknown", detail)
