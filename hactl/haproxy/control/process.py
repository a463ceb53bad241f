"""HAProxy's process: master and workers in a cgroup of their own, which outlive the daemon.

The master is watched. When a worker dies it ends itself and the others, and when it dies they end, so its end is
HAProxy's end; processes that are left all the same are killed before the next start, for they would share the ports.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
from collections.abc import Collection
from pathlib import Path
from typing import Any

from hactl.haproxy.control.files import alerts, find_haproxy
from hactl.haproxy.control.runtime import Processes, ask, parse_processes
from hactl.haproxy.settings import HaproxyError, HaproxySettings
from hactl.linux.errors import OperationError
from hactl.resources.base import NodeContext, Observation
from hactl.resources.process import Supervised

# Not names that a resource may have: all are cgroups in one directory. A group's HAProxy is another process than the
# one that runs on every node, so that neither is ever taken for the other, and adopted.
NAME, IN_GROUP = "@haproxy", "@haproxy-in-group"
_ASK_TIMEOUT_S = 2.0
_LOOK_EVERY_S = 0.01
_PID = re.compile(r"^Pid: (\d+)", re.MULTILINE)


class ReloadError(HaproxyError):
    """HAProxy did not take the new configuration; it goes on with the one it had."""


class HaproxyProcess:
    """HAProxy on this node. Not for use by two tasks that start, reload and stop it at the same time."""

    def __init__(self, settings: HaproxySettings, context: NodeContext, name: str = NAME) -> None:
        self.settings = settings
        master = f"{settings.master_socket},mode,600"
        argv = [settings.binary, "-W", "-S", master, "-f", settings.config_file]
        self._process = Supervised(name, argv, context, stop_signal=signal.SIGTERM, settle_s=0.0)

    @property
    def pid(self) -> int | None:
        """The master, while it runs."""
        return self._process.pid

    def running(self) -> bool:
        """Whether it runs; one that an earlier daemon has started is adopted."""
        return self._process.adopt()

    def known(self) -> bool:
        """Whether it was started and not stopped since: it runs, or has ended by itself."""
        return Path(self._process.record_file).exists()

    def observe(self) -> Observation:
        """Its state."""
        return self._process.observe()

    def guard_steps(self) -> tuple[dict[str, Any], ...]:
        """How the guard kills it."""
        return self._process.guard_steps()

    async def wait(self) -> str:
        """Wait for its end and say how it ended."""
        return await self._process.wait()

    async def start(self, timeout_s: float = 10.0) -> None:
        """Start it with `config_file` and return when it serves. Raises HaproxyError; then nothing runs."""
        log_size = self._log_size()
        self._process.argv[0] = find_haproxy(self.settings.binary)
        try:
            await self._process.start()
            async with asyncio.timeout(timeout_s):
                await self._until_serving()
        except TimeoutError:
            await self.kill()
            raise HaproxyError(f"HAProxy did not begin to serve within {timeout_s} s{self._words(log_size)}") from None
        except (OperationError, HaproxyError, OSError) as error:
            await self.kill()
            raise HaproxyError(f"HAProxy does not start: {error}{self._words(log_size)}") from None

    async def reload(self, timeout_s: float = 10.0) -> None:
        """Have it read `config_file` again; return when new workers have taken over. Raises ReloadError; then
        the old ones go on."""
        log_size = self._log_size()
        before = await self.processes()
        # Until 2.6 there is no answer. Later there is one when it is over, but not whether the new worker serves.
        reply = await ask(self.settings.master_socket, "reload", timeout_s)
        if reply.startswith("Success=0"):
            raise ReloadError(f"HAProxy's reload failed, it goes on as it was: {alerts(reply)}")
        try:
            async with asyncio.timeout(timeout_s):
                after = await self._until_reloaded(before)
        except TimeoutError:
            raise ReloadError(f"HAProxy did not reload within {timeout_s} s{self._words(log_size)}") from None
        if after.failed or not set(after.workers) - set(before.workers):
            raise ReloadError(f"HAProxy's reload failed, it goes on as it was{self._words(log_size)}")

    async def reload_unasked(self, timeout_s: float = 10.0) -> None:
        """Its sockets were removed: have it read `config_file` by a signal; return when it can be asked again. Raises
        HaproxyError."""
        try:
            self._process.send_signal(signal.SIGUSR2)
            async with asyncio.timeout(timeout_s):
                await self._until_serving()
        except TimeoutError:
            raise ReloadError(f"HAProxy did not make its sockets again within {timeout_s} s") from None
        except OperationError as error:
            raise ReloadError(str(error)) from None

    async def stop(self, timeout_s: float = 5.0, grace_s: float = 0.0) -> None:
        """End it and its connections; return when nothing of it lives. `grace_s`: for so long, at most, those that are
        open may go on, new ones being refused. Raises HaproxyError."""
        if grace_s > 0 and self.running():
            self._process.send_signal(signal.SIGUSR1)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self._process.wait()
        try:
            await self._process.stop(timeout_s)
        except OperationError as error:
            raise HaproxyError(str(error)) from None

    async def kill(self) -> None:
        """SIGKILL all of it; return when nothing of it lives. Raises HaproxyError."""
        try:
            await self._process.kill()
        except OperationError as error:
            raise HaproxyError(str(error)) from None

    def send_kill(self) -> None:
        """SIGKILL to all of it, even if it is started anew meanwhile."""
        self._process.send_kill()

    async def processes(self) -> Processes:
        """Master and workers as the master knows them. Raises HaproxyError."""
        return parse_processes(await ask(self.settings.master_socket, "show proc", _ASK_TIMEOUT_S))

    async def _until_serving(self) -> None:
        while True:
            if not self.running():
                raise HaproxyError(await self.wait())
            try:
                seen = await self.processes()
                if seen.master == self.pid and await self._serves(seen.workers):
                    return
            except HaproxyError:
                pass  # its socket is not there yet
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _serves(self, workers: Collection[int]) -> bool:
        """Whether one of these does: from 3.1 on a worker is listed while it starts. Raises HaproxyError."""
        match = _PID.search(await ask(self.settings.stats_socket, "show info", _ASK_TIMEOUT_S))
        return match is not None and int(match[1]) in workers

    async def _until_reloaded(self, before: Processes) -> Processes:
        while True:
            if not self.running():
                raise ReloadError(f"HAProxy {await self.wait()} while it reloaded")
            try:
                seen = await self.processes()
                if seen.reloads > before.reloads and (seen.failed or await self._serves(seen.workers)):
                    return seen
            except HaproxyError:
                pass  # the master executes itself anew
            await asyncio.sleep(_LOOK_EVERY_S)

    def _log_size(self) -> int:
        try:
            return Path(self._process.log_file).stat().st_size
        except FileNotFoundError:
            return 0

    def _words(self, since: int) -> str:
        """HAProxy's messages since its log had this size."""
        try:
            with Path(self._process.log_file).open("rb") as file:
                file.seek(since)
                output = file.read(65536).decode(errors="replace")
        except FileNotFoundError:
            return f"; see: journalctl -t hactl-{self._process.name}"
        return f": {alerts(output)}" if "[ALERT]" in output else ""
