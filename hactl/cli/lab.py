"""`hactl lab …`: a whole cluster on one machine; its own command line, hactl.lab's."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from fencing.linux.umask import of_children

PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def lab(words: Annotated[list[str] | None, typer.Argument(metavar="COMMAND ...")] = None) -> None:
    """Bring up a whole cluster on this machine, and inject faults: `hactl lab --help`."""
    from hactl.lab.__main__ import main  # noqa: PLC0415 - few commands need it

    os.umask(of_children())  # the lab's services get the usual umask
    sys.argv = ["hactl lab", *(words or [])]
    main()
