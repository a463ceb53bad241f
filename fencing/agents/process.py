"""Runs a program that must not outlast its deadline, whatever becomes of the process that started it.

`hactl/linux/run.py` is for commands whose caller lives; here a late action may switch off a node that is back
(docs/protocol.md, *Guarantees*: S5). So the program has two deadlines of the same length: this process kills it, and
so does coreutils' `timeout`, its parent, when this process is frozen or dead. Nothing that it started is left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from election.clock import Instant, owner_elapsed
from fencing.linux import cgroup as cgroup_v2
from fencing.linux import environment
from fencing.linux.child import Output, kill_group, reap_killed, spawn, wait_end
from fencing.linux.clock import now

# A killed process is gone at once, unless it hangs in the kernel.
_GONE_S = 2.0
# A child may still hold the output pipe.
_LEFT_S = 0.2
_POLL_S = 0.005
# How long the event loop waits for processes that a cancellation killed.
_END_S = 0.02
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The service manager gave these to this process alone; or they would give a program our Python's modules.
_numbers = itertools.count(1)


class StartError(Exception):
    """The program could not be started."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended. `timed_out`: it was not seen to end before the deadline, even if its exit status is 0;
    `returncode` is negative for a signal, None when it hangs in the kernel and could not be killed.
    `cut`: there was more output than was kept."""

    returncode: int | None
    stdout: str = field(repr=False)
    stderr: str = field(repr=False)
    cut: bool
    timed_out: bool
    seconds: float


def seconds_since(start: Instant) -> float:
    """How long ago that was, at the most."""
    return owner_elapsed(start, now()) / 1000


async def run_bounded(
    argv: Sequence[str],
    *,
    stdin: bytes,
    timeout_s: float,
    max_output: int,
    cgroup: str | None = None,
    label: str = "fence",
) -> Ended:
    """Run `argv` for at most `timeout_s` seconds; of each output at most `max_output` bytes are kept.

    When it ends, by itself or not, its process group is killed, and the cgroup it is in, if `cgroup` names an
    existing cgroup v2 directory below which it may have one, whose name begins with `label`. Raises StartError.
    """
    start = now()
    with contextlib.ExitStack() as stack:
        group = stack.enter_context(_Cgroup(cgroup, label)) if cgroup else None
        command = _kept(argv, timeout_s)
        process = _spawn(cgroup_v2.enter_argv(group.path, command) if group else command, stdin)
        stack.callback(_end, process, group)
        assert process.stdout is not None and process.stderr is not None
        out = stack.enter_context(contextlib.closing(Output(process.stdout, max_output)))
        err = stack.enter_context(contextlib.closing(Output(process.stderr, max_output)))
        try:
            ended = await wait_end(process.pid, timeout_s - seconds_since(start))
        except asyncio.CancelledError:
            # The caller that cancels it is told that it is over: it must be seen dead.
            _kill(process, group)
            await wait_end(process.pid, _GONE_S)
            if group:
                await group.emptied(_GONE_S)
            raise
        seconds = seconds_since(start)
        timed_out = not ended or seconds >= timeout_s
        _kill(process, group)
        if not ended:
            ended = await wait_end(process.pid, _GONE_S)
        await asyncio.wait([out.closed, err.closed], timeout=_GONE_S if timed_out else _LEFT_S)
        if group:
            await group.emptied(_GONE_S)
        status = process.wait() if ended else None
        return Ended(status, out.text(), err.text(), out.cut or err.cut, timed_out, seconds)


def _kept(argv: Sequence[str], timeout_s: float) -> list[str]:
    keeper = shutil.which("timeout", path=_PATH)
    if keeper is None:
        raise StartError("coreutils' `timeout` is not installed")
    return [keeper, "--signal=KILL", f"{max(timeout_s, 0.001):.3f}", *argv]


def _spawn(argv: Sequence[str], text: bytes) -> subprocess.Popen[bytes]:
    try:
        return spawn(argv, stdin=text, env=_environment(), cwd="/")
    except (OSError, ValueError) as error:
        raise StartError(getattr(error, "strerror", None) or "not a command") from None


def _environment() -> dict[str, str]:
    # Words are read: they must be English. Warnings meant for the agents' authors are not.
    return {
        **environment.of_children("PYTHON", "VIRTUAL_"),
        "PATH": _PATH,
        "LC_ALL": "C",
        "LANG": "C",
        "PYTHONWARNINGS": "ignore",
    }


def _kill(process: subprocess.Popen[bytes], group: _Cgroup | None) -> None:
    kill_group(process)
    if group:
        group.kill()


def _end(process: subprocess.Popen[bytes], group: _Cgroup | None) -> None:
    """After a cancellation: nothing is left behind."""
    if process.returncode is None:
        _kill(process, group)
        reap_killed(process)


class _Cgroup:
    """A cgroup v2 of its own for one run, below a directory that is there; removed afterwards."""

    def __init__(self, root: str, label: str) -> None:
        self.path = Path(root, f"{label}-{os.getpid()}-{next(_numbers)}")

    def __enter__(self) -> _Cgroup:
        try:
            self.path.mkdir()
        except OSError as error:
            raise StartError(f"cannot make the cgroup {self.path}: {error.strerror}") from None
        if not (self.path / "cgroup.procs").exists():
            self.path.rmdir()
            raise StartError(f"{self.path.parent} is not in a cgroup v2 hierarchy")
        return self

    def __exit__(self, *_: object) -> None:
        # After a cancellation nobody has waited for the killed.
        until = time.monotonic() + _END_S
        while not self._removed() and time.monotonic() < until:
            time.sleep(_POLL_S)

    def _removed(self) -> bool:
        with contextlib.suppress(OSError):
            self.path.rmdir()
        return not self.path.exists()

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            cgroup_v2.kill(self.path)

    async def emptied(self, timeout_s: float) -> None:
        """Wait until no process is in it. The killed are gone within a moment: polling is simpler than a watch."""
        start = now()
        with contextlib.suppress(OSError):
            while cgroup_v2.populated(self.path) and seconds_since(start) < timeout_s:  # noqa: ASYNC110
                await asyncio.sleep(_POLL_S)
