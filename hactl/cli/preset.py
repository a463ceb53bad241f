"""`hactl preset …`: the ready-made settings of services and groups."""

from __future__ import annotations

from typing import Annotated

import typer

from hactl.cli.common import BAD_INPUT, CliError, say
from hactl.cli.completion import presets
from hactl.cli.output import Style, table


def list_presets() -> None:
    """List the presets for services and for groups, and the programs that need neither."""
    from hactl.config.presets import show as presets  # noqa: PLC0415 - heavy

    style = Style.of()
    services = [
        (preset.name, presets.ports_of(preset), presets.check_of(preset), preset.what)
        for preset in presets.listed("service")
    ]
    groups = [(preset.name, preset.what) for preset in presets.listed("group")]
    neither = [(preset.name, preset.what, ", ".join(preset.also)) for preset in presets.listed("advice")]
    for lines in (
        table(("SERVICE", "PORT", "CHECK", "WHAT"), services, style),
        table(("GROUP", "WHAT"), groups, style),
        table(("NEITHER", "WHAT", "ALSO"), neither, style),
    ):
        say("\n".join([*lines, ""]))
    say("hactl preset show NAME: all of its settings, with their reasons")


def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A name from `hactl preset list`.", autocompletion=presets)
    ],
) -> None:
    """Show a preset's settings with their reasons, and how to use and change them."""
    from hactl.config.presets import find  # noqa: PLC0415 - heavy, as the next ones
    from hactl.config.presets.expand import unknown  # noqa: PLC0415
    from hactl.config.presets.show import shown  # noqa: PLC0415

    preset = find(name)
    if preset is None:
        raise CliError("; ".join(unknown(name)), BAD_INPUT)
    say(shown(preset).rstrip())
