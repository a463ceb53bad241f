"""The events of this node: every note is logged, notable ones go into the cluster's history, takeovers into the
ledger."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import structlog

from election.clock import Instant
from election.keys import Keys
from election.store import Store, StoreAuthError, StoreError, StoreFullError, StoreRefusedError
from hactl.admin import event_log
from hactl.admin.event_log import Entry
from hactl.daemon.parts.ledger import Ledger, Timeline
from hactl.decide.reading import ReadState
from hactl.decide.repeated_notes import RepeatedNotes
from hactl.model.notes import kind_of

log = structlog.get_logger()

# Events are written together that come within this time; after a failure the next try waits longer.
BATCH_S = 0.25
RETRY_S = 5.0

# How often it is checked whether a counted event must be told.
COUNTED_S = 5.0

# How many wait while the store is away; how many this node remembers by itself.
WAITING = 200
RECENT = 500


class History:
    """Takes notes on the event loop; never waits for the store. `dropped`: how many entries the store did not get."""

    def __init__(self, store: Store, keys: Keys, node: str) -> None:
        self.node = node
        self.ledger = Ledger(node)
        self.recent: deque[Entry] = deque(maxlen=RECENT)
        self.dropped = 0
        self._store, self._keys = store, keys
        self._state: Callable[[], ReadState] | None = None
        self._on_timeline: Callable[[Timeline], None] | None = None
        self._on_entry: Callable[[Entry], None] = lambda entry: None
        self._waiting: deque[Entry] = deque()
        self._news = asyncio.Event()
        self._repeated = RepeatedNotes()
        self._numbers = itertools.count(1)
        self._most = event_log.BATCH  # of entries in a batch, as far as the store takes that
        self._since_trim = event_log.SLACK  # the first write looks how many there are

    def attach(
        self,
        state: Callable[[], ReadState],
        on_timeline: Callable[[Timeline], None],
        on_entry: Callable[[Entry], None] = lambda entry: None,
    ) -> None:
        """The source of the state, the callback for a finished takeover, and the one for every event that is told,
        whether the history keeps it or not."""
        self._state, self._on_timeline, self._on_entry = state, on_timeline, on_entry

    def look(self, state: ReadState, now: Instant) -> None:
        """After a step: milestones of takeovers that only the store tells. Cheap."""
        self.ledger.look(state, now)

    def note(self, event: str, data: dict[str, Any], now: Instant) -> None:
        """Something happened at `now`."""
        state = self._state() if self._state else None
        if state is not None:
            self.look(state, now)
        passed = self._repeated.take(event, data, time.monotonic())
        if passed is not None:
            self._tell(event, passed)
        elif self._repeated.waiting:
            self._news.set()  # a counted event has a time at which it is told
        if (done := self.ledger.note(event, data, state, now)) is not None:
            data = done.as_dict()
            log.info("failover", **data)
            self._pass_on("failover", data, kept=True)
            if self._on_timeline is not None:
                self._on_timeline(done)

    def _tell(self, event: str, data: dict[str, Any]) -> None:
        kind = kind_of(event)
        if kind.logged:
            getattr(log, kind.severity_of(data))(event, **data)
        self._pass_on(event, data, kept=kind.kept)

    def _tell_counted(self) -> None:
        for event, data in self._repeated.due(time.monotonic()):
            self._tell(event, data)

    async def run(self) -> None:
        """Write the waiting entries, until cancelled; then the rest, if that is quick."""
        try:
            while True:
                if not self._waiting:
                    await self._await_news()
                await asyncio.sleep(BATCH_S)
                self._news.clear()
                while self._waiting:
                    batch = event_log.batch(self._waiting, self._most)
                    if not await asyncio.to_thread(self._write, batch):
                        await asyncio.sleep(RETRY_S)
        except asyncio.CancelledError:
            if self._waiting:
                with contextlib.suppress(TimeoutError):
                    batch = event_log.batch(self._waiting, self._most)
                    await asyncio.wait_for(asyncio.to_thread(self._write, batch), 1.0)
            raise

    async def _await_news(self) -> None:
        """Until there is an entry to write; a counted event is told when its time has come."""
        while not self._news.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), COUNTED_S if self._repeated.waiting else None)
            self._tell_counted()

    def _pass_on(self, event: str, data: dict[str, Any], *, kept: bool) -> None:
        entry = event_log.new_entry(self.node, next(self._numbers) % 1_000_000, time.time(), event, data)
        if kept:
            self._keep(entry)
        self._on_entry(entry)

    def _keep(self, entry: Entry) -> None:
        self.recent.append(entry)
        self._waiting.append(entry)
        while len(self._waiting) > WAITING:
            self._waiting.popleft()
            self.dropped += 1
        self._news.set()

    def _write(self, batch: list[Entry]) -> bool:
        """On a thread of its own. The same entries may be written twice: under the same keys, with the same value."""
        try:
            if not event_log.write(self._store, self._keys, batch):
                return False
        except StoreError as error:
            if isinstance(error, StoreRefusedError) and not isinstance(error, StoreFullError | StoreAuthError):
                self._refused(batch, str(error))
                return True
            log.debug("history_not_written", waiting=len(batch), problem=str(error))
            return False
        self._most = event_log.BATCH
        self._written(batch)
        self._since_trim += len(batch)
        self._trim()
        return True

    def _trim(self) -> None:
        """A history that is too large to be listed is trimmed after a later write."""
        if self._since_trim >= event_log.SLACK:
            try:
                event_log.trim(self._store, self._keys)
                self._since_trim = 0
            except StoreError as error:
                log.debug("history_not_trimmed", problem=str(error))

    def _refused(self, batch: list[Entry], problem: str) -> None:
        """The store will never take this batch: a smaller one is tried; a single entry is dropped."""
        self._most = max(1, len(batch) // 2)
        if len(batch) == 1:
            log.warning("event_dropped", stamp=batch[0].stamp, event_name=batch[0].event, problem=problem)
            self.dropped += 1
            self._written(batch)

    def _written(self, batch: list[Entry]) -> None:
        written = {entry.stamp for entry in batch}
        # The loop only appends and drops at the left, so the written entries are found from the left.
        while self._waiting and self._waiting[0].stamp in written:
            self._waiting.popleft()
