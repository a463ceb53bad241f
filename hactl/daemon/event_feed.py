"""The cluster's events as they come, for everybody who follows them: one watch of the store, a bounded queue each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec

from election.store import StoreError, WatchBatch, WatchClosed
from hactl.daemon import event_log
from hactl.daemon.daemon_view import DaemonView

# So many may follow at one time, and so many events may wait for one that reads slowly: it is then ended, and its
# command asks again.
FOLLOWERS = 32
WAITING = 500

# A revision and the line; None ends it.
Item = tuple[int, bytes] | None


class TooManyError(Exception):
    """There are as many followers as there may be."""


class Follower:
    """What is on its way to somebody who follows."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Item] = asyncio.Queue(WAITING)
        self.entries: Sequence[event_log.Entry] = ()
        self.start = 0

    def put(self, item: Item) -> None:
        """Without waiting."""
        if self.queue.full():
            while not self.queue.empty():
                self.queue.get_nowait()
            item = None
        self.queue.put_nowait(item)

    async def lines(self) -> AsyncIterator[bytes]:
        """The entries that there were, then those that come, until the store goes away or it falls behind."""
        for entry in self.entries:
            yield line(entry)
        while (item := await self.queue.get()) is not None:
            if item[0] >= self.start:
                yield item[1]


class EventFeed:
    """Watches the store while anybody follows."""

    def __init__(self, daemon: DaemonView) -> None:
        self._daemon = daemon
        self._followers: set[Follower] = set()
        self._watching: asyncio.Task[None] | None = None
        self._begun: asyncio.Future[None] | None = None

    async def join(self, limit: int) -> Follower:
        """Follow from the newest `limit` entries on, until `leave`. Raises TooManyError, StoreError."""
        if len(self._followers) >= FOLLOWERS:
            raise TooManyError
        follower, daemon = Follower(), self._daemon
        self._followers.add(follower)
        try:
            if self._watching is None or self._watching.done():
                self._begun = asyncio.get_running_loop().create_future()
                self._watching = asyncio.create_task(self._watch(self._begun))
            assert self._begun is not None
            await asyncio.shield(self._begun)
            # Read after the watch began: what is not in this list comes to the queue.
            follower.entries, follower.start = await daemon.blocking(event_log.read, daemon.store, daemon.keys, limit)
        except BaseException:
            self.leave(follower)
            raise
        return follower

    def leave(self, follower: Follower) -> None:
        """It does not read any more."""
        self._followers.discard(follower)
        if not self._followers and self._watching is not None:
            self._watching.cancel()
            self._watching = None

    async def _watch(self, begun: asyncio.Future[None]) -> None:
        """From now on; at its end all followers are ended."""
        daemon, loop = self._daemon, asyncio.get_running_loop()
        news: asyncio.Queue[WatchBatch | WatchClosed] = asyncio.Queue()
        try:
            _, start = await daemon.blocking(event_log.read, daemon.store, daemon.keys, 0)
            watch = await daemon.blocking(
                daemon.store.watch,
                daemon.keys.event(""),
                start,
                lambda item: loop.call_soon_threadsafe(news.put_nowait, item),
            )
            begun.set_result(None)
            try:
                while isinstance(item := await news.get(), WatchBatch):
                    self._hand_out(item)
            finally:
                await asyncio.shield(daemon.blocking(watch.cancel))
        except StoreError as error:
            if not begun.done():
                begun.set_exception(error)
        finally:
            begun.cancel()
            for follower in self._followers:
                follower.put(None)

    def _hand_out(self, batch: WatchBatch) -> None:
        for change in batch.changes:
            entry = None if change.deleted else event_log.parse(self._daemon.keys, change.kv)
            if entry is not None:
                item = (change.kv.mod_revision, line(entry))
                for follower in self._followers:
                    follower.put(item)


def line(entry: event_log.Entry) -> bytes:
    """An entry as a line of JSON."""
    return msgspec.json.encode(entry.as_dict()) + b"\n"
