"""`hactl resource agents` and `hactl resource describe`: the OCF resource agents of this machine. Asks no daemon and no
etcd."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hactl.cli import completion
from hactl.cli.common import CliError, say
from hactl.cli.fence_agents import INDENT, listed, only_warnings, show_list
from hactl.cli.options import Json
from hactl.cli.output import Style, table, wrap

if TYPE_CHECKING:
    from hactl.resources.ocf.catalog import InstalledAgent
    from hactl.resources.ocf.metadata import OcfAction, OcfMetadata, OcfParameter

Agent = Annotated[
    str,
    typer.Argument(
        metavar="AGENT",
        help="Provider and name, such as heartbeat:IPaddr2.",
        autocompletion=completion.resource_agents,
    ),
]
Provider = Annotated[
    str, typer.Option("--provider", metavar="PROVIDER", help="Only the agents of this provider, such as heartbeat.")
]


def agents(provider: Provider = "", as_json: Json = False) -> None:
    """List the OCF resource agents that are installed here; for an agent that does not work, the reason."""
    from hactl.resources.ocf.catalog import installed_agents  # noqa: PLC0415 - few commands need it

    only_warnings()
    installed = asyncio.run(installed_agents(provider))
    of_it = f"no OCF agent of provider {provider} is" if provider else "no OCF agent is"
    none = f"{of_it} installed here: `apt install resource-agents`, or your own as /usr/lib/ocf/resource.d/OURS/NAME"
    show_list(installed, none, as_json=as_json)


def describe(agent: Agent, as_json: Json = False) -> None:
    """Show an OCF agent's description of itself: its parameters, with defaults, and its actions, with their timeouts.

    Exit status: 0 shown, 1 the agent is not installed, or does not work.
    """
    from hactl.resources.ocf import catalog  # noqa: PLC0415 - few commands need it

    only_warnings()
    described = asyncio.run(catalog.describe(agent.removeprefix("ocf:")))
    if described.metadata is None:
        if as_json:
            say(json.dumps(listed(described), indent=2))
            raise typer.Exit(1)
        raise CliError(f"{agent}: {described.broken}" if described.path else described.broken)
    if as_json:
        say(json.dumps(_document(described, described.metadata), indent=2))
        return
    for line in _page(described.name, described.metadata, Style.of()):
        say(line)


def _document(agent: InstalledAgent, metadata: OcfMetadata) -> dict[str, Any]:
    return {
        **listed(agent),
        "version": metadata.version,
        "description": metadata.description,
        "promotable": metadata.promotable,
        "parameters": [{**asdict(parameter), "secret": parameter.secret} for parameter in metadata.parameters],
        "actions": [asdict(action) for action in metadata.actions],
    }


def _page(name: str, metadata: OcfMetadata, style: Style) -> list[str]:
    width = min(style.width, 100)
    lines = [f"{style.paint(name, 'bold')}: {metadata.summary}"]
    if metadata.description:
        lines += ["", *wrap(metadata.description, width, "")]
    current = [parameter for parameter in metadata.parameters if not parameter.deprecated]
    for title, wanted in (("PARAMETERS IT NEEDS", True), ("OTHER PARAMETERS", False)):
        chosen = [parameter for parameter in current if parameter.required is wanted]
        lines += ["", style.paint(title, "dim")] if chosen else []
        for parameter in chosen:
            lines += _parameter(parameter, style, width)
    rows = [_action(action) for action in metadata.actions]
    return [*lines, "", *table(("ACTION", "TIMEOUT", "INTERVAL", "CHECK LEVEL"), rows, style)]


def _parameter(parameter: OcfParameter, style: Style, width: int) -> list[str]:
    facts = ["|".join(parameter.choices) or parameter.kind]
    facts += [f"default {parameter.default}"] if parameter.default else []
    facts += [f"secret: give its file under `secrets: {{{parameter.name}: PATH}}`"] if parameter.secret else []
    facts += ["unique"] if parameter.unique else []
    lines = [f"{style.paint(parameter.name, 'bold')}  {', '.join(facts)}"]
    described = wrap(parameter.description, width - len(INDENT), "") if parameter.description else []
    return lines + [INDENT + line for line in described]


def _action(action: OcfAction) -> tuple[str, str, str, str]:
    from hactl.decide.timing import format_ms  # noqa: PLC0415 - as above

    name = f"{action.name} ({action.role})" if action.role else action.name
    times = (format_ms(ms) if ms else "-" for ms in (action.timeout_ms, action.interval_ms))
    return (name, *times, str(action.depth) if action.name == "monitor" else "")  # type: ignore[return-value]
