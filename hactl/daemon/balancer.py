"""Keeps this node's HAProxy in step with the configuration, the live members, the one writers, and what is drained."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import structlog

from hactl.daemon.local_haproxy import LocalHaproxy
from hactl.decide.state import NodeState
from hactl.haproxy.events import HaproxyEvent
from hactl.haproxy.in_group import InGroupManager
from hactl.haproxy.manager import HaproxyManager
from hactl.haproxy.options import Situation
from hactl.haproxy.render import render
from hactl.haproxy.settings import HaproxyError, HaproxySettings
from hactl.haproxy.situation import situation_of
from hactl.resources.base import NodeContext

log = structlog.get_logger()

# Changes that come together are applied together: a reload forks a worker. Not that of a writer: nobody can write until
# then, and a move makes two of them, of which the first takes the old one out of use.
DEBOUNCE_S = 0.05


class Balancer:
    """Renders and applies when `changed` has seen something new; one application at a time."""

    def __init__(
        self,
        settings: HaproxySettings,
        context: NodeContext,
        note: Callable[[str, dict[str, Any]], None],
        in_group: InGroupManager,
        applied: Callable[[str], None] = lambda step: None,
    ) -> None:
        """`applied` is told of every step that was enough, `none` included."""
        self._settings, self._node, self._note, self._applied = settings, context.node, note, applied
        self._tasks = context.tasks
        self._haproxy = LocalHaproxy(HaproxyManager(settings, context, self._on_event), in_group)
        self._wanted: tuple[int, Situation] | None = None
        self._text, self._invalid = "", ""
        self._manage_sysctl = True
        self._news, self._at_once = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def manager(self) -> HaproxyManager:
        """This node's HAProxy."""
        return self._haproxy.manager

    async def begin(self) -> None:
        """Adopt or start HAProxy with what it had, before anything is known of the cluster."""
        await self._haproxy.begin()
        self._task = self._tasks.keep("balancer", self._run)

    async def close(self) -> None:
        """Leave HAProxy running."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._haproxy.close()

    def changed(self, state: NodeState) -> None:
        """Look whether the file is to be rendered anew. Without a store there is no news: the last one stays."""
        if state.cluster is None or not state.view.listed or state.phase == "refused":
            return
        wanted = (state.config_rev, situation_of(state.view, state.cluster, state.node))
        before, self._wanted = self._wanted, wanted
        if wanted == before:
            return
        if before is not None and wanted[1].owners != before[1].owners:
            self._at_once.set()
        self._haproxy.grouped = state.cluster.balancer_group() is not None
        self._manage_sysctl = bool(state.cluster.haproxy.get("manage_sysctl", True))
        self._invalid = ""
        try:
            self._text = render(state.cluster, wanted[1], state.node, self._settings, state.config_rev)
        except ValueError as error:
            self._invalid = str(error)
            self._note("haproxy_invalid", {"detail": str(error)})
            return
        self._news.set()

    def again(self) -> None:
        """The HAProxy of a group has come to its end here: perhaps one is to run on every node now."""
        self._news.set()

    async def start_in_group(self) -> None:
        """Its group is started here: return when HAProxy serves. Raises HaproxyError."""
        if self._invalid or not self._text:
            raise HaproxyError(self._invalid or "nothing is known of the cluster yet")
        await self._haproxy.start_in_group(self._text)

    async def _run(self) -> None:
        if self._text:  # it failed while this was applied: again
            self._news.set()
        while True:
            await self._news.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DEBOUNCE_S):
                    await self._at_once.wait()
            self._news.clear()
            self._at_once.clear()
            result = await self._haproxy.apply(self._text, manage_sysctl=self._manage_sysctl)
            if result.error:
                self._note("haproxy_not_applied", {"detail": result.error})
                continue
            self._applied(result.step)
            if result.changed:
                applied = {"step": result.step, "seconds": round(result.duration_s, 3), "reason": result.reason}
                self._note("haproxy_applied", applied)

    def _on_event(self, event: HaproxyEvent) -> None:
        self._note(f"haproxy_{event.kind}", {"detail": event.detail})
