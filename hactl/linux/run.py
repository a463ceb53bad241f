"""Run a command to its end: the one way in which hactl starts subprocesses that it waits for.

Each gets a session and process group of its own, which is killed as a whole at the deadline or when the
caller is cancelled. Output is bounded. It does without asyncio's subprocesses, which take a thread for each
child in Python 3.11 and which wait for the end of the output: a command that leaves a daemon behind with its
output still open would never be done. Here a command is done when its process has ended.

A shell goes to the directory and becomes the command: where their file system does not answer it is the child that
hangs, not this process, which waits for its child to begin.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fencing.linux import environment
from fencing.linux.child import Output, kill_group, reap_killed, spawn, wait_end
from hactl.linux.aside import aside
from hactl.linux.errors import OperationError

# Of each output so many bytes are kept.
MAX_OUTPUT = 65536
# A killed process is gone at once, unless it hangs in the kernel (storage that does not answer).
_REAP_TIMEOUT_S = 2.0
# $1: the directory, or "".
_BEGIN = '[ -z "$1" ] || cd -- "$1" || exit 126; shift; exec "$@"'
# The exit statuses of a shell that cannot become the command.
_NOT_BEGUN = (126, 127)


class CommandError(OperationError):
    """A command could not be started: it does not exist or may not be executed."""


@dataclass(frozen=True, slots=True)
class Completed:
    """How a command ended. `returncode` is negative for a signal, as in `subprocess`."""

    returncode: int
    stdout: str
    stderr: str
    timed_out: bool

    @property
    def ok(self) -> bool:
        """It ended by itself with status 0."""
        return self.returncode == 0 and not self.timed_out

    def describe(self) -> str:
        """How it ended, with the last line it wrote, for messages to the operator."""
        if self.timed_out:
            ending = "did not end in time and was killed"
        elif self.returncode < 0:
            ending = f"was killed by signal {signal_name(-self.returncode)}"
        else:
            ending = f"ended with exit status {self.returncode}"
        words = (self.stderr.strip() or self.stdout.strip()).rpartition("\n")[2]
        return f"{ending}: {words[:300]}" if words else ending


def signal_name(number: int) -> str:
    """`SIGKILL` for 9; the number itself where it has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def service_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of the daemon's children: its own, without the variables for it alone, and `extra`."""
    return {**environment.of_children(), **extra}


def find_command(command: str, env: Mapping[str, str] | None = None, cwd: str | None = None) -> str | None:
    """Why `command` cannot be started, in the operator's words; None when it can."""
    path = (env or os.environ).get("PATH", os.defpath)
    if "/" not in command:
        return None if shutil.which(command, path=path) else f"command not found: {command} (looked in {path})"
    full = os.path.join(cwd or "", command)  # noqa: PTH118 - a Path would drop "./"
    if not os.path.exists(full):  # noqa: PTH110
        return f"command not found: {full}"
    if not os.access(full, os.X_OK) or os.path.isdir(full):  # noqa: PTH112
        return f"not an executable file: {full}"
    return None


async def run(
    argv: Sequence[str],
    *,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    input: str | bytes | None = None,
    cwd: str | None = None,
    max_output: int = MAX_OUTPUT,
    leaves: bool = True,
) -> Completed:
    """Run `argv` and wait for its end, at most `timeout_s` seconds; then its process group is killed.

    `env` is the whole environment (None: this process's own). Of each output the first `max_output` bytes
    are kept, the rest is read and dropped. Processes that the command leaves behind when it ends in time are
    let live, unless it `leaves` nothing; their later writes to the command's output break (SIGPIPE), so they
    must redirect it.
    Raises CommandError when it cannot be started, OperationError when it cannot be killed.
    """
    process = _spawn(argv, env, input, cwd)
    with contextlib.ExitStack() as stack:
        stack.callback(_leave_nothing, process)
        assert process.stdout is not None and process.stderr is not None
        out = stack.enter_context(contextlib.closing(Output(process.stdout, max_output)))
        err = stack.enter_context(contextlib.closing(Output(process.stderr, max_output)))
        ended = await wait_end(process.pid, timeout_s)
        if not (ended and leaves):
            kill_group(process)
        if not ended and not await wait_end(process.pid, _REAP_TIMEOUT_S):
            raise OperationError(
                f"{argv[0]} does not end after SIGKILL: it hangs in the kernel (storage that does not answer?)"
            )
        done = Completed(process.wait(), out.text(), err.text(), not ended)
    # Of each end by itself: many may end so at a time.
    about = f"{argv[0]} (process {process.pid})"
    if done.returncode in _NOT_BEGUN and (why := await aside(about, _why_not, argv, env, cwd)):
        raise CommandError(why)
    return done


def _spawn(
    argv: Sequence[str], env: Mapping[str, str] | None, input_: str | bytes | None, cwd: str | None
) -> subprocess.Popen[bytes]:
    if not argv:
        raise CommandError("the command is empty")
    try:
        content = input_.encode() if isinstance(input_, str) else input_
        return spawn(["/bin/sh", "-c", _BEGIN, "hactl-run", cwd or "", *argv], stdin=content, env=env)
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot start {argv[0]}: {error}") from None


def _why_not(argv: Sequence[str], env: Mapping[str, str] | None, cwd: str | None) -> str:
    """Why it was not even begun; "": it was, and ended so by itself."""
    if cwd is not None and not os.path.isdir(cwd):  # noqa: PTH112
        return f"cannot start {argv[0]}: its directory {cwd} does not exist"
    return find_command(argv[0], env, cwd) or ""


async def reaped(process: subprocess.Popen[bytes], timeout_s: float = 1.0) -> None:
    """Wait for the end of a child, at most so long."""
    if process.poll() is None and await wait_end(process.pid, timeout_s):
        process.wait()


def _leave_nothing(process: subprocess.Popen[bytes]) -> None:
    # After a cancellation or an error.
    if process.returncode is None:
        kill_group(process)
        reap_killed(process)
