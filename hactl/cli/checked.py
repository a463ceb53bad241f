"""A cluster.yaml that a command is about to put to use: checked, with errors and warnings printed first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hactl.cli.common import BAD_INPUT, tell
from hactl.cli.fence_agents import only_warnings
from hactl.config.errors import ConfigErrors

if TYPE_CHECKING:
    from hactl.config.load import Loaded
    from hactl.config.node import NodeConfig
    from hactl.haproxy.settings import HaproxySettings

SkipHaproxy = Annotated[
    bool,
    typer.Option(
        "--skip-haproxy",
        help="Do not check the file with the HAProxy installed here, for example because it is older than the nodes'.",
    ),
]


def haproxy_here(node: NodeConfig | None, *, skip: bool) -> HaproxySettings | None:
    """Where HAProxy is on this machine; None: do not ask it."""
    from hactl.haproxy.settings import HaproxySettings  # noqa: PLC0415 - heavy

    if skip:
        return None
    return HaproxySettings(node.haproxy_dir, node.haproxy_binary) if node else HaproxySettings("/run/hactl/haproxy")


def usable(file: Path, node: NodeConfig, *, skip_haproxy: bool) -> Loaded:
    """The configuration in `file`, after its warnings were said; one with a mistake ends the command."""
    from hactl.admin.config import check_file  # noqa: PLC0415 - heavy
    from hactl.config.majority import known_members  # noqa: PLC0415

    only_warnings()
    haproxy = haproxy_here(node, skip=skip_haproxy)
    report = check_file(file, node=node.node, haproxy=haproxy, endpoints=known_members(node.endpoints))
    if report.loaded is None:
        for line in report.lines:
            tell(line)
        raise typer.Exit(BAD_INPUT)
    for note in report.notes:
        tell(note)
    for warning in report.loaded.warnings:
        tell(f"warning: {warning}")
    return report.loaded


def warn_of_machine_id(here: NodeConfig) -> None:
    """Warn where this machine's id is unusable: its daemon will not start."""
    from hactl.daemon.parts.machine import read_machine_id  # noqa: PLC0415 - few commands need it

    try:
        read_machine_id(here.machine_id_file)
    except ConfigErrors as error:
        for problem in error.problems:
            tell(f"warning: {problem}")
