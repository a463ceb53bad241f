"""`hactl fence agents` and `hactl fence describe`: what this machine can fence with. Asks no daemon and no etcd."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hactl.cli.common import CliError, leave, say, tell
from hactl.cli.output import Style, table, wrap

if TYPE_CHECKING:
    from fencing.agents.catalog import Installed
    from fencing.agents.metadata import ActionInfo, Metadata, Parameter

Agent = Annotated[str, typer.Argument(metavar="AGENT", help="Its name, such as fence_ipmilan, or its absolute path.")]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]

_INDENT = "    "


def add_to(fences: typer.Typer) -> None:
    """Make these commands known, below `hactl fence`."""
    fences.command()(agents)
    fences.command()(describe)


def agents(as_json: Json = False) -> None:
    """List the fence agents that are installed here, and those that do not work, with the reason."""
    from fencing.agents.catalog import installed_agents  # noqa: PLC0415 - for those who want it

    only_warnings()
    found = asyncio.run(installed_agents())
    if as_json:
        say(json.dumps([_listed(one) for one in found], indent=2))
        return
    if not found:
        tell("no fence agent is installed here: `apt-get install fence-agents` (Debian), or your own as fence_NAME")
        return
    rows = [(one.name, one.metadata.summary if one.metadata else f"BROKEN: {one.broken}") for one in found]
    for line in table(("AGENT", "WHAT FOR"), rows, Style.of()):
        say(line)


def describe(agent: Agent, as_json: Json = False) -> None:
    """Show what an agent says of itself: its options, with defaults, and what it can do.

    Exit status: 0 shown, 1 it is not installed, or does not work.
    """
    from fencing.agents import catalog  # noqa: PLC0415 - for those who want it

    only_warnings()
    found = asyncio.run(catalog.describe(agent))
    if found.metadata is None:
        if as_json:
            say(json.dumps(_listed(found), indent=2))
            leave(1)
        raise CliError(f"{agent}: {found.broken}; `hactl fence agents` lists those installed")
    if as_json:
        say(json.dumps(_document(found, found.metadata), indent=2))
        return
    for line in _page(found.metadata, Style.of()):
        say(line)


def only_warnings() -> None:
    """The library logs each run of an agent, for the daemon; here the output is what was asked for."""
    import structlog  # noqa: PLC0415 - as above

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


def _listed(one: Installed) -> dict[str, Any]:
    summary = one.metadata.summary if one.metadata else None
    return {"name": one.name, "path": one.path, "summary": summary, "broken": one.broken or None}


def _document(found: Installed, metadata: Metadata) -> dict[str, Any]:
    return {
        **_listed(found),
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
        lines += [
            "",
            *wrap("It cannot say whether a machine is off (no `status`): alone it makes no node safe.", width, ""),
        ]
    current = [
        parameter
        for parameter in metadata.parameters
        if metadata.newer_name(parameter) == parameter.name and not _ours(parameter)
    ]
    for title, wanted in (("OPTIONS IT NEEDS", True), ("OTHER OPTIONS", False)):
        chosen = [one for one in current if one.required is wanted]
        lines += ["", style.paint(title, "dim")] if chosen else []
        for one in chosen:
            lines += _option(metadata, one, style, width)
    return [*lines, "", style.paint("ACTIONS", "dim"), ", ".join(map(_action, metadata.actions))]


def _ours(one: Parameter) -> bool:
    """Options that hactl gives itself, or that nobody may give."""
    from fencing.agents.options import refused_name  # noqa: PLC0415 - as above

    return bool(refused_name(one.name))


def _option(metadata: Metadata, one: Parameter, style: Style, width: int) -> list[str]:
    facts = ["|".join(one.choices) or one.kind]
    facts += [f"default {one.default}"] if one.default else []
    facts += ["secret: give it as {file: PATH}"] if one.secret else []
    facts += ["each node's plug"] if one.name == metadata.plug_option else []
    facts += [f"formerly {one.replaces}"] if one.replaces and one.replaces != one.name else []
    lines = [f"{style.paint(one.name, 'bold')}  {', '.join(facts)}"]
    described = wrap(one.description, width - len(_INDENT), "") if one.description else []
    return lines + [_INDENT + line for line in described]


def _action(one: ActionInfo) -> str:
    if not one.automatic:
        return one.name
    return f"{one.name} (a node needs it before it joins{', run there' if one.on_target else ''})"
