"""Problems of fencing on this machine: devices with options that their agents, as installed here, do not know; secrets
and a watchdog that this node lacks.

For `hactl config check` and `apply` alone: the daemon, which reads the same configuration, runs no agent for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from fencing.agents.catalog import Installed, describe
from fencing.agents.installed import find_agent, not_to_be_run
from fencing.agents.options import OptionProblem, check_options
from fencing.agents.secret_sources import SecretError, read_secret
from fencing.topology import Device, SecretFile, Topology
from hactl.config.load import Loaded
from hactl.config.parts import names
from hactl.config.rules.findings import Finding


def agent_findings(loaded: Loaded) -> list[Finding]:
    """The agents' objections to the devices' options; and, as remarks, the agents that are not installed here."""
    topology = loaded.spec.fencing
    places = {named.name: named.path for named in names(loaded.tree.data, ("fencing", "devices"))}
    answers = asyncio.run(_ask({device.agent for device in topology.devices.values()}))
    findings = []
    for device in topology.devices.values():
        for option, problem, hint, refused in _device(device, topology, answers[device.agent]):
            path = (*places[device.name], *option)
            findings.append(Finding(path, problem, hint, refused))
    return findings


def secret_findings(loaded: Loaded, node: str) -> list[Finding]:
    """Which secrets are not to be had on this machine, which is `node`. For root: others may not read them."""
    findings = []
    for named in names(loaded.tree.data, ("fencing", "devices")):
        for option, value in loaded.spec.fencing.devices[named.name].options.items():
            if isinstance(value, SecretFile):
                try:
                    read_secret(value.path)
                except SecretError as error:
                    hint = "without it this node cannot use the device"
                    findings.append(
                        Finding((*named.path, "options", option), f"on this node, {node}: {error}", hint, False)
                    )
    return findings


def watchdog_findings(loaded: Loaded, node: str) -> Iterator[Finding]:
    """That this machine, which is `node`, has no watchdog in use and a level counts on one."""
    for index, spec in enumerate(loaded.spec.nodes):
        for number, level in enumerate(loaded.spec.fencing.of(spec.name).levels if spec.name == node else ()):
            if level.watchdog:
                problem = f"on this node, {node}: node.toml has `watchdog` off, so that this level never counts"
                path = ("nodes", index, "fencing", "levels", number, "watchdog")
                yield Finding(path, problem, 'write `watchdog = "use"` or `"required"` in its node.toml', False)


async def _ask(agents: Iterable[str]) -> dict[str, Installed]:
    """One after another: this is no time to load the machine with dozens of interpreters at once."""
    return {agent: await describe(agent) for agent in sorted(agents)}


# The place in the device, the problem, the hint, and whether it is refused.
_Said = tuple[tuple[str, ...], str, str, bool]


def _device(device: Device, topology: Topology, answers: Installed) -> Iterator[_Said]:
    path = find_agent(device.agent)
    if path is None:
        text = f"{device.agent} is not installed here, so that its options are not checked"
        yield ("agent",), text, "install it on every node that is to fence: `hactl fence agents`", False
        return
    if refused := not_to_be_run(path):
        reason, _, fix = refused.partition(": `")
        yield ("agent",), f"{path} is not run: {reason}", f"`{fix}" if fix else "name an agent of the system's", True
        return
    if answers.metadata is None:
        yield ("agent",), f"{device.agent} does not work here: {answers.broken}", "see `hactl fence agents`", False
        return
    if not answers.metadata.verifiable:
        text = f"{device.agent} cannot say whether a machine is off (it has no `off` with `status`)"
        yield ("agent",), text, "choose another: what is not seen to be off is not taken to be off", True
        return
    if answers.metadata.unfencing and not device.unfence:
        text = f"{device.agent} says that a node has to be switched on by it before it takes part"
        yield ("agent",), text, "give the device `unfence: true`", False
    if device.unfence and not answers.metadata.can("on"):
        yield ("unfence",), f"{device.agent} has no `on`", "leave `unfence` out", True
    plugs = {target.plug for node in topology.nodes.values() for level in node.levels for target in level.targets
             if target.device == device.name}  # fmt: skip
    for problem in check_options(answers.metadata, device.options, plug=any(plugs)):
        secret = problem.option in answers.metadata.secret_names
        yield _place(device, problem), problem.message, problem.hint, problem.level == "error" or secret
    if any(plugs) and answers.metadata.plug_option is None:
        text = f"{device.agent} knows no plugs: it switches one machine"
        yield ("agent",), text, "leave out `plug` in the levels, and give each node a device of its own", True


def _place(device: Device, problem: OptionProblem) -> tuple[str, ...]:
    if problem.option in device.options:
        return ("options", problem.option)
    return ("options",) if device.options else ()
