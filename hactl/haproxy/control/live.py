"""Changes of a running HAProxy: commands, a reload that keeps the results of the checks, and repairs."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

import structlog

from hactl.haproxy.control.commands import Done, ask_all, carry_out
from hactl.haproxy.control.files import ConfigFiles, find_haproxy
from hactl.haproxy.control.process import HaproxyProcess
from hactl.haproxy.control.runtime import ask
from hactl.haproxy.diff.reconcile import LiveServer, Repair, carried_health, differences, parse_live
from hactl.haproxy.diff.step import Command, Version
from hactl.haproxy.settings import HaproxyError, HaproxySettings
from hactl.linux.errors import OperationError
from hactl.linux.run import run

log = structlog.get_logger(__name__)

_TIMEOUT_S = 5.0
# An old worker has only sessions that must end: nobody waits for it.
_OLD_TIMEOUT_S = 0.5
_SHUT_AT_ONCE = 50
# So many workers may live on after reloads, for connections that do not end; each has the memory of a whole HAProxy.
MOST_OLD_WORKERS = 8
_SESSION = re.compile(r"^(?P<id>0x[0-9a-f]+): .* be=(?P<proxy>\S+) srv=(?P<server>\S+) ", re.MULTILINE)
_VERSION_TIMEOUT_S = 10.0
_VERSION = re.compile(r"HAProxy version (\d+)\.(\d+)|HA-Proxy version (\d+)\.(\d+)")


class LiveHaproxy:
    """Not for use by two tasks at the same time. `old_workers`: those that a reload has replaced and that live on with
    their connections, as they were counted last. All methods raise HaproxyError when HAProxy does not do as told."""

    def __init__(self, settings: HaproxySettings, process: HaproxyProcess, files: ConfigFiles) -> None:
        self.settings = settings
        self._process = process
        self._files = files
        self._version: Version | None = None
        self.old_workers = 0

    def running(self) -> bool:
        """Whether there is one."""
        return self._process.running()

    async def be_reachable(self, text: str) -> None:
        """Where its sockets were removed, have them made again by a reload with `text`: it serves all the time. A
        socket whose path is spelled as it was is handed on, and not bound again: so it is spelled in another way for
        once, which the next step puts right."""
        settings = self.settings
        if _there(settings.stats_socket) and _there(settings.master_socket):
            return
        log.warning("haproxy.sockets_missing", directory=settings.run_dir)
        directory, _, name = settings.stats_socket.rpartition("/")
        spelled = text.replace(settings.stats_socket, f"{directory}/./{name}")
        await self._files.validate(spelled)
        self._files.leave_health()
        self._files.place(spelled)
        await self._process.reload_unasked()
        self._files.mark_good()

    async def version(self) -> Version:
        """HAProxy's, as its program says it once."""
        if self._version is None:
            self._version = await read_version(self.settings.binary)
        return self._version

    async def command(self, commands: Sequence[Command]) -> Done:
        """Carry commands out, in their order. Sessions to be shut are shut in the workers of earlier reloads, too, and
        before any server is brought into use that comes after it."""
        if not commands:
            return Done()
        seen = await self._process.processes()
        stats_socket = self.settings.stats_socket
        shut = [command for command in commands if command.verb == "shut"] if seen.old else []
        first = commands.index(shut[-1]) + 1 if shut else 0
        before = await carry_out(stats_socket, commands[:first], seen.workers, _TIMEOUT_S)
        if shut:
            await asyncio.gather(*(self._shut_old(pid, shut) for pid in seen.old))
        after = await carry_out(stats_socket, commands[first:], seen.workers, _TIMEOUT_S)
        return Done((*before.busy, *after.busy))

    async def end_oldest(self) -> int:
        """End the oldest of the workers that a reload has replaced, and their connections, where there are more than
        MOST_OLD_WORKERS; how many."""
        seen = await self._process.processes()
        ended = sum(_end(pid, seen.master) for pid in seen.old[MOST_OLD_WORKERS:])
        self.old_workers = len(seen.old) - ended
        return ended

    async def servers(self) -> list[LiveServer]:
        """The servers as they are."""
        seen = await self._process.processes()
        self.old_workers = len(seen.old)
        (answer,) = await ask_all(self.settings.stats_socket, ["show servers state"], seen.workers, _TIMEOUT_S)
        return await asyncio.to_thread(parse_live, answer)

    async def tell(self, commands: Sequence[str]) -> list[str]:
        """The answers to commands, whatever they are."""
        workers = (await self._process.processes()).workers
        return await ask_all(self.settings.stats_socket, commands, workers, _TIMEOUT_S)

    async def reload(self, text: str) -> None:
        """Have it read its file, which holds `text`. The new worker knows from the first which servers are well."""
        try:
            servers = await self.servers()
            self._files.leave_health(await asyncio.to_thread(carried_health, text, servers))
        except HaproxyError as error:
            log.warning("haproxy.health_not_kept", problem=str(error))
            self._files.leave_health()
        try:
            await self._process.reload()
        finally:
            # It would be wrong at any later time.
            self._files.leave_health()

    async def repair(self, text: str) -> tuple[Repair, Done]:
        """Make the running servers equal to those in `text`; the differences that there were."""
        repair = await asyncio.to_thread(differences, text, await self.servers())
        return repair, await self.command(repair.commands)

    async def _shut_old(self, pid: int, commands: Sequence[Command]) -> None:
        """In a worker that ends with its connections. Commands for servers it refuses, its proxies being disabled, but
        not those for sessions. One without a server may come by one, and so is shut, too."""
        wanted = {(command.proxy, server) for command in commands for server in (command.server, "<none>")}
        try:
            sessions = await ask(self.settings.master_socket, f"@!{pid} show sess", _OLD_TIMEOUT_S)
            matches = _SESSION.finditer(sessions)
            shut = [f"shutdown session {match['id']}" for match in matches if match.group("proxy", "server") in wanted]
            for start in range(0, len(shut), _SHUT_AT_ONCE):
                text = ";".join(shut[start : start + _SHUT_AT_ONCE])
                await ask(self.settings.master_socket, f"@!{pid} {text}", _OLD_TIMEOUT_S)
        except HaproxyError as error:
            # It may have ended by now, and its sessions with it.
            log.warning("haproxy.old_worker_not_asked", worker=pid, problem=str(error))


def _end(pid: int, master: int) -> bool:
    """SIGTERM to a worker of this master."""
    try:
        with os.fdopen(os.pidfd_open(pid), "rb") as pidfd:
            # proc(5): after the name, which may hold anything, the state and the parent.
            words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            if int(words[1]) == master:
                signal.pidfd_send_signal(pidfd.fileno(), signal.SIGTERM)
                return True
    except (OSError, ValueError, IndexError):
        pass  # it has ended
    return False


async def read_version(binary: str) -> Version:
    """The version that `haproxy -v` prints. Raises HaproxyError."""
    program = find_haproxy(binary)
    try:
        done = await run([program, "-v"], timeout_s=_VERSION_TIMEOUT_S)
    except OperationError as error:
        raise HaproxyError(str(error)) from None
    match = _VERSION.search(done.stdout)
    if match is None:
        raise HaproxyError(f"`{program} -v` does not say a version: {done.stdout[:100]!r}")
    major, minor = (int(number) for number in match.groups() if number is not None)
    return major, minor


def _there(path: str) -> bool:
    """Whether somebody listens at this socket. A file whose listener is gone is no socket; a listener that is busy is
    one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as client:
        try:
            client.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            return True
    return True
