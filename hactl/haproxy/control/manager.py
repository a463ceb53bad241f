"""HAProxy on this node, as the daemon sees it: give it the wanted file, it sees to the rest."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Collection
from typing import Literal, NamedTuple

import structlog

from hactl.haproxy.control.binds import allow_nonlocal_bind, check_free
from hactl.haproxy.control.certificates import Certificates
from hactl.haproxy.control.files import ApplyResult, ConfigFiles
from hactl.haproxy.control.keeper import Keeper
from hactl.haproxy.control.late_names import LateNames
from hactl.haproxy.control.live import MOST_OLD_WORKERS, LiveHaproxy
from hactl.haproxy.control.process import IN_GROUP, NAME, HaproxyProcess
from hactl.haproxy.control.runtime import ServerState, ask, parse_server_states
from hactl.haproxy.diff.parse import bound_addresses
from hactl.haproxy.diff.step import Step, decide_step, switch_first
from hactl.haproxy.events import GOOD_NEWS, EventKind, HaproxyEvent, HaproxyStatus
from hactl.haproxy.settings import HaproxyError, HaproxySettings
from hactl.resources.base import NodeContext

log = structlog.get_logger(__name__)

# How often the servers are compared with the file; sooner while one will be removed.
_LOOK_EVERY_S = 30.0
_LOOK_SOON_S = 2.0
# For so long it may not answer before it counts as not well.
_SILENT_S = 2.5


class _Applied(NamedTuple):
    """The step applied, and why a cheaper one was not enough."""

    step: Literal["none", "runtime", "reload", "start", "stop"]
    reason: str = ""


class HaproxyManager:
    """Keeps HAProxy running with the wanted configuration. It belongs to one event loop.

    `on_event` is called in the loop and must not raise. HAProxy outlives this object unless it is stopped.
    """

    # Addresses that are on another node are bound, too.
    nonlocal_bind = True
    # HAProxy is started where it does not run.
    may_start = True

    def __init__(
        self,
        settings: HaproxySettings,
        context: NodeContext,
        on_event: Callable[[HaproxyEvent], None] | None = None,
        name: str = NAME,
    ) -> None:
        self.settings = settings
        self._context, self._on_event = context, on_event
        self._files = ConfigFiles(settings, settings.kept_file(name))
        self._process = HaproxyProcess(settings, context, name)
        self._keeper = Keeper(self._process, self._restart, self._emit, context.tasks)
        self._lock = asyncio.Lock()
        self._live, self._names = LiveHaproxy(settings, self._process, self._files), LateNames()
        self._certificates = Certificates(
            self._files, self._live, self._reload_same, self._tell_certificate, context.tasks
        )
        self._looking: asyncio.Task[None] | None = None
        # Whether a server that will be removed still has sessions.
        self._busy = asyncio.Event()
        self._changes = 0
        self._reloads: Counter[str] = Counter(ok=0, failed=0, invalid=0)
        self._not_applied = ""
        self._not_running = ""

    async def resume(self) -> bool:
        """At the daemon's start, before the configuration is known: adopt the HAProxy that runs, or start one
        with the configuration it ran with last in this boot, or else with that on the disk, and in both cases with
        nobody as the writer of anything; whether it runs. Raises HaproxyError."""
        async with self._lock:
            of_a_group = HaproxyProcess(self.settings, self._context, IN_GROUP).known()
            if not self._adopted() and not of_a_group:
                await self._start_last_good(None)
            if running := self._process.running():
                await self._put_right()
                await self._look_after()
            return running

    async def ensure(self, text: str, *, manage_sysctl: bool = True) -> ApplyResult:
        """Have HAProxy run with this configuration, by the smallest step. One without a proxy stops it. When that fails
        the result says why, and HAProxy goes on with the configuration it had; with another writer, if there is one."""
        began = time.monotonic()
        async with self._lock:
            running = self._adopted()
            try:
                step, reason = await self._apply(text, running, manage_sysctl)
            except (HaproxyError, OSError) as error:
                self._not_applied = str(error)
                return ApplyResult(False, "none", time.monotonic() - began, str(error))
            self._not_applied = ""
            if self._process.running():
                await self._look_after()
        return ApplyResult(step != "none", step, time.monotonic() - began, reason=reason)

    async def stop(self, grace_s: float = 0.0) -> None:
        """End HAProxy and its connections, and forget its configuration. `grace_s`: for so long, at most, connections
        may go on, new ones being refused. Raises HaproxyError."""
        async with self._lock:
            await self._stop(grace_s)

    async def retire(self) -> None:
        """A group has HAProxy from now on: end this one, if there is one. Raises HaproxyError."""
        async with self._lock:
            if self._process.running() or self._keeper.watching:
                await self._stop()
            with contextlib.suppress(HaproxyError):  # tried again whenever this is
                await self._files.kept.forget()

    async def close(self) -> None:
        """End the watching. HAProxy goes on."""
        looking, self._looking = self._looking, None
        await self._certificates.close()
        await self._keeper.close()
        if looking is not None:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    def status(self) -> HaproxyStatus:
        """How it stands; cheap."""
        running = self._process.running()
        error = self._not_applied or ("" if running else self._not_running) or self._silent()
        file = self._files.fingerprint() if running else ""
        reloads, restarts = dict(self._reloads), self._keeper.restarts
        old = self._live.old_workers if running else 0
        return HaproxyStatus(running, self._process.pid, restarts, reloads, error, self._changes, file, old)

    def problem(self) -> str:
        """Why this node's HAProxy is not well: it does not run, does not answer, or does not run with the configuration
        that was wanted last; "" when it is."""
        if self._process.running():
            return self._silent() or self._not_applied
        return f"HAProxy does not run: {self._not_running or self._not_applied or 'it has ended'}"

    async def keep(self, text: str, *, manage_sysctl: bool) -> None:
        """Keep `text`, a configuration that HAProxy has taken but for the use of servers, for the start after a reboot.
        Raises HaproxyError."""
        await self._files.kept.keep(text, manage_sysctl=manage_sysctl)

    def _silent(self) -> str:
        silence = self._keeper.silence
        lasts = silence.since is None or time.monotonic() - silence.since >= _SILENT_S
        return silence.problem if silence.problem and lasts else ""

    async def server_states(self, timeout_s: float = 1.0) -> list[ServerState]:
        """The state of each server, as this HAProxy sees it. Raises HaproxyError."""
        return parse_server_states(await ask(self.settings.stats_socket, "show stat -1 4 -1", timeout_s))

    async def _apply(self, text: str, running: bool, manage_sysctl: bool) -> _Applied:
        binds = await asyncio.to_thread(bound_addresses, text)
        if not binds:
            await self._stop()
            await self._files.kept.forget()
            return _Applied("stop" if running else "none")
        if not running:
            if not self.may_start:
                return _Applied("none")
            await self._check(text, binds, (), manage_sysctl)
            self._files.place(text)
            try:
                await self._start()
            except HaproxyError:
                await self._start_last_good(text)
                raise
            self._files.mark_good()
            await self._put_right()
            return _Applied("start")
        await self._live.be_reachable(text)
        switched = await self._switch(text)
        good = self._files.good() or ""
        step = await asyncio.to_thread(decide_step, good, text, await self._live.version())
        if step.kind == "none":
            return switched
        await self._check(text, binds, await asyncio.to_thread(bound_addresses, good), manage_sysctl)
        if step.kind == "runtime":
            try:
                await self._change(text, step)
                return _Applied("runtime", step.reason)
            except HaproxyError as error:
                self._emit("change_failed", detail=f"{error}; reloading it instead")
                step = Step("reload", (), (str(error),))
        await self._reload(text, good)
        return _Applied("reload", step.reason)

    async def _check(self, text: str, binds: list[str], held: Collection[str], manage_sysctl: bool) -> None:
        """Stage and validate `text`. Raises HaproxyError; then HAProxy runs with the configuration it had."""
        try:
            await self._files.validate(text)
            if self.nonlocal_bind:
                allow_nonlocal_bind(binds, manage_sysctl)
            check_free(bind for bind in binds if bind not in held)
        except HaproxyError as error:
            self._reloads["invalid"] += 1
            self._emit("invalid", detail=str(error))
            if not self._process.running():
                await self._start_last_good(text)
            raise

    async def _switch(self, text: str) -> _Applied:
        """Another writer is taken before anything else is looked at: it waits for no check, and fails with no other
        change. That needs no `haproxy -c`: only the word `disabled` moves between lines which HAProxy has read."""
        good = self._files.good() or ""
        switched = await asyncio.to_thread(switch_first, good, text)
        if switched == good:
            return _Applied("none")
        step = await asyncio.to_thread(decide_step, good, switched, await self._live.version())
        if step.kind != "runtime":
            return _Applied("none")
        try:
            await self._change(switched, step)
        except HaproxyError as error:
            self._emit("change_failed", detail=f"{error}; reloading it instead")
            return _Applied("none")
        return _Applied("runtime", step.reason)

    async def _change(self, text: str, step: Step) -> None:
        """By commands. The wanted configuration is noted first: should the daemon end meanwhile, the next one finds
        servers that differ from it, and completes the change."""
        began = time.monotonic()
        good = self._files.good()
        self._files.note_good(text)
        try:
            done = await self._live.command(step.commands)
        except HaproxyError:
            self._files.note_good(good or text)
            raise
        if done.busy:
            self._busy.set()
        self._changes += 1
        self._emit("changed", detail=step.reason, duration_s=time.monotonic() - began)

    async def _put_right(self, may_reload: bool = True) -> None:
        """Make the running servers equal to those in the good file; report changes that were made by hand."""
        good = self._files.good()
        if good is None:
            return
        try:
            # Asked once, and best when no change waits for it.
            await self._live.version()
            repair, done = await self._live.repair(good)
        except HaproxyError as error:
            log.warning("haproxy.not_put_right", problem=str(error))
            return
        self._names.see(repair.unresolved)
        await self._bound_old_workers()
        (self._busy.set if done.busy else self._busy.clear)()
        if repair.notes or repair.reload:
            self._emit("mended", detail="; ".join((*repair.notes, *repair.reload)))
        if repair.reload and may_reload:
            with contextlib.suppress(HaproxyError):
                await self._reload(good, good)

    async def _bound_old_workers(self) -> None:
        with contextlib.suppress(HaproxyError):
            if ended := await self._live.end_oldest():
                why = f"more than {MOST_OLD_WORKERS} were left of reloads"
                self._emit("old_workers_ended", detail=f"{ended} of the oldest, and their connections: {why}")

    async def _reload(self, text: str, good: str) -> None:
        """Have HAProxy read `text`. When that fails it goes on with `good`. Raises HaproxyError."""
        began = time.monotonic()
        self._files.place(text)
        await self._certificates.about_to_read(text)
        try:
            await self._live.reload(text)
        except HaproxyError as error:
            # A restart would read the file on the disk: it must be the one that is known to run.
            self._files.note_good(good)
            self._reloads["failed"] += 1
            self._emit("reload_failed", detail=str(error))
            raise
        self._files.mark_good()
        self._reloads["ok"] += 1
        self._emit("reloaded", duration_s=time.monotonic() - began)
        await self._put_right(may_reload=False)

    async def _start_last_good(self, wanted: str | None) -> None:
        """Start it with the configuration it ran with last, or with the one kept on the disk, but with the writer of
        `wanted` (None: of the kept one, nobody): the writer of then may not be the writer now. Nothing happens where
        that is not possible either."""
        good, kept = self._files.good(), await self._files.kept.read()
        wanted = (kept[0] if kept else "") if wanted is None else wanted
        text = good or (kept[0] if kept else "")
        if not text:
            return
        with contextlib.suppress(HaproxyError):
            text = await asyncio.to_thread(switch_first, text, wanted) if wanted else text
            if self.nonlocal_bind:
                allow_nonlocal_bind(await asyncio.to_thread(bound_addresses, text), kept is not None and kept[1])
            self._files.place(text)
            await self._start()
            self._files.mark_good()
            if not good:
                self._emit("kept", detail="it runs with the last good configuration, kept on this node's disk")

    async def _start(self) -> None:
        began = time.monotonic()
        self._keeper.starts()
        self._files.leave_health()
        await self._certificates.about_to_read(self._files.placed())
        try:
            await self._process.start()
        except HaproxyError as error:
            self._not_running = str(error)
            self._emit("start_failed", detail=str(error))
            raise
        self._not_running = ""
        self._keeper.starts()
        self._emit("started", duration_s=time.monotonic() - began)
        self._watch()

    def _adopted(self) -> bool:
        """Whether HAProxy runs; then it is watched."""
        running = self._process.running()
        if running and not self._keeper.watching:
            self._keeper.starts()
            self._emit("adopted")
            self._watch()
        return running

    async def _stop(self, grace_s: float = 0.0) -> None:
        was_running = self._process.running()
        await self.close()
        await self._process.stop(grace_s=grace_s)
        self._files.forget()
        if was_running:
            self._emit("stopped")

    async def _reload_same(self) -> None:
        """For files that the configuration names. Raises HaproxyError."""
        good = self._files.good() or ""
        await self._files.validate(good)
        await self._reload(good, good)

    def _tell_certificate(self, detail: str, taken: bool) -> None:
        self._emit("certificate" if taken else "certificate_refused", detail=detail)

    async def _look_after(self) -> None:
        await self._certificates.watch(self._lock)
        if self._looking is None or self._looking.done():
            self._looking = self._context.tasks.keep("HAProxy's servers", self._keep_right)

    async def _keep_right(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_LOOK_SOON_S if self._busy.is_set() else _LOOK_EVERY_S):
                    # One that becomes busy ends the long wait, and begins a short one.
                    await (asyncio.Event() if self._busy.is_set() else self._busy).wait()
                continue
            except TimeoutError:
                pass
            async with self._lock:
                if self._process.running():
                    with contextlib.suppress(OSError):
                        await self._put_right()
            if names := await self._names.resolved():
                async with self._lock:
                    with contextlib.suppress(HaproxyError):
                        self._emit("resolved", ", ".join(names))
                        await self._reload_same()

    def _watch(self) -> None:
        self._keeper.watch()

    async def _restart(self) -> bool:
        async with self._lock:
            if self._process.running():
                return True
            with contextlib.suppress(HaproxyError):
                await self._start()
                await self._put_right()
            return self._process.running()

    def _emit(self, kind: EventKind, detail: str = "", duration_s: float | None = None) -> None:
        event = HaproxyEvent(kind, self._process.pid, detail, duration_s)
        write = log.info if kind in GOOD_NEWS else log.warning
        write(f"haproxy.{kind}", pid=event.pid, detail=detail, duration_s=duration_s)
        if self._on_event is not None:
            self._on_event(event)
