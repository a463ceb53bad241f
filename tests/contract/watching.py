"""Collects the batches of a watch, and waits for them with a deadline."""

from __future__ import annotations

import queue

from election.store import Change, WatchBatch, WatchClosed

DEADLINE_S = 30.0


class Collector:
    """Give it to `Store.watch` as `deliver`."""

    def __init__(self) -> None:
        self._queue: queue.Queue[WatchBatch | WatchClosed] = queue.Queue()
        self.batches: list[WatchBatch] = []

    def __call__(self, event: WatchBatch | WatchClosed) -> None:
        self._queue.put(event)

    @property
    def changes(self) -> list[Change]:
        """All changes taken from the watch so far."""
        return [change for batch in self.batches for change in batch.changes]

    def until(self, revision: int) -> list[Change]:
        """All changes up to `revision`, waiting until they are there."""
        while not self.batches or self.batches[-1].revision < revision:
            event = self._queue.get(timeout=DEADLINE_S)
            assert isinstance(event, WatchBatch), event
            self.batches.append(event)
        return self.changes

    def closed(self) -> WatchClosed:
        """The end of the watch, waiting for it."""
        while True:
            event = self._queue.get(timeout=DEADLINE_S)
            if isinstance(event, WatchClosed):
                return event
            self.batches.append(event)

    def nothing_left(self) -> bool:
        """Whether nothing waits that was not taken."""
        return self._queue.empty()
