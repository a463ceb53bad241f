"""`hactl fence agents` and `hactl fence describe`: the fence agents of this machine. Asks no daemon and no etcd."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hactl.cli import completion
from hactl.cli.common import CliError, say, tell
from hactl.cli.options import Json
from hactl.cli.output import Style, table, wrap

if TYPE_CHECKING:
    from fencing.agents.catalog import Installed
    from fencing.agents.metadata import ActionInfo, Metadata, Parameter
    from hactl.resources.ocf.catalog import InstalledAgent

Agent = Annotated[
    str,
    typer.Argument(
        metavar="AGENT", help="A name such as fence_ipmilan, or an absolute path.", autocompletion=completion.agents
    ),
]

INDENT = "    "


def agents(as_json: Json = False) -> None:
    """List the fence agents that are installed here; for an agent that does not work, the reason."""
    from fencing.agents.catalog import installed_agents  # noqa: PLC0415 - few commands need it

    only_warnings()
    installed = asyncio.run(installed_agents())
    show_list(
        installed,
        "no fence agent is installed here: `apt install fence-agents-ipmilan` (Debian 12: fence-agents), or your own "
        "as fence_NAME",
        as_json=as_json,
    )


def show_list(installed: Sequence[Installed | InstalledAgent], none: str, *, as_json: bool) -> None:
    """Installed agents, of fencing or of resources, with what they are for. `none`: the words where there are none."""
    if as_json:
        say(json.dumps([listed(agent) for agent in installed], indent=2))
        return
    if not installed:
        tell(none)
        return
    rows = [
        (agent.name, agent.metadata.summary if agent.metadata else f"BROKEN: {agent.broken}") for agent in installed
    ]
    for line in table(("AGENT", "WHAT FOR"), rows, Style.of()):
        say(line)


def listed(agent: Installed | InstalledAgent) -> dict[str, Any]:
    """An agent of a list, for JSON."""
    summary = agent.metadata.summary if agent.metadata else None
    return {"name": agent.name, "path": agent.path, "summary": summary, "broken": agent.broken or None}


def describe(agent: Agent, as_json: Json = False) -> None:
    """Show an agent's description of itself: its options, with defaults, and its actions.

    Exit status: 0 shown, 1 the agent is not installed, or does not work.
    """
    from fencing.agents import catalog  # noqa: PLC0415 - few commands need it

    only_warnings()
    described = asyncio.run(catalog.describe(agent))
    if described.metadata is None:
        if as_json:
            say(json.dumps(listed(described), indent=2))
            raise typer.Exit(1)
        raise CliError(f"{agent}: {described.broken}; `hactl fence agents` lists those installed")
    if as_json:
        say(json.dumps(_document(described, described.metadata), indent=2))
        return
    for line in _page(described.metadata, Style.of()):
        say(line)


def only_warnings() -> None:
    """The library logs each run of an agent, for the daemon; here only the answer is printed."""
    import structlog  # noqa: PLC0415 - as above

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


def _document(agent: Installed, metadata: Metadata) -> dict[str, Any]:
    return {
        **listed(agent),
        "description": metadata.description,
        "plug_option": metadata.plug_option,
        "plug_required": metadata.plug_required,
        "verifiable": metadata.verifiable,
        "options": [{**asdict(parameter), "secret": parameter.secret} for parameter in metadata.parameters],
        "actions": [asdict(action) for action in metadata.actions],
    }


def _page(metadata: Metadata, style: Style) -> list[str]:
    width = min(style.width, 100)
    lines = [f"{style.paint(metadata.name, 'bold')}: {metadata.summary}"]
    if metadata.description:
        lines += ["", *wrap(metadata.description, width, "")]
    if not metadata.verifiable:
        problem = "It cannot say whether a machine is off (no `status`): alone it makes no node safe."
        lines += ["", *wrap(problem, width, "")]
    current = [
        parameter
        for parameter in metadata.parameters
        if metadata.newer_name(parameter) == parameter.name and not _ours(parameter)
    ]
    for title, wanted in (("OPTIONS IT NEEDS", True), ("OTHER OPTIONS", False)):
        chosen = [parameter for parameter in current if parameter.required is wanted]
        lines += ["", style.paint(title, "dim")] if chosen else []
        for parameter in chosen:
            lines += _option(metadata, parameter, style, width)
    return [*lines, "", style.paint("ACTIONS", "dim"), ", ".join(map(_action, metadata.actions))]


def _ours(parameter: Parameter) -> bool:
    """Options that hactl gives itself, or that nobody may give."""
    from fencing.agents.options import refused_name  # noqa: PLC0415 - as above

    return bool(refused_name(parameter.name))


def _option(metadata: Metadata, parameter: Parameter, style: Style, width: int) -> list[str]:
    facts = ["|".join(parameter.choices) or parameter.kind]
    facts += [f"default {parameter.default}"] if parameter.default else []
    facts += ["secret: give it as {file: PATH}"] if parameter.secret else []
    facts += ["each node's plug"] if parameter.name == metadata.plug_option else []
    facts += [f"formerly {parameter.replaces}"] if parameter.replaces and parameter.replaces != parameter.name else []
    lines = [f"{style.paint(parameter.name, 'bold')}  {', '.join(facts)}"]
    described = wrap(parameter.description, width - len(INDENT), "") if parameter.description else []
    return lines + [INDENT + line for line in described]


def _action(action: ActionInfo) -> str:
    if not action.automatic:
        return action.name
    return f"{action.name} (a node needs it before it joins{', run there' if action.on_target else ''})"
