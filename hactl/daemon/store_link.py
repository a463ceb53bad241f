"""The store from the event loop: blocking calls on threads, answers and the watch back as events.

Renewals have threads of their own: no other slow call may delay them; so have all other decisions, and so have the
requests of the API: a takeover waits for none of them. Nothing is retried here: the next step is decided by the decide
side.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog

from election.keys import Keys
from election.store import Store, StoreError, StoreRefusedError, Watch, WatchBatch, WatchClosed
from hactl.model import events
from hactl.model.effects import Relist, SendTxn
from hactl.model.purposes import Purpose
from hactl.supervise import describe

log = structlog.get_logger()

_NO_THREAD = "no thread can be had to ask the store"

Post = Callable[[events.Event], None]
Measure = Callable[[Purpose, float, str], None]


class StoreLink:
    """Carries out SendTxn and Relist. `measure` is told purpose, seconds and outcome of each transaction."""

    def __init__(self, store: Store, keys: Keys, post: Post, measure: Measure) -> None:
        self._store, self._keys, self._post, self._measure = store, keys, post, measure
        self._loop = asyncio.get_running_loop()
        self._renewing = ThreadPoolExecutor(3, "renew")
        self._others = ThreadPoolExecutor(6, "store")
        self._beside = ThreadPoolExecutor(3, "beside")
        self._queries = ThreadPoolExecutor(4, "asked")
        self._watch: Watch | None = None
        self._watch_number = 0

    def send(self, effect: SendTxn) -> None:
        """Send a transaction; TxnDone is posted within its deadline."""
        pool = self._renewing if effect.purpose is Purpose.RENEW else self._others
        if not self._submit(pool, self._txn, effect):
            self._loop.call_soon(self._post, events.TxnDone(effect.id, None, True, _NO_THREAD))

    def carry_out(self, effect: SendTxn | Relist) -> None:
        """One of the two."""
        if isinstance(effect, Relist):
            self.relist(effect)
        else:
            self.send(effect)

    def relist(self, effect: Relist) -> None:
        """List everything and watch on from there."""
        if not self._submit(self._others, self._list, effect):
            self._loop.call_soon(self._post, events.ListFailed(effect.id, _NO_THREAD))

    async def blocking(self, call: Callable[..., Any], *args: Any) -> Any:
        """Run a blocking call on a thread, for something that the daemon does beside deciding."""
        return await self._loop.run_in_executor(self._beside, call, *args)

    async def query(self, call: Callable[..., Any], *args: Any) -> Any:
        """Run a blocking call on a thread, for a request."""
        return await self._loop.run_in_executor(self._queries, call, *args)

    def close(self) -> None:
        """End the watch and the threads; calls under way end by their own deadlines."""
        self._watch_number += 1
        for pool in (self._renewing, self._others, self._beside, self._queries):
            pool.shutdown(wait=False, cancel_futures=True)
        self._store.close()

    def _submit(self, pool: ThreadPoolExecutor, call: Callable[..., None], effect: Any) -> bool:
        """Whether it will be carried out."""
        try:
            pool.submit(call, effect)
        except (RuntimeError, MemoryError) as error:  # closed, or no thread can be had
            log.debug("store_not_asked", problem=str(error))
            return False
        return True

    def _txn(self, effect: SendTxn) -> None:
        began, outcome = time.monotonic(), "ok"
        try:
            result = self._store.txn(effect.txn, timeout_s=effect.timeout_ms / 1000)
            outcome = "ok" if result.succeeded else "conflict"
            event = events.TxnDone(effect.id, result)
        except StoreRefusedError as error:
            outcome = "refused"
            event = events.TxnDone(effect.id, None, True, str(error))
        except StoreError as error:
            outcome = "unknown"
            event = events.TxnDone(effect.id, None, False, str(error))
        except Exception as error:  # it may have been sent: its outcome is unknown
            outcome = "unknown"
            event = events.TxnDone(effect.id, None, False, describe(error))
            log.exception("store_call_crashed", purpose=effect.purpose, problem=describe(error))
        self._back(self._answered, event, effect.purpose, time.monotonic() - began, outcome)

    def _answered(self, event: events.TxnDone, purpose: Purpose, seconds: float, outcome: str) -> None:
        self._measure(purpose, seconds, outcome)
        self._post(event)

    def _list(self, effect: Relist) -> None:
        try:
            snapshot = self._store.snapshot(
                self._keys.prefix, timeout_s=effect.timeout_ms / 1000, another_endpoint=self._watch is not None
            )
        except StoreError as error:
            self._back(self._post, events.ListFailed(effect.id, str(error)))
        except Exception as error:
            self._back(self._post, events.ListFailed(effect.id, describe(error)))
            log.exception("store_call_crashed", purpose="list", problem=describe(error))
        else:
            self._back(self._listed, events.Listed(effect.id, snapshot))

    def _listed(self, event: events.Listed) -> None:
        self._post(event)
        self._watch_number += 1
        watch = (self._watch_number, event.snapshot.revision + 1, self._watch)
        if not self._submit(self._others, self._rewatch, watch):
            self._post(events.WatchEnded(_NO_THREAD))

    def _rewatch(self, watch: tuple[int, int, Watch | None]) -> None:
        try:
            self._watch_on(*watch)
        except Exception as error:
            self._back(self._post, events.WatchEnded(describe(error)))
            log.exception("store_call_crashed", purpose="watch", problem=describe(error))

    def _watch_on(self, number: int, start: int, old: Watch | None) -> None:
        if old is not None:
            old.cancel()
        if number != self._watch_number:
            return
        self._watch = self._store.watch(
            self._keys.prefix,
            start,
            lambda news: self._back(self._watched, number, news),
            another_endpoint=old is not None,
        )

    def _watched(self, number: int, news: WatchBatch | WatchClosed) -> None:
        if number != self._watch_number:
            return
        self._post(events.Watched(news) if isinstance(news, WatchBatch) else events.WatchEnded(str(news.error)))

    def _back(self, call: Callable[..., None], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the daemon is ending
            self._loop.call_soon_threadsafe(call, *args)
