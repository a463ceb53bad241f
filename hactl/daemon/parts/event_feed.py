"""The cluster's events as they come, for all followers: one watch of the store, a bounded queue each. The
earlier events are read, and made into lines, once for all requests at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import NamedTuple

import msgspec

from election.store import StoreError, WatchBatch, WatchClosed
from hactl.admin import event_log
from hactl.daemon.api.shared import Shared
from hactl.daemon.daemon_view import DaemonView
from hactl.serving.http import CHUNK
from hactl.serving.limits import Slots

# So many may follow at one time: when there are more, one of those of whom there are most is ended. And so many events
# may wait for one that reads slowly: it is then ended, too. Its command asks again.
FOLLOWERS = 32
WAITING = 500

# A revision and the line; None ends it.
EntryLine = tuple[int, bytes] | None


class TooManyError(Exception):
    """There are as many followers as there may be."""


class Follower:
    """The events on their way to a peer that follows."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[EntryLine] = asyncio.Queue(WAITING)
        self.earlier: Sequence[bytes] = ()
        self.start = 0

    def put(self, entry: EntryLine) -> None:
        """Without waiting."""
        if self.queue.full():
            self.abort()
        else:
            self.queue.put_nowait(entry)

    def abort(self) -> None:
        """End it: it is too slow, or its place is another's."""
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(None)

    async def lines(self) -> AsyncIterator[bytes]:
        """The events that there were, then those that come, until the store goes away or it falls behind. As many at
        one time as there are, and never so many that the loop is kept by it."""
        for chunk in _chunks(self.earlier):
            yield chunk
            await asyncio.sleep(0)
        while (entry := await self.queue.get()) is not None:
            waiting: list[EntryLine] = [entry]
            while not self.queue.empty():
                waiting.append(self.queue.get_nowait())
            for chunk in _chunks([entry[1] for entry in waiting if entry is not None and entry[0] >= self.start]):
                yield chunk
                await asyncio.sleep(0)
            if waiting[-1] is None:
                return


class History(NamedTuple):
    """The events that were read: oldest first, and as lines; `start`: the revision to watch on from."""

    entries: Sequence[event_log.Entry]
    lines: Sequence[bytes]
    start: int


class EventFeed:
    """Watches the store while anybody follows."""

    def __init__(self, daemon: DaemonView) -> None:
        self._daemon = daemon
        self._history = Shared(self._read)
        self._places = Slots(FOLLOWERS)
        self._followers: dict[Follower, str] = {}
        self._watching: asyncio.Task[None] | None = None
        self._begun: asyncio.Future[None] | None = None

    async def history(self) -> History:
        """All that there is, as it is now or later. Raises StoreError."""
        return await self._history.get()

    async def _read(self) -> History:
        daemon = self._daemon

        def read() -> History:
            entries, start = event_log.read(daemon.store, daemon.keys, event_log.KEPT)
            return History(entries, [line(entry) for entry in entries], start)

        history: History = await daemon.query(read)
        return history

    async def join(self, limit: int, peer: str = "") -> Follower:
        """Follow from the newest `limit` entries on, until `leave`. `peer`: who it is for. Raises TooManyError,
        StoreError."""
        if not self._places.make_room(peer):
            raise TooManyError
        follower = Follower()
        self._places.take(peer, follower)
        self._followers[follower] = peer
        try:
            if self._watching is None or self._watching.done():
                self._begun = asyncio.get_running_loop().create_future()
                self._watching = asyncio.create_task(self._watch(self._begun))
            assert self._begun is not None
            await asyncio.shield(self._begun)
            # Read after the watch began: events that are not in this list come to the queue.
            history = await self.history()
            follower.earlier, follower.start = (history.lines[-limit:] if limit else ()), history.start
        except BaseException:
            self.leave(follower)
            raise
        return follower

    def leave(self, follower: Follower) -> None:
        """It does not read any more."""
        if (peer := self._followers.pop(follower, None)) is not None:
            self._places.give_back(peer, follower)
        if not self._followers and self._watching is not None:
            self._watching.cancel()
            self._watching = None

    async def _watch(self, begun: asyncio.Future[None]) -> None:
        """From now on; at its end all followers are ended."""
        daemon, loop = self._daemon, asyncio.get_running_loop()
        news: asyncio.Queue[WatchBatch | WatchClosed] = asyncio.Queue()
        try:
            _, start = await daemon.query(event_log.read, daemon.store, daemon.keys, 0)
            watch = await daemon.query(
                daemon.store.watch,
                daemon.keys.event(""),
                start,
                lambda batch: loop.call_soon_threadsafe(news.put_nowait, batch),
            )
            begun.set_result(None)
            try:
                while isinstance(batch := await news.get(), WatchBatch):
                    self._hand_out(batch)
            finally:
                await asyncio.shield(daemon.query(watch.cancel))
        except StoreError as error:
            if not begun.done():
                begun.set_exception(error)
        finally:
            begun.cancel()
            for follower in self._followers:
                follower.abort()

    def _hand_out(self, batch: WatchBatch) -> None:
        for change in batch.changes:
            entry = None if change.deleted else event_log.parse(self._daemon.keys, change.kv)
            if entry is not None:
                entry_line = (change.kv.mod_revision, line(entry))
                for follower in self._followers:
                    follower.put(entry_line)


def line(entry: event_log.Entry) -> bytes:
    """An entry as a line of JSON."""
    return msgspec.json.encode(entry) + b"\n"


def _chunks(lines: Sequence[bytes]) -> Iterator[bytes]:
    """Whole lines, of CHUNK bytes or one line."""
    chunk = bytearray()
    for text in lines:
        if chunk and len(chunk) + len(text) > CHUNK:
            yield bytes(chunk)
            chunk.clear()
        chunk += text
    if chunk:
        yield bytes(chunk)
