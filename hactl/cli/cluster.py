"""`hactl cluster …`: what is done to all nodes, one after the other."""

from __future__ import annotations

from typing import Annotated

import typer

from hactl.cli.common import BAD_INPUT, CliError, settings
from hactl.cli.options import ConfigOption, seconds


def rolling_reboot(
    command: Annotated[
        str,
        typer.Option(
            "--command",
            metavar="COMMAND",
            help="Run for each node, here, by a shell. {node} and {address} stand for the node's name and address. "
            "Default: `systemctl reboot`, over ssh.",
        ),
    ] = "",
    reboot: Annotated[
        bool, typer.Option("--reboot/--no-reboot", help="Whether the command reboots the node: it is waited for then.")
    ] = True,
    only: Annotated[
        str, typer.Option("--only", metavar="NODES", help="Only these nodes, separated by commas. Default: all.")
    ] = "",
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="DURATION", help="How long each wait may take, for the boot say.")
    ] = "15m",
    drain_timeout: Annotated[
        str,
        typer.Option("--drain-timeout", metavar="DURATION", help="How long open sessions may last; 0s: no drain."),
    ] = "30s",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the last one stopped, with its options.")
    ] = False,
    new: Annotated[bool, typer.Option("--new", help="Begin anew, and forget the one that stopped.")] = False,
    config: ConfigOption = None,
) -> None:
    """Reboot the nodes one after the other, this one last; or run a command for each of them.

    For each: standby, until nothing runs there; the command; until it is back, after another boot; online, until all is
    as well as before. Refused unless all is well. Stops at the first trouble, and says what to do.

    Exit status: 0 all done, 1 refused or stopped, 2 bad input.
    """
    from hactl.cli.rolling import Options, run  # noqa: PLC0415 - few commands need it

    if resume and (command or only or new or not reboot):
        raise CliError("--resume goes on with the options of the one that stopped: leave the others out", BAD_INPUT)
    if not reboot and not command:
        raise CliError("--no-reboot needs a --command", BAD_INPUT)
    names = tuple(name.strip() for name in only.split(",") if name.strip())
    seconds(drain_timeout)  # as it is typed it goes to `hactl node standby`
    run(settings(config), config, Options(command, reboot, names, seconds(timeout), drain_timeout, resume, new))
