"""`hactl explain` and `hactl simulate`: why things are as they are, and what would happen."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from hactl.cli.backend import Backend
from hactl.cli.common import BAD_INPUT, CliError, say, settings
from hactl.cli.completion import groups, nodes
from hactl.cli.options import ConfigOption, Json
from hactl.cli.output import Style, table, wrap

_VERDICTS = {"owner": "has it", "may": "may", "no": "may not", "down": "is to have it, and has not"}
_RELATIONS = {"together_with": "runs with", "apart_from": "runs apart from", "after": "runs after"}


def explain(
    group: Annotated[str, typer.Argument(help="The group's name.", autocompletion=groups)],
    as_json: Json = False,
    config: ConfigOption = None,
) -> None:
    """Say why a group is where it is, why not on each other node, and what would change that.

    From the code by which the daemons decide.
    """
    with closing(Backend(settings(config))) as backend:
        answer = backend.explain(group)
    if as_json:
        say(json.dumps(answer, indent=2))
        return
    for line in explained(answer, Style.of()):
        say(line)


def explained(answer: dict[str, Any], style: Style) -> list[str]:
    """The explanation for people."""
    where = f" on {answer['owner']}" if answer["owner"] else ""
    lines = [f"{style.paint(answer['group'], 'bold')}: {style.paint(answer['state'])}{where}"]
    since = f" It came there because: {answer['since']}." if answer["since"] else ""
    lines += _wrapped(f"{answer['why']}.{since}", style, indent=2)
    if answer["hint"]:
        lines += _wrapped(f"to change that: {_command(answer['hint'])}", style, indent=2)
    for relation in answer["relations"]:
        must = "" if relation["must"] else ", where it can"
        lines += _wrapped(
            f"{relation['of']} {_RELATIONS[relation['kind']]} {relation['group']}{must}.", style, indent=2
        )
    for each in answer.get("requires", ()):  # a daemon of an earlier version does not say
        verb = "requires" if each["must"] else "should have"
        lines += _wrapped(f"{answer['group']} {verb} service {each['service']} served where it is.", style, indent=2)
    for node in answer["nodes"]:
        lines += ["", f"{node['node']}: {style.paint(_VERDICTS[node['verdict']], 'bold')}"]
        lines += _wrapped(f"{node['reason']}.", style, indent=2)
        if node["hint"]:
            verb = "to have it there" if node["verdict"] == "may" else "to change that"
            lines += _wrapped(f"{verb}: {_command(node['hint'])}", style, indent=2)
    return lines


def _wrapped(text: str, style: Style, indent: int = 0) -> list[str]:
    return [" " * indent + line for line in wrap(text, style.width - indent, "")]


def _command(hint: str) -> str:
    return f"`{hint}`" if hint.startswith("hactl ") else hint


def simulate(
    kill: Annotated[list[str] | None, typer.Option(metavar="NODE", help="It dies.", autocompletion=nodes)] = None,
    standby: Annotated[
        list[str] | None, typer.Option(metavar="NODE", help="It goes into standby.", autocompletion=nodes)
    ] = None,
    fail: Annotated[
        list[str] | None, typer.Option(metavar="GROUP", help="It fails on its node.", autocompletion=groups)
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--apply", metavar="FILE", help="This configuration is applied.", dir_okay=False)
    ] = None,
    as_json: Json = False,
    config: ConfigOption = None,
) -> None:
    """Say what the cluster would do: what stops, moves and starts, in which order, and for how long it is away.

    Options can be given several times and together. Nothing is changed. From the code by which the daemons decide.

    Exit status: 0 every group runs in the end that runs now, 1 some would not, 2 bad input.
    """
    from hactl.cli.simulating import outcome_of  # noqa: PLC0415 - heavy

    if not (kill or standby or fail or file):
        raise CliError("say what is supposed: --kill NODE, --standby NODE, --fail GROUP or --apply FILE", BAD_INPUT)
    with closing(Backend(settings(config))) as backend:
        outcome = outcome_of(backend.direct, tuple(kill or ()), tuple(standby or ()), tuple(fail or ()), file)
    if as_json:
        say(json.dumps(outcome.plain(), indent=2))
    else:
        for line in simulated(outcome.plain(), Style.of()):
            say(line)
    if any(effect.what == "stop" for effect in outcome.effects):
        raise typer.Exit(1)


def simulated(outcome: dict[str, Any], style: Style) -> list[str]:
    """The outcome for people."""
    if not outcome["effects"]:
        return ["Nothing would stop, move or start."]
    rows = [
        [effect["group"], effect["what"], _way(effect), _away(effect), effect["reason"]]
        for effect in outcome["effects"]
    ]
    lines = table(["GROUP", "WHAT", "WHERE", "AWAY", "WHY"], rows, style)
    if outcome["stays"]:
        lines += ["", *_wrapped(f"Nothing happens to {', '.join(outcome['stays'])}.", style)]
    return lines


def _way(effect: dict[str, Any]) -> str:
    return " -> ".join(dict.fromkeys(node for node in (effect["origin"], effect["to"]) if node))


def _away(effect: dict[str, Any]) -> str:
    """How long it is away: usually, and at worst."""
    if effect["what"] in ("stop", "start", "instance stops", "instance starts"):
        return ""
    if effect["worst_ms"] == 0:
        return "no outage"
    usual = f"usually {effect['usual_ms'] / 1000:.1f} s" if effect["usual_ms"] is not None else ""
    if effect["what"] in ("restart", "change"):
        return usual or "its restart"
    worst = f"at most {effect['worst_ms'] / 1000:.1f} s" if effect["worst_ms"] is not None else "no bound"
    return ", ".join(filter(None, (usual, worst)))
