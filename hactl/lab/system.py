"""The operating system for the lab: commands with a deadline, waiting, the clock."""

from __future__ import annotations

import operator
import subprocess
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from fencing.linux.clock import now

T = TypeVar("T")


class LabError(Exception):
    """The lab cannot do what was asked. The message names the problem and the solution."""


def boottime_ms() -> float:
    """Now on CLOCK_BOOTTIME in ms: one clock for every process of the machine, so stamps can be compared."""
    return now().boot


def run(argv: Sequence[str], *, timeout_s: float = 15.0, stdin: str | None = None) -> str:
    """Run a command to its end and return its standard output. Raises LabError with its complaint."""
    try:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False, start_new_session=True
        )
    except FileNotFoundError as error:
        raise LabError(f"command not found: {argv[0]} - install it, or see deploy/packages.sh") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"no end within {timeout_s} s: {' '.join(argv)}") from error
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def wait_until(condition: Callable[[], T | None], *, deadline_s: float, goal: str, every_s: float = 0.02) -> T:
    """Ask `condition` until it gives something true, and return that. Raises LabError naming `goal`."""
    retrying = Retrying(
        retry=retry_if_result(operator.not_), stop=stop_after_delay(deadline_s), wait=wait_fixed(every_s)
    )
    try:
        return cast(T, retrying(condition))
    except RetryError:
        raise LabError(f"not within {deadline_s:g} s: {goal}") from None
