"""A supervised foreground process that outlives the daemon and is adopted by the next one.

It is spawned in a session and a cgroup of its own, its output to the journal or a file. Before it becomes
the command it records its identity; the next daemon finds it by that record and watches it by a pidfd. All
processes in its cgroup (without cgroups: in its process group) belong to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from fencing.linux.umask import of_children
from fencing.linux.wait_readable import wait_readable
from hactl.linux.aside import aside
from hactl.linux.cgroup import Cgroup
from hactl.linux.output import last_line, open_output
from hactl.linux.process_identity import Identity, ended, group_members, open_process, read_record, write_record
from hactl.linux.run import CommandError, find_command, reaped, service_environment, signal_name
from hactl.resources.base import NodeContext, Observation, ResourceError
from hactl.resources.kill_record import kill_record

log = structlog.get_logger(__name__)

KILL_TIMEOUT_S = 5.0
_LEFT_KILL_TIMEOUT_MS = 2000
# $1: cgroup.procs or "", $2: the record, $3: the directory. Standard input is a pipe that nobody writes to: its end,
# just before the command takes over, says that the record is there.
_SPAWN_SCRIPT = """
if [ -n "$1" ]; then echo 0 > "$1" || exit 126; fi
cd -- "$3" || exit 126
read -r boot < /proc/sys/kernel/random/boot_id && read -r stat < /proc/$$/stat || exit 126
mask=$(umask) && umask 077 && echo "$boot $stat" > "$2" && umask "$mask" || exit 126
shift 3
exec "$@" < /dev/null
"""


class Supervised:
    """One supervised process. Not for use by two tasks that start and stop it at the same time."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        context: NodeContext,
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        settle_s: float = 0.02,
    ) -> None:
        """`name`: unique on the node. `env` is added to the daemon's own, without the variables that systemd gave it.
        `settle_s`: a process that ends within this time after its start has failed to start."""
        self.name = name
        self.argv = list(argv)
        self.env = dict(env or {})
        self.cwd = cwd
        self.stop_signal = stop_signal
        self.settle_s = settle_s
        root = context.cgroup_root
        self.cgroup = Cgroup.of(root, name) if root is not None else None
        plain = Path(Cgroup.of("/", name).path).name
        self.record_file = str(Path(context.state_dir, "processes", plain))
        self.log_file = str(Path(context.state_dir, "log", f"{plain}.log"))
        self._popen: subprocess.Popen[bytes] | None = None
        self._identity: Identity | None = None
        self._pidfd: int | None = None
        self._ended = ""

    @property
    def pid(self) -> int | None:
        """The main process, while it runs."""
        return self._identity.pid if self._identity is not None and self.running() else None

    def adopt(self) -> bool:
        """Take over the process that an earlier daemon, or this one, has started; whether it runs."""
        if self._pidfd is not None and not ended(self._pidfd):
            self._keep_record()
            return True
        self._forget()
        identity = read_record(self.record_file)
        pidfd = None if identity is None else open_process(identity)
        if pidfd is None:
            return False
        self._identity, self._pidfd = identity, pidfd
        return True

    def running(self) -> bool:
        """Whether the main process runs."""
        return self.adopt()

    def leftovers(self) -> list[int]:
        """Processes of it that live although the main process has ended."""
        if self.running():
            return []
        if self.cgroup is not None:
            return self.cgroup.pids() if self.cgroup.populated() else []
        identity = read_record(self.record_file)
        return group_members(identity) if identity is not None else []

    def observe(self) -> Observation:
        """Whether it runs, has ended, or has left processes behind."""
        if self.running():
            return Observation("running")
        if left := self.leftovers():
            pids = ", ".join(map(str, left[:5]))
            return Observation("failed", f"the main process {self.how_ended()}; left behind: {pids}")
        return Observation("stopped", self._ended)

    def how_ended(self) -> str:
        """How the main process came to its end, as far as it is known."""
        return self._ended or "has ended"

    async def start(self, env: Mapping[str, str] | None = None) -> None:
        """Start it, `env` added to its own; return when it runs. Raises ResourceError."""
        if self.running():
            return
        full_env = service_environment({**self.env, **(env or {})})
        if not self.argv:
            raise CommandError("the command is empty")
        if problem := await aside(self.name, find_command, self.argv[0], full_env, self.cwd):
            raise CommandError(problem)
        if self.leftovers():
            log.warning("process.leftovers_killed", name=self.name)
            await self.kill()
        if self.cgroup is not None:
            self.cgroup.create()
        self._ended = ""
        try:
            await self._spawn(full_env)
        except BaseException:
            # A start that was cancelled or that failed leaves nothing half started.
            self._kill_now()
            raise

    async def stop(self, timeout_s: float) -> None:
        """Send the stop signal to the main process and wait for its end, at most `timeout_s`; then kill all
        that is left. Return when nothing of it lives. Raises ResourceError."""
        if self.running():
            assert self._pidfd is not None
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, self.stop_signal)
            try:
                async with asyncio.timeout(timeout_s):
                    await self.wait()
            except TimeoutError:
                log.warning("process.stop_timed_out", name=self.name, timeout_s=timeout_s)
        await self.kill()

    async def kill(self, timeout_s: float = KILL_TIMEOUT_S) -> None:
        """SIGKILL all of it; return when nothing of it lives. Raises ResourceError."""
        self._kill_now()
        dead = True
        if self.cgroup is not None:
            dead = await self.cgroup.kill_all(timeout_s)
        if dead and (self.cgroup is None or self.running()):
            # Without cgroups; or the process has not reached its cgroup yet.
            dead = await asyncio.to_thread(kill_record, self.record_file, timeout_s)
        if not dead:
            left = ", ".join(map(str, self.leftovers())) or str(self.pid)
            raise ResourceError(f"{self.name}: processes do not end after SIGKILL (hung in the kernel?): {left}")
        if self._popen is not None:
            await reaped(self._popen)  # it has left its cgroup; a moment later it can be waited for
        self._clear()

    def send_kill(self) -> None:
        """SIGKILL to all of it that lives now, without waiting, and without forgetting it: its watch sees the end.
        For one that another task may be starting anew at any moment."""
        if self.cgroup is not None and self.cgroup.populated():
            self.cgroup.kill()
        elif self._identity is not None and self.running():
            for pid in group_members(self._identity):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    async def wait(self) -> str:
        """Wait for the end of the main process and say how it ended. The exit status is known only of a
        process that this daemon has started itself."""
        if self.running() and self._pidfd is not None:
            # A descriptor of its own: asyncio has one waiter for each.
            pidfd = os.dup(self._pidfd)
            try:
                await wait_readable(pidfd)
            finally:
                os.close(pidfd)
        self._reap()
        return self.how_ended()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the main process. Raises ResourceError when it does not run."""
        if not self.running() or self._pidfd is None:
            raise ResourceError(f"{self.name} does not run")
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def guard_steps(self) -> tuple[dict[str, Any], ...]:
        """How the guard kills it. Without cgroups the pid is not known before the start, its record's place
        is."""
        if self.cgroup is not None:
            return ({"kind": "cgroup", "path": self.cgroup.path},)
        argv = [sys.executable, "-I", "-m", "hactl.resources.kill_record", self.record_file]
        return ({"kind": "command", "argv": argv, "timeout_ms": _LEFT_KILL_TIMEOUT_MS, "verify": None},)

    async def _spawn(self, env: Mapping[str, str]) -> None:
        begun, held = os.pipe2(os.O_CLOEXEC)
        try:
            self._popen = self._open(held, env)
            os.close(held)
            held = -1
            await wait_readable(begun)
        finally:
            os.close(begun)
            if held >= 0:
                os.close(held)
        if self.adopt() and self._pidfd is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.settle_s):
                    await wait_readable(self._pidfd)
        if not self.running():
            if self._popen is not None:
                # Without a record: the script failed before the command; its pipe's end came before its own.
                await reaped(self._popen)
                self._reap()
            detail = last_line(self.log_file) or f"see: journalctl -t hactl-{self.name}"
            raise ResourceError(f"{self.argv[0]} {self.how_ended()} at once: {detail}")
        log.info("process.started", name=self.name, pid=self.pid)

    def _open(self, stdin: int, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        record = Path(self.record_file)
        record.parent.mkdir(parents=True, exist_ok=True)
        record.unlink(missing_ok=True)
        procs = self.cgroup.procs if self.cgroup is not None else ""
        output = open_output(self.name, self.log_file)
        # The shell goes there, not this process: that waits for its child to begin, also where no file system answers.
        script = ["/bin/sh", "-c", _SPAWN_SCRIPT, "hactl-spawn", procs, self.record_file, self.cwd or "/"]
        try:
            return subprocess.Popen(
                [*script, *self.argv],
                stdin=stdin,
                stdout=output,
                stderr=output,
                env=dict(env),
                cwd="/",
                umask=of_children(),
                start_new_session=True,
            )
        except OSError as error:
            raise CommandError(f"cannot start {self.argv[0]}: {error}") from None
        finally:
            os.close(output)

    def _keep_record(self) -> None:
        """The next daemon must find it, also after the record was removed."""
        if self._identity is not None and not Path(self.record_file).exists():
            with contextlib.suppress(OSError):  # tried again with the next look
                Path(self.record_file).parent.mkdir(parents=True, exist_ok=True)
                write_record(self.record_file, self._identity)

    def _clear(self) -> None:
        """Nothing of it lives: there is nothing to remember."""
        self._forget()
        if self.cgroup is not None:
            self.cgroup.remove()
        Path(self.record_file).unlink(missing_ok=True)

    def _kill_now(self) -> None:
        """Send SIGKILL to all that is known of it, without waiting."""
        if self._popen is not None and self._popen.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)
        if self.cgroup is not None and self.cgroup.populated():
            self.cgroup.kill()

    def _reap(self) -> None:
        """Note how the process ended, if it was this daemon's child."""
        if self._popen is None or self._popen.poll() is None:
            return
        status = self._popen.returncode
        self._ended = f"was killed by {signal_name(-status)}" if status < 0 else f"ended with exit status {status}"
        self._popen = None

    def _forget(self) -> None:
        self._reap()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        self._identity = None
