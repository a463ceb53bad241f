"""A store in memory with etcd's semantics, for tests, the simulation and plans.

`MemoryLedger` is the semantics alone: synchronous, without threads or a clock. `MemoryStore` makes a `Store`
of it. What etcd does was tried on etcd itself; the contract tests compare both, transaction by transaction.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from election.store import (
    Change,
    CompactedError,
    Condition,
    Delete,
    Get,
    KeyValue,
    Operation,
    Put,
    SameValue,
    Snapshot,
    StoreError,
    StoreFullError,
    StoreRefusedError,
    StoreUnavailableError,
    Txn,
    TxnResult,
    WatchBatch,
    WatchClosed,
)

log = structlog.get_logger(__name__)

# The revision of an etcd that has never been written to.
FIRST_REVISION = 1

# etcd's default of --max-txn-ops: the compares, and each branch, of one transaction.
MAX_TXN_OPERATIONS = 128


class MemoryLedger:
    """Keys, their history and the revision counter.

    While `full` is set the store is out of space: as in etcd, a transaction that has a put in either branch
    is refused, one that only reads or deletes is not.
    """

    __slots__ = ("_changes", "_compacted", "_data", "_revisions", "full", "revision")

    def __init__(self) -> None:
        self.full = False
        self.wipe()

    def wipe(self) -> None:
        """Become a store never written to. `full` stays as it is."""
        self.revision = FIRST_REVISION
        self._compacted = 0
        self._data: dict[str, KeyValue] = {}
        self._changes: list[Change] = []
        self._revisions: list[int] = []  # of _changes, for bisection

    def copy(self) -> MemoryLedger:
        """A ledger of its own with the same content, as a backup holds it."""
        other = MemoryLedger()
        other.full = self.full
        other.restore(self)
        return other

    def restore(self, saved: MemoryLedger) -> None:
        """Take over keys, history and revision counter of `saved`: as after a restore of etcd, revisions
        given since then will be given again. `full` stays as it is."""
        self.revision = saved.revision
        self._compacted = saved._compacted
        self._data = saved._data.copy()
        self._changes = saved._changes.copy()
        self._revisions = saved._revisions.copy()

    def get(self, key: str) -> KeyValue | None:
        """The key as it is now."""
        return self._data.get(key)

    def snapshot(self, prefix: str) -> Snapshot:
        """All keys that begin with `prefix`, sorted."""
        return Snapshot(self.revision, tuple(sorted(kv for key, kv in self._data.items() if key.startswith(prefix))))

    def apply(self, txn: Txn) -> TxnResult:
        """Carry out a transaction. Raises StoreRefusedError, StoreFullError: nothing was changed."""
        self._check(txn)
        data = self._data
        succeeded = all(_holds(compare, data.get(compare.key)) for compare in txn.compares)
        reads: dict[str, KeyValue | None] = {}
        revision = self.revision + 1
        written = False
        for operation in txn.success if succeeded else txn.failure:
            key = operation.key
            old = data.get(key)
            if isinstance(operation, Get):
                reads[key] = old
                continue
            if isinstance(operation, Put):
                created = revision if old is None else old.create_revision
                kv = data[key] = KeyValue(key, operation.value, created, revision)
                self._changes.append(Change(False, kv))
            elif old is None:
                continue  # Deleting what is not there is no write and makes no revision.
            else:
                del data[key]
                self._changes.append(Change(True, KeyValue(key, "", 0, revision)))
            self._revisions.append(revision)
            written = True
        if written:
            self.revision = revision
        return TxnResult(succeeded, self.revision, reads)

    def _check(self, txn: Txn) -> None:
        """Refuse a transaction that etcd refuses whichever branch would be taken."""
        compares, success, failure = txn
        if self.full and any(isinstance(operation, Put) for operation in success + failure):
            raise StoreFullError("out of space")
        for branch in (success, failure):
            if len(branch) > 1:
                _check_branch(branch)
        if len(compares) > MAX_TXN_OPERATIONS:
            raise StoreRefusedError("too many operations in a transaction")

    def changes_since(self, prefix: str, start_revision: int) -> WatchBatch:
        """Every change below `prefix` from `start_revision` on, up to now.

        Raises CompactedError when `start_revision` is not after the compacted revision. (etcd would still
        answer at exactly that revision, but leave out deletions made there; EtcdStore does not accept it.)
        """
        if start_revision <= self._compacted:
            raise CompactedError(self._compacted)
        first = bisect_left(self._revisions, start_revision)
        changes = [change for change in self._changes[first:] if change.kv.key.startswith(prefix)]
        return WatchBatch(self.revision, tuple(changes))

    def compact(self, revision: int) -> None:
        """Forget the history up to and including `revision`; the keys stay. Raises CompactedError when that
        was done before, StoreRefusedError when the revision is still to come."""
        if revision > self.revision:
            raise StoreRefusedError(f"revision {revision} is a future revision")
        if revision <= self._compacted:
            raise CompactedError(self._compacted)
        self._compacted = revision
        end = bisect_right(self._revisions, revision)
        del self._revisions[:end]
        del self._changes[:end]


def _holds(condition: Condition, kv: KeyValue | None) -> bool:
    if isinstance(condition, SameValue):
        return kv is not None and kv.value == condition.value
    actual = 0 if kv is None else kv.mod_revision if condition.target == "mod" else kv.create_revision
    return actual == condition.revision


def _check_branch(operations: tuple[Operation, ...]) -> None:
    """A key may be put once in a branch, and not be deleted beside it."""
    if len(operations) > MAX_TXN_OPERATIONS:
        raise StoreRefusedError("too many operations in a transaction")
    puts = [operation.key for operation in operations if isinstance(operation, Put)]
    deleted = {operation.key for operation in operations if isinstance(operation, Delete)}
    if len(set(puts)) != len(puts) or not deleted.isdisjoint(puts):
        raise StoreRefusedError("duplicate key given in a transaction")


class MemoryStore:
    """A `Store` (see there) over a ledger of its own or one given. Nothing waits, so no deadline is ever missed.

    The ledger of a store in use is only to be touched inside `locked()`.
    """

    def __init__(self, ledger: MemoryLedger | None = None) -> None:
        self._ledger = MemoryLedger() if ledger is None else ledger
        self._changed = threading.Condition()
        self._closed = False
        self._watches: set[MemoryWatch] = set()

    @contextmanager
    def locked(self) -> Iterator[MemoryLedger]:
        """The ledger, for a compaction, a restore and the like; watches see the outcome."""
        with self._changed:
            if self._closed:
                raise StoreUnavailableError("the store is closed")
            try:
                yield self._ledger
            finally:
                self._changed.notify_all()

    def get(self, key: str, *, timeout_s: float) -> tuple[KeyValue | None, int]:
        """See `Store.get`."""
        with self.locked() as ledger:
            return ledger.get(key), ledger.revision

    def snapshot(self, prefix: str, *, timeout_s: float, another_endpoint: bool = False) -> Snapshot:
        """See `Store.snapshot`."""
        with self.locked() as ledger:
            return ledger.snapshot(prefix)

    def txn(self, txn: Txn, *, timeout_s: float) -> TxnResult:
        """See `Store.txn`."""
        with self.locked() as ledger:
            return ledger.apply(txn)

    def watch(
        self,
        prefix: str,
        start_revision: int,
        deliver: Callable[[WatchBatch | WatchClosed], None],
        *,
        another_endpoint: bool = False,
    ) -> MemoryWatch:
        """See `Store.watch`."""
        with self.locked():
            watch = MemoryWatch(self, prefix, start_revision, deliver)
            self._watches.add(watch)
            watch.start()  # before anybody who closes the store waits for its end
        return watch

    def close(self) -> None:
        """See `Store.close`. Watches end with WatchClosed(None)."""
        with self._changed:
            self._closed = True
            watches = list(self._watches)
            self._changed.notify_all()
        for watch in watches:
            watch.join()


class MemoryWatch:
    """A running watch of a MemoryStore: a thread that waits for the ledger to change."""

    def __init__(
        self, store: MemoryStore, prefix: str, start_revision: int, deliver: Callable[[WatchBatch | WatchClosed], None]
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._next = start_revision
        self._deliver = deliver
        self._delivering = threading.RLock()  # re-entrant: `deliver` may cancel
        self._cancelled = False
        self._thread = threading.Thread(target=self._run, name="memory-watch", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def join(self) -> None:
        """Wait for the end of the thread, unless it is this very one."""
        if self._thread is not threading.current_thread():
            self._thread.join()

    def cancel(self) -> None:
        """See `Watch.cancel`."""
        with self._delivering:
            self._cancelled = True
        with self._store._changed:
            self._store._changed.notify_all()

    def _run(self) -> None:
        try:
            while isinstance(delivery := self._await(), WatchBatch):
                self._hand_over(delivery)
            self._hand_over(delivery)
        except Exception:
            log.exception("watch_delivery_failed", prefix=self._prefix)
        finally:
            with self._store._changed:
                self._store._watches.discard(self)

    def _await(self) -> WatchBatch | WatchClosed:
        """The next changes, or why there will be none."""
        store = self._store
        with store._changed:
            while not (self._cancelled or store._closed):
                try:
                    batch = changes_for_watch(store._ledger, self._prefix, self._next)
                except StoreError as error:
                    return WatchClosed(error)
                self._next = batch.revision + 1
                if batch.changes:
                    return batch
                store._changed.wait()
        return WatchClosed(None)

    def _hand_over(self, delivery: WatchBatch | WatchClosed) -> None:
        with self._delivering:
            if not self._cancelled:
                self._deliver(delivery)


def changes_for_watch(ledger: MemoryLedger, prefix: str, start_revision: int) -> WatchBatch:
    """The changes that a watch delivers now. Raises StoreError when the store has gone back to an earlier state: its
    revisions are being given again, so those from `start_revision` on are not all that follows."""
    if start_revision > ledger.revision + 1:
        raise StoreError(f"the store went back from revision {start_revision - 1} to {ledger.revision}")
    return ledger.changes_since(prefix, start_revision)
