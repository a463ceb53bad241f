"""Runs the actions of an agent: a program, or several, that starts, stops and looks at something.

The actions run in the daemon's cgroup: the end of the daemon (by systemd, or the guard at its deadline) ends them,
too, and no start of a dead daemon's goes on beside its successor's stop. Processes that a start leaves outlive the
daemon: they are moved to a cgroup of the resource's own, and killed there if a stop leaves them.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shlex
from collections.abc import Iterator, Mapping, Sequence

from hactl.linux.aside import aside
from hactl.linux.cgroup import Cgroup
from hactl.linux.run import CommandError, Completed, find_command, run
from hactl.resources.base import NodeContext, ResourceError
from hactl.resources.process import KILL_TIMEOUT_S

# How long an action's own end waits for the death of what it left; the kernel kills at once.
_SWEEP_S = 1.0
# The exit statuses of a shell that cannot become the command.
_NOT_BEGUN = (126, 127)

_numbers = itertools.count(1)


class ActionRunner:
    """The actions of one resource. `name` is unique on the node."""

    def __init__(self, name: str, context: NodeContext, cwd: str | None = None) -> None:
        self.name = name
        self._running: list[str] = []
        self._hung = ""
        self._cwd = cwd
        self._starting: Cgroup | None = None
        self._left: Cgroup | None = None
        if context.cgroup_root is not None and context.daemon_cgroup is not None:
            self._starting = Cgroup.of(context.daemon_cgroup, name)
            self._left = Cgroup.of(context.cgroup_root, name)

    @property
    def under_way(self) -> str:
        """The action that runs now, of several the first, "" none; after a cancellation the one that hung."""
        return self._running[0] if self._running else self._hung

    async def start(self, action: str, argv: Sequence[str], env: Mapping[str, str], timeout_ms: float) -> Completed:
        """Run a start in a cgroup below the daemon's; what it leaves there moves to the resource's own."""
        await self.end_start()
        if self._starting is None or self._left is None:
            return await self.run(action, argv, env, timeout_ms)
        await self._must_exist(argv, env)
        self._starting.create()
        self._left.create()
        with self._noted(action):
            try:
                entering = self._starting.enter_argv(argv)
                return await run(entering, timeout_s=timeout_ms / 1000, env=env, cwd=self._cwd)
            finally:
                # Of a start that failed, too: it is for the stop to end that in order.
                self._starting.move_to(self._left)
                self._starting.remove()
                self._left.remove()

    async def run(
        self, action: str, argv: Sequence[str], env: Mapping[str, str], timeout_ms: float, *, leaves: bool = True
    ) -> Completed:
        """Run any other action. Unless it `leaves` something that is to live, all that it started is killed at its end,
        in whatever session it is. `env` is the whole environment. Raises OperationError."""
        with self._noted(action):
            if leaves or self._starting is None:
                return await run(argv, timeout_s=timeout_ms / 1000, env=env, cwd=self._cwd, leaves=leaves)
            return await self._contained(self._starting, argv, env, timeout_ms)

    async def end_start(self) -> None:
        """Kill the start of a daemon that was killed alone. Raises ResourceError."""
        await self._clear(self._starting)

    async def kill_left(self) -> bool:
        """Kill what a start left running; whether there was anything. Raises ResourceError."""
        return await self._clear(self._left)

    def left(self) -> list[int]:
        """The processes that a start left running."""
        return self._left.pids() if self._left is not None else []

    def guard_sweep(self) -> tuple[str, str]:
        """For a shell: a command that kills what a start left running, and a condition that nothing of it lives."""
        if self._left is None:
            return "", "true"
        left = shlex.quote(self._left.path)
        return (
            f"[ ! -e {left} ] || echo 1 > {left}/cgroup.kill; ",
            f"! grep -qs 'populated 1' {left}/cgroup.events",
        )

    @contextlib.contextmanager
    def _noted(self, action: str) -> Iterator[None]:
        self._hung = ""
        self._running.append(action)
        try:
            yield
        except asyncio.CancelledError:
            self._hung = action
            raise
        finally:
            self._running.remove(action)

    async def _contained(
        self, beside: Cgroup, argv: Sequence[str], env: Mapping[str, str], timeout_ms: float
    ) -> Completed:
        cgroup = Cgroup(f"{beside.path}%run-{next(_numbers)}")
        cgroup.create()
        try:
            entering = cgroup.enter_argv(argv)
            done = await run(entering, timeout_s=timeout_ms / 1000, env=env, cwd=self._cwd, leaves=False)
        finally:
            # Only an empty one can be removed; nearly all are.
            if not cgroup.remove_if_empty():
                await cgroup.kill_all(_SWEEP_S)
                cgroup.remove()
        if done.returncode in _NOT_BEGUN:
            await self._must_exist(argv, env)
        return done

    async def _must_exist(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        if problem := await aside(self.name, find_command, argv[0], env, self._cwd):
            raise CommandError(problem)

    async def _clear(self, cgroup: Cgroup | None) -> bool:
        if cgroup is None:
            return False
        was = cgroup.populated()
        if not await cgroup.kill_all(KILL_TIMEOUT_S):
            left = ", ".join(map(str, cgroup.pids()))
            raise ResourceError(f"{self.name}: processes do not end after SIGKILL (hung in the kernel?): {left}")
        cgroup.remove()
        return was
