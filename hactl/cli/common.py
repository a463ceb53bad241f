"""Shared by all commands: where node.toml is, how errors end the program, the store when no daemon answers.

Exit statuses: 0 done, 1 failed or refused, 2 bad input, 3 not in time. Light: every command imports it, `hactl
status` without typer.
"""

from __future__ import annotations

import logging
import os
import pwd
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hactl.cli.output import shown
from hactl.config.node import DEFAULT_PATH, NodeConfig, load_node
from hactl.model.text import LONGEST_NAME, called, escaped, text_problem

if TYPE_CHECKING:
    from election.etcd.store import EtcdStore

FAILED = 1
BAD_INPUT = 2
NOT_IN_TIME = 3

CONFIG_ENV = "HACTL_CONFIG"


class CliError(Exception):
    """Ends the program. The message is for the operator: the problem and its solution."""

    def __init__(self, message: str, status: int = FAILED) -> None:
        super().__init__(message)
        self.status = status


@contextmanager
def refusals() -> Iterator[None]:
    """What is refused ends the command."""
    from hactl.admin.errors import BadInputError, RefusedError  # noqa: PLC0415 - few commands need it, as the next
    from hactl.linux.errors import OperationError  # noqa: PLC0415

    try:
        yield
    except BadInputError as error:
        raise CliError(str(error), BAD_INPUT) from None
    except (RefusedError, OperationError) as error:
        raise CliError(str(error)) from None


def settings_path(given: Path | None) -> Path:
    """Where this node's settings are: as `--config` says, else as the environment does, else the usual place."""
    return given or Path(os.environ.get(CONFIG_ENV) or DEFAULT_PATH)


def settings(given: Path | None) -> NodeConfig:
    """This node's settings. Raises ConfigErrors."""
    return load_node(settings_path(given))


def open_store(config: NodeConfig) -> EtcdStore:
    """A connection to etcd. Slow to import: for commands that cannot ask the daemon."""
    from hactl.config.etcd_access import open_etcd  # noqa: PLC0415 - a fifth of a second

    quiet_log()
    return open_etcd(config)


def quiet_log() -> None:
    """The log goes to standard error, as programs read the output, and has nothing but errors."""
    import structlog  # noqa: PLC0415 - a tenth of a second

    errors_only = structlog.make_filtering_bound_logger(logging.ERROR)
    structlog.configure(wrapper_class=errors_only, logger_factory=structlog.PrintLoggerFactory(sys.stderr))


def user_name() -> str:
    """The user of this command; `root (sudo anna)` for anna behind sudo."""
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid {uid}"
    return called(name, sudo_user())


def sudo_user() -> str:
    """The user who became root by sudo to run this command; "": there is none, or the name is no name."""
    name = os.environ.get("SUDO_USER", "") if os.getuid() == 0 else ""
    return "" if text_problem(name, LONGEST_NAME) else name


def operator_name(config: NodeConfig) -> str:
    """The author of this command's writes."""
    return f"{user_name()}@{config.node}"


def say(text: str) -> None:
    """A line of output."""
    sys.stdout.write(shown(text) + "\n")
    sys.stdout.flush()


def tell(text: str) -> None:
    """A line beside the output."""
    sys.stderr.write(shown(text) + "\n")
    sys.stderr.flush()


def waiting(text: str) -> None:
    """A line beside the output, replaced by the next one."""
    sys.stderr.write(f"\r{escaped(text)}   ")
    sys.stderr.flush()


def interactive() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()


def confirmed(question: str) -> bool:
    """Ask; anything but y or yes is no, and so is no terminal."""
    if not interactive():
        raise CliError("not confirmed: no terminal to ask on; give --yes", BAD_INPUT)
    sys.stderr.write(shown(f"{question} [y/N] "))
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
