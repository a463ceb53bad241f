"""Keeps this node's HAProxy in step with the configuration, the live members, the one writers, and the drained servers.

Long work (rendering, comparing) is done on threads; a failed step is tried again, without end, with a growing wait.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import structlog

from hactl.daemon.log.repeats import Repeats
from hactl.daemon.observe.serving import Serving
from hactl.daemon.parts.haproxy_switch import LocalHaproxy
from hactl.decide.reading import ReadState
from hactl.haproxy.control.files import ApplyResult
from hactl.haproxy.control.in_group import InGroupManager
from hactl.haproxy.control.manager import HaproxyManager
from hactl.haproxy.control.runtime import ask
from hactl.haproxy.events import EventKind, HaproxyEvent
from hactl.haproxy.routing import routing_of
from hactl.haproxy.settings import HaproxyError, HaproxySettings
from hactl.haproxy.wanted import Rendered, Wanted, render_wanted
from hactl.model.events import HaproxySeen
from hactl.model.requirements import required_services
from hactl.resources.base import NodeContext

log = structlog.get_logger()

# Changes that come together are applied together: a reload forks a worker. Not that of a writer: nobody can write until
# then, and a move makes two of them, of which the first takes the old one out of use.
DEBOUNCE_S = 0.05
# A refused one is tried again after this long, twice as long each time: a port may be free by then, a name resolve.
RETRY_S, LONGEST_RETRY_S = 1.0, 15.0
ASK_TIMEOUT_S = 1.0
# Events that happen at every try, and so may happen without end.
_COUNTED: frozenset[EventKind] = frozenset(
    {"died", "hung", "invalid", "kept", "reload_failed", "started", "start_failed"}
)


class Balancer:
    """Renders and applies when `changed` has seen something new; one application at a time."""

    def __init__(
        self,
        settings: HaproxySettings,
        context: NodeContext,
        note: Callable[[str, dict[str, Any]], None],
        in_group: InGroupManager,
        applied: Callable[[str], None] = lambda step: None,
        post: Callable[[HaproxySeen], None] = lambda event: None,
        repeated: Callable[[str], None] = lambda event: None,
    ) -> None:
        """`applied` is told of every step that was enough, `none` included; `post` how HAProxy serves; `repeated` of
        events that are not noted, since the same was noted again and again."""
        self._settings, self._node, self._applied, self._note = settings, context.node, applied, note
        self._repeats, self._keep_task = Repeats(note, repeated), context.tasks.keep
        self._haproxy = LocalHaproxy(HaproxyManager(settings, context, self._on_event), in_group)
        self._serving = Serving(self._problem, self._ask, post)
        self._wanted: Wanted | None = None
        self._rendered: tuple[Wanted, Rendered] | None = None
        self._kept: Wanted | None = None
        self._failures = 0
        self._news, self._at_once = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def manager(self) -> HaproxyManager:
        """This node's HAProxy."""
        return self._haproxy.manager

    async def begin(self) -> None:
        """Adopt or start HAProxy with its last configuration, before anything is known of the cluster. A failure is
        tried again: etcd may be away for long."""
        self._failures = 1 if await self._resume() else 0
        self._tasks = [
            self._keep_task("balancer", self._run),
            self._keep_task("look at what HAProxy serves", self._serving.run),
        ]

    async def close(self) -> None:
        """Leave HAProxy running."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._haproxy.close()

    def changed(self, state: ReadState) -> None:
        """Look whether the file must be rendered anew. Without a store there is no news: the last one stays."""
        if state.cluster is None or not state.view.listed or state.phase == "refused":
            return
        wanted = Wanted(state.cluster, routing_of(state.view, state.cluster, state.node), state.config_rev)
        before, self._wanted = self._wanted, wanted
        if before is None or before.cluster is not wanted.cluster:
            self._serving.require(required_services(wanted.cluster))
        if before is not None and (wanted.revision, wanted.routing) == (before.revision, before.routing):
            self._wanted = before
            return
        if before is not None and wanted.routing.owners != before.routing.owners:
            self._at_once.set()
        self._haproxy.grouped = wanted.grouped
        self._news.set()

    def again(self) -> None:
        """The HAProxy of a group has come to its end here: perhaps one should run on every node now."""
        self._news.set()

    async def start_in_group(self) -> None:
        """Its group is started here: return when HAProxy serves. Raises HaproxyError."""
        if self._wanted is None:
            raise HaproxyError("nothing is known of the cluster yet")
        rendered = await self._render(self._wanted)
        if rendered.problem:
            raise HaproxyError(rendered.problem)
        await self._haproxy.start_in_group(rendered.text)

    async def _resume(self) -> str:
        """Why HAProxy does not run with its last configuration; "" where it does, or had none."""
        try:
            return await self._haproxy.begin()
        except (HaproxyError, OSError) as error:
            log.warning("haproxy.not_resumed", problem=str(error))
            return str(error)

    async def _run(self) -> None:
        if self._wanted is not None:  # it failed while this was applied: again
            self._news.set()
        while True:
            await self._await_turn()
            self._news.clear()
            self._at_once.clear()
            problem = await self._apply_newest()
            self._failures = self._failures + 1 if problem else 0
            if not problem:
                self._repeats.forget()

    async def _await_turn(self) -> None:
        """Until there is news, or a failed step is due again."""
        wait = min(RETRY_S * 2.0 ** (self._failures - 1), LONGEST_RETRY_S) if self._failures else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._news.wait()
        if self._news.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DEBOUNCE_S):
                    await self._at_once.wait()

    async def _apply_newest(self) -> str:
        """Have HAProxy run with the wanted configuration; why that failed."""
        wanted = self._wanted
        if wanted is None:
            return await self._resume() if self._failures else ""
        rendered = await self._render(wanted)
        if self._wanted is not None and self._wanted.routing.owners != wanted.routing.owners:
            return ""  # another writer meanwhile: the earlier one must not be brought into use
        if rendered.problem:
            self._repeats.note("haproxy_invalid", {"detail": rendered.problem})
            self._serving.look(rendered.bound, rendered.problem)
            return rendered.problem
        result = await self._haproxy.apply(rendered.text, manage_sysctl=wanted.manage_sysctl)
        self._serving.look(rendered.bound)
        if result.error:
            self._repeats.note("haproxy_not_applied", {"detail": result.error})
            return result.error
        self._tell(result)
        await self._keep(wanted)
        return ""

    def _tell(self, result: ApplyResult) -> None:
        self._applied(result.step)
        if result.changed:
            applied = {"step": result.step, "seconds": round(result.duration_s, 3), "reason": result.reason}
            self._note("haproxy_applied", applied)

    async def _render(self, wanted: Wanted) -> Rendered:
        if self._rendered is None or self._rendered[0] is not wanted:
            self._rendered = wanted, await asyncio.to_thread(render_wanted, wanted, self._node, self._settings)
        return self._rendered[1]

    async def _keep(self, wanted: Wanted) -> None:
        """HAProxy has taken this configuration: keep it for the start after a reboot."""
        if self._kept is not None and wanted.is_kept_as(self._kept):
            return
        rendered = await asyncio.to_thread(render_wanted, wanted.without_writers, self._node, self._settings)
        try:
            await self._haproxy.keep(rendered.text, manage_sysctl=wanted.manage_sysctl)
        except HaproxyError as error:
            self._repeats.note("haproxy_not_kept", {"detail": str(error)})
            return
        self._kept = wanted

    def _problem(self) -> str:
        return self.manager.problem()

    async def _ask(self, question: str) -> str:
        return await ask(self.manager.settings.stats_socket, question, ASK_TIMEOUT_S)

    def _on_event(self, event: HaproxyEvent) -> None:
        often = event.kind in _COUNTED
        (self._repeats.note if often else self._note)(f"haproxy_{event.kind}", {"detail": event.detail})
