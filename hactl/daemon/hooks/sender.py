"""One hook: its bounded queue, and the task that delivers what is in it, one event at a time.

`put` is called by the loop that decides, and does next to nothing. All else happens in this task and in the processes
that it starts, so that a receiver that is slow, hangs or fails costs nothing but its own events.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt
from tenacity.wait import wait_exponential

from fencing.linux.clock import utc_z
from hactl.admin.event_log import Entry
from hactl.daemon.hooks.delivery import Delivered, event_document
from hactl.model.hooks import HookSpec

log = structlog.get_logger()

# So many events wait for a hook; of more the oldest are dropped.
WAITING = 100
# The wait before another try: doubled with each, up to the longest.
FIRST_S, LONGEST_S = 1.0, 60.0
# Between two deliveries: each is a process, and a flood of events must not keep the machine busy.
PACE_S = 0.1
# Dropped events are told at most so often.
DROPPED_S = 60.0
# From this try of an event on a failure is reported: the first may be a blip.
REPORTED_TRY = 2
# Events about hooks: one that is not delivered is no news for other hooks, which could go on without end.
ABOUT_HOOKS = frozenset({"hook_failed", "hook_dropped"})

Note = Callable[[str, dict[str, Any]], None]
Deliver = Callable[[HookSpec, dict[str, Any]], Awaitable[Delivered]]


class HookSender:
    """`report` takes why the hook fails, "": it works. `on_change` is called when the queue has changed. `waiting` has
    the event under way, too, until it was delivered or given up."""

    def __init__(
        self,
        spec: HookSpec,
        cluster: str,
        deliver: Deliver,
        note: Note,
        report: Callable[[str], None],
        on_change: Callable[[], None],
        *,
        first_s: float = FIRST_S,
    ) -> None:
        self.spec = spec
        self.waiting: deque[Entry] = deque()
        self.sent = self.failed = self.dropped = 0
        self.problem = ""
        self.last: dict[str, Any] | None = None
        self._cluster, self._deliver, self._note = cluster, deliver, note
        self._report, self._on_change = report, on_change
        self._first_s = first_s
        self._missed = 0  # dropped since the last event that was delivered
        self._untold, self._told_at = 0, 0.0
        self._news = asyncio.Event()

    def put(self, entry: Entry) -> None:
        """Without waiting."""
        self.waiting.append(entry)
        if len(self.waiting) > WAITING:
            self.waiting.popleft()
            self.dropped += 1
            self._missed += 1
            self._untold += 1
        self._news.set()

    def restore(self, entries: list[Entry]) -> None:
        """Events that a daemon before this one did not deliver: they come first."""
        room = WAITING - len(self.waiting)
        self.waiting.extendleft(reversed(entries[-room:] if room else []))
        self._news.set()

    async def run(self) -> None:
        """Deliver, until cancelled."""
        while True:
            if not self.waiting:
                await self._news.wait()
            self._news.clear()
            self._on_change()
            while self.waiting:
                self._tell_dropped()
                entry, missed = self.waiting[0], self._missed
                delivered = await self._try(entry, missed)
                if self.waiting and self.waiting[0] is entry:
                    self.waiting.popleft()
                self._count(entry, delivered, missed)
                self._on_change()
                await asyncio.sleep(PACE_S)
            self._tell_dropped()

    async def test(self, entry: Entry) -> dict[str, Any]:
        """Deliver this event once, beside the queue: `ok`, `detail`, `ms`."""
        began = time.monotonic()
        delivered = await self._deliver(self.spec, event_document(self._cluster, entry))
        if delivered.ok:
            self._well()
        ms = round(1000 * (time.monotonic() - began), 1)
        return {"ok": delivered.ok, "detail": delivered.detail, "ms": ms}

    def status(self) -> dict[str, Any]:
        """For the API."""
        spec = self.spec
        return {
            "name": spec.name,
            "on": list(spec.on),
            "groups": list(spec.groups),
            "target": spec.target,
            "user": spec.user,
            "sender": spec.sender,
            "timeout_ms": spec.timeout_ms,
            "waiting": len(self.waiting),
            "sent": self.sent,
            "failed": self.failed,
            "dropped": self.dropped,
            "problem": self.problem,
            "last": self.last,
        }

    async def _try(self, entry: Entry, missed: int) -> Delivered:
        """Until it is delivered, or there is no try left."""

        async def attempt() -> Delivered:
            return await self._deliver(self.spec, event_document(self._cluster, entry, missed))

        retrying = AsyncRetrying(
            retry=retry_if_result(lambda delivered: not delivered.ok and delivered.again),
            stop=stop_after_attempt(self.spec.retries + 1),
            wait=wait_exponential(multiplier=self._first_s, max=LONGEST_S),
            after=self._after,
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        delivered: Delivered = await retrying(attempt)
        return delivered

    def _after(self, state: RetryCallState) -> None:
        """A try has failed, and may be followed by another."""
        if state.outcome is not None and state.attempt_number >= REPORTED_TRY and not self.problem:
            self._ill(state.outcome.result().detail)

    def _count(self, entry: Entry, delivered: Delivered, missed: int) -> None:
        self.last = {"event": entry.event, "at": utc_z(), "ok": delivered.ok, "detail": delivered.detail}
        if delivered.ok:
            self.sent += 1
            self._missed -= missed
            self._well()
            return
        self.failed += 1
        self._ill(delivered.detail)
        about = {"hook": self.spec.name, "of": entry.event, "problem": delivered.detail}
        if entry.event in ABOUT_HOOKS:
            log.warning("hook_gave_up", **about)
        else:
            self._note("hook_failed", about)

    def _ill(self, problem: str) -> None:
        if self.problem != problem:
            self.problem = problem
            self._report(problem)

    def _well(self) -> None:
        if self.problem:
            self.problem = ""
            self._report("")

    def _tell_dropped(self) -> None:
        if self._untold and time.monotonic() - self._told_at >= DROPPED_S:
            dropped, self._untold, self._told_at = self._untold, 0, time.monotonic()
            self._note("hook_dropped", {"hook": self.spec.name, "dropped": dropped})
