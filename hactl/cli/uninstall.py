"""`hactl uninstall`: everything of hactl on this machine is ended, in order. The package's removal runs it."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from hactl.cli.common import BAD_INPUT, CliError
from hactl.cli.options import ConfigOption

# The same as --force, where it was not this command that the operator typed.
FORCE_ENV = "HACTL_REMOVE"


def uninstall(
    force: Annotated[
        bool, typer.Option("--force", help="Do it even if a group then runs nowhere. `HACTL_REMOVE=force` is the same.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Take hactl off this machine: hand over what runs here, then stop the daemon, its guard and HAProxy.

    No process, socket, control group or setting of the kernel is left. Settings and state stay, and so does etcd.
    Removing the Debian package does this first. Refused if a group could run nowhere else.
    """
    if os.geteuid() != 0:
        raise CliError("be root: this ends processes of root", BAD_INPUT)
    from hactl.cli.uninstall_steps import uninstall as run  # noqa: PLC0415 - few commands need it

    run(config, forced=force or os.environ.get(FORCE_ENV) == "force")
