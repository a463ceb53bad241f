"""The contract of every store: the same tests on the one in memory and on a real etcd."""

from __future__ import annotations

import threading

import pytest

from election.store import (
    Change,
    CompactedError,
    Compare,
    Delete,
    Get,
    KeyValue,
    Operation,
    Put,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
    Txn,
    TxnResult,
    WatchBatch,
    WatchClosed,
)
from tests.contract.conftest import Subject
from tests.contract.watching import DEADLINE_S, Collector

T = 10.0


def do(subject: Subject, *operations: Operation) -> TxnResult:
    """Carry out operations without a condition."""
    return subject.store.txn(Txn((), operations), timeout_s=T)


def test_missing_key_reads_as_none_with_the_store_s_revision(subject: Subject) -> None:
    revision = do(subject, Put(subject.key("a"), "1")).revision
    assert subject.store.get(subject.key("b"), timeout_s=T) == (None, revision)


def test_put_keeps_the_create_revision_and_moves_the_mod_revision(subject: Subject) -> None:
    key = subject.key("a")
    first = do(subject, Put(key, "1")).revision
    second = do(subject, Put(key, "1")).revision
    assert second == first + 1
    assert subject.store.get(key, timeout_s=T) == (KeyValue(key, "1", first, second), second)


def test_deleted_and_put_again_is_a_new_key(subject: Subject) -> None:
    key = subject.key("a")
    do(subject, Put(key, "1"))
    do(subject, Delete(key))
    assert subject.store.get(key, timeout_s=T)[0] is None
    again = do(subject, Put(key, "2")).revision
    assert subject.store.get(key, timeout_s=T)[0] == KeyValue(key, "2", again, again)


def test_create_if_absent(subject: Subject) -> None:
    key = subject.key("a")
    txn = Txn((Compare(key, "create", 0),), (Put(key, "mine"),), (Get(key),))
    won = subject.store.txn(txn, timeout_s=T)
    lost = subject.store.txn(txn, timeout_s=T)
    assert won == TxnResult(True, won.revision, {})
    kv = KeyValue(key, "mine", won.revision, won.revision)
    assert lost == TxnResult(False, won.revision, {key: kv})


def test_compare_and_swap_on_the_mod_revision(subject: Subject) -> None:
    key = subject.key("a")
    old = do(subject, Put(key, "1")).revision
    new = do(subject, Put(key, "2")).revision
    assert not subject.store.txn(Txn((Compare(key, "mod", old),), (Put(key, "3"),)), timeout_s=T).succeeded
    assert subject.store.txn(Txn((Compare(key, "mod", new),), (Put(key, "3"),)), timeout_s=T).succeeded


def test_all_compares_must_hold(subject: Subject) -> None:
    a, b = subject.key("a"), subject.key("b")
    revision = do(subject, Put(a, "1"), Put(b, "1")).revision
    half = Txn((Compare(a, "create", revision), Compare(b, "mod", revision - 1)), (Delete(a),), (Delete(b),))
    assert not subject.store.txn(half, timeout_s=T).succeeded
    assert [kv.key for kv in subject.store.snapshot(subject.prefix, timeout_s=T).items] == [a]


def test_all_writes_of_a_transaction_are_one_revision(subject: Subject) -> None:
    a, b, c = subject.key("a"), subject.key("b"), subject.key("c")
    first = do(subject, Put(c, "0")).revision
    second = do(subject, Put(a, "1"), Put(b, "2"), Delete(c)).revision
    assert second == first + 1
    kvs = subject.store.snapshot(subject.prefix, timeout_s=T).items
    assert kvs == (KeyValue(a, "1", second, second), KeyValue(b, "2", second, second))


def test_reads_and_deletions_of_nothing_make_no_revision(subject: Subject) -> None:
    revision = do(subject, Put(subject.key("a"), "1")).revision
    assert do(subject, Delete(subject.key("none"))).revision == revision
    assert do(subject, Get(subject.key("a"))).revision == revision
    assert do(subject).revision == revision


def test_a_read_sees_what_the_transaction_wrote_before_it(subject: Subject) -> None:
    key, gone = subject.key("a"), subject.key("b")
    old = do(subject, Put(key, "1"), Put(gone, "1")).revision
    result = do(subject, Get(subject.key("c")), Put(key, "2"), Get(key), Delete(gone), Get(gone))
    assert result.reads == {
        subject.key("c"): None,
        key: KeyValue(key, "2", old, result.revision),
        gone: None,
    }
    assert result.revision == old + 1


@pytest.mark.parametrize("second", [Put, Delete])
@pytest.mark.parametrize("branch", ["success", "failure"])
def test_a_key_touched_twice_is_refused_whichever_branch_is_taken(subject: Subject, second: type, branch: str) -> None:
    key = subject.key("a")
    before = do(subject, Put(key, "0")).revision
    twice = (Put(key, "1"), Put(key, "2") if second is Put else Delete(key))
    txn = Txn((), twice) if branch == "success" else Txn((), (), twice)
    with pytest.raises(StoreRefusedError):
        subject.store.txn(txn, timeout_s=T)
    assert subject.store.get(key, timeout_s=T) == (KeyValue(key, "0", before, before), before)


def test_a_key_deleted_twice_is_not_refused(subject: Subject) -> None:
    key = subject.key("a")
    revision = do(subject, Put(key, "0")).revision
    assert do(subject, Delete(key), Delete(key)).revision == revision + 1


def test_too_many_operations_are_refused(subject: Subject) -> None:
    puts = tuple(Put(subject.key(f"{n:03}"), "x") for n in range(129))
    with pytest.raises(StoreRefusedError):
        do(subject, *puts)
    do(subject, *puts[:128])
    assert len(subject.store.snapshot(subject.prefix, timeout_s=T).items) == 128


def test_snapshot_is_sorted_and_holds_the_prefix_only(subject: Subject) -> None:
    names = ["b", "a/2", "a", "ä", "€uro", "\U0001f600", "B", "a/10"]
    for name in names:
        do(subject, Put(subject.key("in/" + name), name))
    do(subject, Put(subject.key("in"), "outside"), Put(subject.key("io"), "outside"))
    snapshot = subject.store.snapshot(subject.key("in/"), timeout_s=T)
    assert [kv.value for kv in snapshot.items] == sorted(names, key=str.encode)
    assert snapshot.revision == subject.store.get("x", timeout_s=T)[1]
    assert subject.store.snapshot(subject.key("in/"), timeout_s=T, another_endpoint=True) == snapshot


def test_values_come_back_as_they_were(subject: Subject) -> None:
    for value in ("", "\0\n", "grüße \U0001f600", "x" * 100_000):
        do(subject, Put(subject.key("v"), value))
        kv, _ = subject.store.get(subject.key("v"), timeout_s=T)
        assert kv is not None
        assert kv.value == value


def test_concurrent_compare_and_swap_loses_nothing(subject: Subject) -> None:
    key = subject.key("counter")
    do(subject, Put(key, "0"))

    def count() -> None:
        done = 0
        while done < 20:
            kv, _ = subject.store.get(key, timeout_s=T)
            assert kv is not None
            put = Put(key, str(int(kv.value) + 1))
            done += subject.store.txn(Txn((Compare(key, "mod", kv.mod_revision),), (put,)), timeout_s=T).succeeded

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    final, _ = subject.store.get(key, timeout_s=T)
    assert final is not None
    assert final.value == "80"


def test_watch_delivers_the_past_and_what_comes(subject: Subject) -> None:
    a, b = subject.key("a"), subject.key("b")
    first = do(subject, Put(a, "1")).revision
    second = do(subject, Put(a, "2"), Put(b, "1"), Put("/elsewhere", "x")).revision
    seen = Collector()
    subject.store.watch(subject.prefix, first, seen)
    past = [
        Change(False, KeyValue(a, "1", first, first)),
        Change(False, KeyValue(a, "2", first, second)),
        Change(False, KeyValue(b, "1", second, second)),
    ]
    assert seen.until(second) == past
    third = do(subject, Delete(a)).revision
    do(subject, Put("/elsewhere", "y"))
    fifth = do(subject, Put(b, "2")).revision
    assert seen.until(fifth) == [
        *past,
        Change(True, KeyValue(a, "", 0, third)),
        Change(False, KeyValue(b, "2", second, fifth)),
    ]


def test_watch_starts_where_it_is_told(subject: Subject) -> None:
    key = subject.key("a")
    revisions = [do(subject, Put(key, str(n))).revision for n in range(5)]
    for start in (revisions[0], revisions[2], revisions[4]):
        seen = Collector()
        subject.store.watch(subject.prefix, start, seen)
        changes = seen.until(revisions[4])
        assert [c.kv.mod_revision for c in changes] == [r for r in revisions if r >= start]
    seen = Collector()
    subject.store.watch(subject.prefix, revisions[4] + 1, seen, another_endpoint=True)
    last = do(subject, Put(key, "x")).revision
    assert [c.kv.mod_revision for c in seen.until(last)] == [last]


def test_a_revision_is_never_split_over_batches(subject: Subject) -> None:
    first = subject.store.get("x", timeout_s=T)[1] + 1
    live = Collector()
    subject.store.watch(subject.prefix, first, live)
    for n in range(30):
        last = do(subject, *(Put(subject.key(f"{k}"), str(n)) for k in range(100))).revision
    late = Collector()
    subject.store.watch(subject.prefix, first, late)
    for seen in (live, late):
        assert len(seen.until(last)) == 3000
        ends = [batch.revision for batch in seen.batches]
        starts = [batch.changes[0].kv.mod_revision for batch in seen.batches]
        assert all(start > end for start, end in zip(starts[1:], ends, strict=False))
        assert all(batch.changes[-1].kv.mod_revision <= batch.revision for batch in seen.batches)


def test_a_long_past_is_delivered_whole(subject: Subject) -> None:
    """etcd sends at most 1000 revisions at once to a watch that catches up; the answers' headers are ahead."""
    revisions = [do(subject, Put(subject.key("a"), str(n))).revision for n in range(1500)]
    seen = Collector()
    subject.store.watch(subject.prefix, revisions[0], seen)
    assert [change.kv.mod_revision for change in seen.until(revisions[-1])] == revisions
    assert seen.batches[-1].revision == revisions[-1]


def test_nothing_comes_after_cancel(subject: Subject) -> None:
    seen, other = Collector(), Collector()
    first = do(subject, Put(subject.key("a"), "1")).revision
    watch = subject.store.watch(subject.prefix, first, seen)
    subject.store.watch(subject.prefix, first, other)
    seen.until(first)
    watch.cancel()
    watch.cancel()
    last = do(subject, Put(subject.key("a"), "2")).revision
    other.until(last)
    assert seen.nothing_left()


def test_a_watch_may_be_cancelled_while_it_delivers(subject: Subject) -> None:
    delivered: list[WatchBatch | WatchClosed] = []
    ready, done = threading.Event(), threading.Event()

    def deliver(event: WatchBatch | WatchClosed) -> None:
        ready.wait(DEADLINE_S)
        delivered.append(event)
        watch.cancel()
        done.set()

    first = subject.store.get("x", timeout_s=T)[1] + 1
    watch = subject.store.watch(subject.prefix, first, deliver)
    ready.set()
    other = Collector()
    do(subject, Put(subject.key("a"), "1"))
    assert done.wait(DEADLINE_S)
    last = do(subject, Put(subject.key("a"), "2")).revision
    subject.store.watch(subject.prefix, first, other)
    other.until(last)
    assert len(delivered) == 1


def test_watch_of_compacted_revisions_ends(subject: Subject) -> None:
    revisions = [do(subject, Put(subject.key("a"), str(n))).revision for n in range(5)]
    do(subject, Delete(subject.key("a")))
    after = do(subject, Put(subject.key("b"), "1")).revision
    subject.compact(revisions[4] + 1)
    # At exactly the compacted revision etcd would leave out the deletion: that is compacted, too.
    for start in (revisions[0], revisions[4], revisions[4] + 1):
        seen = Collector()
        subject.store.watch(subject.prefix, start, seen)
        closed = seen.closed()
        assert isinstance(closed.error, CompactedError)
        assert closed.error.compact_revision == revisions[4] + 1
        assert not seen.batches
    seen = Collector()
    subject.store.watch(subject.prefix, after, seen)
    assert [c.kv.key for c in seen.until(after)] == [subject.key("b")]


def test_watch_of_a_store_that_went_back_ends(subject: Subject) -> None:
    revision = do(subject, Put(subject.key("a"), "1")).revision
    seen = Collector()
    subject.store.watch(subject.prefix, revision + 1000, seen)
    closed = seen.closed()
    assert isinstance(closed.error, StoreError)
    assert "went back" in str(closed.error)


def test_close_ends_watches_and_calls(subject: Subject) -> None:
    seen = Collector()
    revision = do(subject, Put(subject.key("a"), "1")).revision
    subject.store.watch(subject.prefix, revision, seen)
    seen.until(revision)
    subject.store.close()
    subject.store.close()
    assert seen.closed() == WatchClosed(None)
    with pytest.raises(StoreUnavailableError):
        subject.store.get("a", timeout_s=T)
    with pytest.raises(StoreUnavailableError):
        do(subject, Put(subject.key("a"), "2"))
    with pytest.raises(StoreUnavailableError):
        subject.store.watch(subject.prefix, 1, seen)
    names = {thread.name for thread in threading.enumerate()}
    assert not names & {"etcd-watch", "memory-watch"}
