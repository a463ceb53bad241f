"""Run a command to its end: the one way in which hactl starts subprocesses that it waits for.

Each gets a session and process group of its own, which is killed as a whole at the deadline or when the
caller is cancelled. Output is bounded. It does without asyncio's subprocesses, which take a thread for each
child in Python 3.11 and which wait for the end of the output: a command that leaves a daemon behind with its
output still open would never be done. Here a command is done when its process has ended.

A shell goes to the directory and becomes the command: where their file system does not answer it is the child that
hangs, not this process, which waits for what it starts to begin.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from fencing.linux.reap import reap_killed
from fencing.linux.umask import of_children
from hactl.linux.aside import aside
from hactl.linux.errors import OperationError
from hactl.linux.wait_readable import wait_readable

_READ_SIZE = 262144
# A killed process is gone at once, unless it hangs in the kernel (storage that does not answer).
_REAP_TIMEOUT_S = 2.0
# $1: the directory, or "".
_BEGIN = '[ -z "$1" ] || cd -- "$1" || exit 126; shift; exec "$@"'
# What a shell ends with that cannot become the command.
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
            how = "did not end in time and was killed"
        elif self.returncode < 0:
            how = f"was killed by signal {signal_name(-self.returncode)}"
        else:
            how = f"ended with exit status {self.returncode}"
        said = (self.stderr.strip() or self.stdout.strip()).rpartition("\n")[2]
        return f"{how}: {said[:300]}" if said else how


def signal_name(number: int) -> str:
    """`SIGKILL` for 9; the number itself where it has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


# What the service manager gave to the daemon alone. A child that had NOTIFY_SOCKET could speak for the daemon.
_NOT_INHERITED = ("NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_", "INVOCATION_ID", "JOURNAL_STREAM", "MAINPID")


def service_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of what the daemon starts: its own, without what is meant for it alone, and `extra`."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    return {**own, **extra}


def find_command(command: str, env: Mapping[str, str] | None = None, cwd: str | None = None) -> str | None:
    """Why `command` cannot be started, in the operator's words; None when it can."""
    path = (env or os.environ).get("PATH", os.defpath)
    if "/" not in command:
        found = shutil.which(command, path=path)
        return None if found else f"command not found: {command} (looked in {path})"
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
    max_output: int = 65536,
    leaves: bool = True,
) -> Completed:
    """Run `argv` and wait for its end, at most `timeout_s` seconds; then its process group is killed.

    `env` is the whole environment (None: this process's own). Of each output the first `max_output` bytes
    are kept, the rest is read and dropped. Processes that the command leaves behind when it ends in time are
    let live, unless it `leaves` nothing; what they then write to the command's output breaks (SIGPIPE), so they
    must redirect it.
    Raises CommandError when it cannot be started, OperationError when it cannot be killed.
    """
    process = _spawn(argv, env, input, cwd)
    timed_out = False
    with contextlib.ExitStack() as stack:
        stack.callback(_leave_nothing, process)
        assert process.stdout is not None and process.stderr is not None
        out = stack.enter_context(contextlib.closing(_Collector(process.stdout, max_output)))
        err = stack.enter_context(contextlib.closing(_Collector(process.stderr, max_output)))
        pidfd = os.pidfd_open(process.pid)
        stack.callback(os.close, pidfd)
        try:
            async with asyncio.timeout(timeout_s):
                await wait_readable(pidfd)
            if not leaves:
                _kill_group(process)
        except TimeoutError:
            timed_out = True
            _kill_group(process)
            await _gone(pidfd, argv)
        done = Completed(process.wait(), out.text(), err.text(), timed_out)
    # Of each end by itself: many may end so at a time.
    about = f"{argv[0]} (process {process.pid})"
    if done.returncode in _NOT_BEGUN and (why := await aside(about, _why_not, argv, env, cwd)):
        raise CommandError(why)
    return done


def _spawn(
    argv: Sequence[str], env: Mapping[str, str] | None, input_: str | bytes | None, cwd: str | None
) -> subprocess.Popen[bytes]:
    stdin: int | IO[bytes] = subprocess.DEVNULL
    if not argv:
        raise CommandError("the command is empty")
    try:
        if input_ is not None:
            # A file in memory, not a pipe: nothing to feed, no deadlock, and secrets never touch a disk.
            stdin = os.fdopen(os.memfd_create("input"), "w+b")
            stdin.write(input_.encode() if isinstance(input_, str) else input_)
            stdin.seek(0)
        return subprocess.Popen(
            ["/bin/sh", "-c", _BEGIN, "hactl-run", cwd or "", *argv],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=None if env is None else dict(env),
            umask=of_children(),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot start {argv[0]}: {error}") from None
    finally:
        if not isinstance(stdin, int):
            stdin.close()


def _why_not(argv: Sequence[str], env: Mapping[str, str] | None, cwd: str | None) -> str:
    """Why it was not even begun; "": it was, and ended so by itself."""
    if cwd is not None and not os.path.isdir(cwd):  # noqa: PTH112
        return f"cannot start {argv[0]}: its directory {cwd} does not exist"
    return find_command(argv[0], env, cwd) or ""


async def reaped(process: subprocess.Popen[bytes], timeout_s: float = 1.0) -> None:
    """Wait for the end of a child, at most so long."""
    if process.poll() is None:
        pidfd = os.pidfd_open(process.pid)
        try:
            async with asyncio.timeout(timeout_s):
                await wait_readable(pidfd)
        except TimeoutError:
            return
        finally:
            os.close(pidfd)
        process.wait()


def _leave_nothing(process: subprocess.Popen[bytes]) -> None:
    # After a cancellation or an error.
    if process.returncode is not None:
        return
    _kill_group(process)
    reap_killed(process)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    # Its leader is not yet reaped, so the group's number cannot be another's.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


async def _gone(pidfd: int, argv: Sequence[str]) -> None:
    try:
        async with asyncio.timeout(_REAP_TIMEOUT_S):
            await wait_readable(pidfd)
    except TimeoutError:
        message = f"{argv[0]} does not end after SIGKILL: it hangs in the kernel (storage that does not answer?)"
        raise OperationError(message) from None


class _Collector:
    """Reads a pipe as it fills and keeps its beginning."""

    def __init__(self, pipe: IO[bytes], limit: int) -> None:
        self._fd = pipe.fileno()
        self._pipe = pipe
        self._limit = limit
        self._kept = bytearray()
        self._open = True
        os.set_blocking(self._fd, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._read)

    def text(self) -> str:
        """All that has been written until now, up to the limit."""
        # Once round a full pipe is enough: who writes on after the command's end may do so for ever.
        for _ in range(4):
            if not (self._open and self._read()):
                break
        return self._kept.decode(errors="replace")

    def close(self) -> None:
        """Stop reading; idempotent."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._fd)
            self._pipe.close()

    def _read(self) -> bool:
        try:
            chunk = os.read(self._fd, _READ_SIZE)
        except BlockingIOError:
            return False
        except OSError:
            chunk = b""
        if not chunk:
            self.close()
            return False
        self._kept += chunk[: max(0, self._limit - len(self._kept))]
        return True
