"""Renewed certificates are taken over without a reload; broken ones are refused, and the old ones stay. There may be
thousands of files, on a slow disk: they are read on a thread.

Source: HAProxy's management guide, `set ssl cert`, `commit ssl cert`, `set ssl ca-file`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from hactl.haproxy.control.certificate_files import Named, digests, directories, named_files, read
from hactl.haproxy.control.files import ConfigFiles
from hactl.haproxy.control.live import LiveHaproxy
from hactl.haproxy.settings import HaproxyError
from hactl.linux.inotify import CLOSE_WRITE, CREATE, DELETE, MOVED_TO, Inotify
from hactl.supervise import Tasks

log = structlog.get_logger(__name__)

# Certificate and key are often written one after the other.
_SETTLE_S = 0.3
_CHANGES = CLOSE_WRITE | MOVED_TO | CREATE | DELETE
_LOOK_AGAIN_S = 30.0
_WITH_CA_FILES = (2, 5)
_TAKEN = re.compile(r"Success")


class Certificates:
    """Of one HAProxy. `reload`: has it read its configuration again, as it is, and raises HaproxyError when that is
    refused. `tell`: reports to people which certificates were renewed, and which were not."""

    def __init__(
        self,
        files: ConfigFiles,
        live: LiveHaproxy,
        reload: Callable[[], Awaitable[None]],
        tell: Callable[[str, bool], None],
        tasks: Tasks,
    ) -> None:
        self._files, self._live, self._reload, self._tell, self._tasks = files, live, reload, tell, tasks
        self._named: tuple[Named, ...] = ()
        self._known: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None

    async def about_to_read(self, text: str) -> None:
        """HAProxy is just about to read a configuration, and with it the files as they are now."""
        self._note(await asyncio.to_thread(lambda: digests(named_files(text))))

    async def watch(self, lock: asyncio.Lock) -> None:
        """Watch the files of the configuration that HAProxy runs with. Called under the lock, and all work is done
        under it."""
        named = await asyncio.to_thread(lambda: named_files(self._files.good() or ""))
        watched = self._task is not None and not self._task.done()
        if named == self._named and watched == bool(named):
            return
        self._named = named
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if named:
            if not self._known:
                self._known = self._noted() or await asyncio.to_thread(digests, named)
            self._task = self._tasks.keep("HAProxy's certificates", functools.partial(self._keep, lock))

    async def close(self) -> None:
        """End the watching."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _keep(self, lock: asyncio.Lock) -> None:
        while True:
            with contextlib.ExitStack() as stack:
                changes = self._armed(stack, await asyncio.to_thread(self._places))
                async with lock:
                    await self._take_over()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_AGAIN_S):
                        await (changes.changed() if changes is not None else asyncio.Event().wait())
                        await asyncio.sleep(_SETTLE_S)

    def _places(self) -> list[str]:
        """Whatever way a renewal is made, it touches one of these directories."""
        paths = (*(named.path for named in self._named), *self._known)
        return sorted({place for path in paths for place in _places(Path(path))})

    def _armed(self, stack: contextlib.ExitStack, places: list[str]) -> Inotify | None:
        """An object that reports changes there."""
        watched: Inotify | None = None
        for place in places:
            with contextlib.suppress(OSError):
                if watched is None:
                    watched = stack.enter_context(Inotify(place, _CHANGES))
                else:
                    watched.add(place, _CHANGES)
        return watched

    async def _take_over(self) -> None:
        """Give HAProxy the files that differ from those it is known to have."""
        now = await asyncio.to_thread(digests, self._named)
        if now == self._known or not self._live.running():
            return
        changed = sorted(path for path in now.keys() | self._known.keys() if now.get(path) != self._known.get(path))
        whole = [path for path in changed if path in now and path in self._known]
        names = ", ".join(changed)
        self._note(now)
        try:
            if whole != changed or not await self._by_commands(changed):
                await self._reload()
        except HaproxyError as error:
            self._tell(f"{names}: {error}; HAProxy goes on with the old one: repair the file", False)
        else:
            self._tell(names, True)

    async def _by_commands(self, changed: list[str]) -> bool:
        """Whether HAProxy has taken them all. If not, it has the old ones, or some of the new."""
        kinds = {named.path: named.kind for named in self._named}
        for path in changed:
            kind = kinds.get(path, "crt")
            content = await asyncio.to_thread(read, path)
            old = kind == "ca" and await self._live.version() < _WITH_CA_FILES
            if kind == "list" or old or content is None or len(path.split()) != 1:
                return False
            file_type = "ca-file" if kind == "ca" else "cert"
            if not await self._set(file_type, path, content):
                return False
        return True

    async def _set(self, file_type: str, path: str, content: bytes) -> bool:
        # An empty line would end it.
        pem = "\n".join(line for line in content.decode(errors="replace").split("\n") if line.strip())
        whole = path.removesuffix(".key")
        name = whole if whole in self._known else path
        answers = await self._live.tell([f"set ssl {file_type} {path} <<\n{pem}\n", f"commit ssl {file_type} {name}"])
        if _TAKEN.search(answers[-1]):
            return True
        log.warning("haproxy.certificate_not_set", path=path, answers=[answer[-300:] for answer in answers])
        await self._live.tell([f"abort ssl {file_type} {name}"])
        return False

    def _note(self, known: dict[str, str]) -> None:
        self._known = known
        self._files.note_certificates(json.dumps(known))

    def _noted(self) -> dict[str, str]:
        """The certificates that HAProxy had, as an earlier daemon noted."""
        try:
            known = json.loads(self._files.noted_certificates())
        except (OSError, ValueError, RecursionError):
            return {}
        return {str(path): str(digest) for path, digest in known.items()} if isinstance(known, dict) else {}


def _places(path: Path) -> list[str]:
    try:
        return list(directories(str(path)))
    except OSError:
        return []
