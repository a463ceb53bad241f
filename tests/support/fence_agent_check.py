"""A device's options, checked by its real agent."""

from __future__ import annotations

from collections.abc import Mapping

from fencing.agents.agent import AgentCall, run_agent
from fencing.agents.catalog import ASK_TIMEOUT_S, describe
from fencing.agents.options import OptionProblem, OptionValue, check_options


async def check_device(
    agent: str, options: Mapping[str, OptionValue], *, plug: str | None = None, timeout_s: float = ASK_TIMEOUT_S
) -> list[OptionProblem]:
    """The problems of a device's options, by the agent's metadata and by its own check of them (`validate-all`, which
    does not speak to the device). `plug` is one of the device's plugs, where it has several."""
    described = await describe(agent, timeout_s=timeout_s)
    if described.metadata is None:
        return [OptionProblem("", f"{agent}: {described.broken}", "`hactl fence agents` shows what there is")]
    metadata = described.metadata
    problems = check_options(metadata, options, plug=plug is not None)
    if any(problem.level == "error" for problem in problems) or not metadata.can("validate-all"):
        return problems
    call = AgentCall(
        described.path, "validate-all", timeout_s, options, plug,
        plug_option=metadata.plug_option or "port", secret_names=metadata.secret_names,
    )  # fmt: skip
    result = await run_agent(call)
    if result.outcome != "ok":
        problems.append(OptionProblem("", f"{agent} refuses these options", result.detail))
    return problems
