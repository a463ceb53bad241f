"""The store in memory as a Store: what the contract tests compare with etcd, here for itself."""

from __future__ import annotations

import queue

import pytest

from election.memory_store import MAX_TXN_OPERATIONS, MemoryStore, changes_for_watch
from election.store import (
    CompactedError,
    Compare,
    Delete,
    Get,
    Put,
    SameValue,
    StoreError,
    StoreFullError,
    StoreRefusedError,
    StoreUnavailableError,
    Txn,
    WatchBatch,
    WatchClosed,
)

SECONDS = 5.0


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def put(store: MemoryStore, key: str = "/a/x", value: str = "1") -> int:
    return store.txn(Txn((), (Put(key, value),)), timeout_s=1).revision


class Watched:
    """What a watch delivers."""

    def __init__(self, store: MemoryStore, start: int) -> None:
        self.events: queue.Queue[WatchBatch | WatchClosed] = queue.Queue()
        self.watch = store.watch("/a/", start, self.events.put)

    def next(self) -> WatchBatch | WatchClosed:
        return self.events.get(timeout=SECONDS)


def test_a_key_is_read_with_the_revision_of_the_store(store: MemoryStore) -> None:
    revision = put(store)
    stored, now = store.get("/a/x", timeout_s=1)
    assert stored is not None
    assert (stored.value, stored.create_revision, now) == ("1", revision, revision)
    assert store.get("/a/y", timeout_s=1) == (None, revision)


def test_a_transaction_takes_the_branch_that_its_compares_choose(store: MemoryStore) -> None:
    revision = put(store)
    for compare, holds in [
        (Compare("/a/x", "mod", revision), True),
        (Compare("/a/x", "create", revision + 1), False),
        (SameValue("/a/x", "1"), True),
        (SameValue("/a/y", ""), False),
    ]:
        answer = store.txn(Txn((compare,), (Get("/a/x"),), (Get("/a/y"),)), timeout_s=1)
        assert (answer.succeeded, list(answer.reads)) == (holds, ["/a/x" if holds else "/a/y"])


def test_a_watch_tells_what_is_below_its_prefix_and_nothing_twice(store: MemoryStore) -> None:
    first = put(store)
    watched = Watched(store, first)
    put(store, "/b/x")
    batch = watched.next()
    assert isinstance(batch, WatchBatch)
    assert [change.kv.value for change in batch.changes] == ["1"]
    store.txn(Txn((), (Delete("/a/x"),)), timeout_s=1)
    batch = watched.next()
    assert isinstance(batch, WatchBatch)
    assert [change.deleted for change in batch.changes] == [True]


def test_a_watch_that_is_cancelled_delivers_nothing_more(store: MemoryStore) -> None:
    watched = Watched(store, 1)
    watched.watch.cancel()
    put(store)
    watched.watch.join()
    assert watched.events.empty()


def test_a_watch_ends_with_the_store(store: MemoryStore) -> None:
    watched = Watched(store, 1)
    store.close()
    assert watched.next() == WatchClosed(None)
    with pytest.raises(StoreUnavailableError):
        put(store)


def test_a_watch_from_before_a_compaction_cannot_go_on(store: MemoryStore) -> None:
    put(store)
    last = put(store, value="2")
    with store.locked() as ledger:
        ledger.compact(last)
        with pytest.raises(CompactedError):
            ledger.compact(last)
        with pytest.raises(StoreRefusedError):
            ledger.compact(last + 1)
    closed = Watched(store, 2).next()
    assert isinstance(closed, WatchClosed)
    assert isinstance(closed.error, CompactedError)


def test_a_watch_whose_reader_fails_ends_alone(store: MemoryStore) -> None:
    def fails(_: object) -> None:
        raise RuntimeError("a fault")

    watch = store.watch("/a/", 1, fails)
    put(store)
    watch.join()
    assert put(store, value="2") > 1


def test_a_store_that_went_back_ends_its_watches(store: MemoryStore) -> None:
    with store.locked() as ledger:
        saved = ledger.copy()
    revision = put(store)
    with store.locked() as ledger:
        ledger.restore(saved)
        with pytest.raises(StoreError, match="went back"):
            changes_for_watch(ledger, "/a/", revision + 1)


def test_a_full_store_takes_deletes_and_reads_alone(store: MemoryStore) -> None:
    put(store)
    with store.locked() as ledger:
        ledger.full = True
    with pytest.raises(StoreFullError):
        put(store)
    assert store.txn(Txn((), (Delete("/a/x"), Get("/a/y"))), timeout_s=1).succeeded


@pytest.mark.parametrize(
    "txn",
    [
        Txn((), (Put("/a/x", "1"), Put("/a/x", "2"))),
        Txn((), (Put("/a/x", "1"), Delete("/a/x"))),
        Txn((), (), (Delete("/a/x"), Put("/a/x", "1"))),
        Txn(tuple(Compare(f"/a/{number}", "mod", 0) for number in range(MAX_TXN_OPERATIONS + 1)), ()),
        Txn((), tuple(Get(f"/a/{number}") for number in range(MAX_TXN_OPERATIONS + 1))),
    ],
    ids=["put twice", "put and delete", "in the other branch", "too many compares", "too many operations"],
)
def test_what_etcd_refuses_is_refused(store: MemoryStore, txn: Txn) -> None:
    with pytest.raises(StoreRefusedError):
        store.txn(txn, timeout_s=1)
    assert store.snapshot("/", timeout_s=1).items == ()
