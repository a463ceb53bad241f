"""The history: bounded, late where the store is away, never in the way."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st

from election.keys import Keys
from election.memory_store import MemoryStore
from election.store import (
    KeyValue,
    Put,
    Snapshot,
    StoreRefusedError,
    StoreTimeoutError,
    StoreUnavailableError,
    Txn,
    TxnResult,
)
from hactl.admin import event_log
from hactl.daemon.parts import history
from hactl.daemon.parts.history import History
from hactl.decide.repeated_notes import BURST
from tests.support.scene import KEYS, Scene, at
from tests.support.stand_in import until


class Away(MemoryStore):
    """A store that can be away."""

    away = False

    def txn(self, txn: Txn, *, timeout_s: float) -> TxnResult:
        if self.away:
            raise StoreUnavailableError("away")
        return super().txn(txn, timeout_s=timeout_s)


@pytest.fixture
def scene() -> Scene:
    return Scene(Away())


@contextlib.asynccontextmanager
async def running(scene: Scene) -> AsyncIterator[History]:
    kept = History(scene.store, KEYS, "n1")
    task = asyncio.create_task(kept.run())
    try:
        yield kept
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def stored(scene: Scene) -> list[str]:
    entries, _ = event_log.read(scene.store, KEYS, 10_000)
    return [str(entry.data.get("n", entry.event)) for entry in entries]


async def await_stored(scene: Scene, wanted: list[str]) -> None:
    await asyncio.to_thread(until, lambda: stored(scene) == wanted, f"the history is {wanted}")


def test_what_every_daemon_lists_and_watches_holds_no_history(scene: Scene) -> None:
    before = scene.store.snapshot(KEYS.prefix, timeout_s=1).items
    event_log.note(scene.store, KEYS, "n1", "session_opened", {})
    scene.put(KEYS.config_history(7), "an earlier one")
    assert stored(scene) == ["session_opened"]
    assert scene.store.snapshot(KEYS.prefix, timeout_s=1).items == before


def test_notes_are_logged_and_kept(scene: Scene) -> None:
    async def main() -> None:
        async with running(scene) as kept:
            with structlog.testing.capture_logs() as logs:
                kept.note("session_opened", {"sid": "s", "srev": 3}, at(0))
                kept.note("resource_failed", {"group": "vip", "resource": "a", "reason": "gone"}, at(1))
                kept.note("store_unreachable", {"problem": "no answer"}, at(2))
            await await_stored(scene, ["session_opened", "resource_failed"])
        assert [(one["event"], one["log_level"]) for one in logs] == [
            ("session_opened", "info"),
            ("resource_failed", "warning"),
            ("store_unreachable", "warning"),
        ]
        entry = event_log.read(scene.store, KEYS, 1)[0][0]
        assert (entry.node, entry.event, entry.data["reason"]) == ("n1", "resource_failed", "gone")
        assert entry.at.endswith("Z")

    asyncio.run(main())


def test_the_newest_are_kept(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "SLACK", 5)
    monkeypatch.setattr(event_log, "BATCH", 3)
    monkeypatch.setattr(event_log.trim, "__defaults__", (10,))
    scene.put(KEYS.event("0000000000001-n2-000001"), "not an entry")

    async def main() -> None:
        async with running(scene) as kept:
            for number in range(30):
                kept.note("group_running", {"n": number, "group": f"g{number}"}, at(number))
            await asyncio.to_thread(until, lambda: stored(scene)[-1:] == ["29"], "all is written")
            await asyncio.to_thread(until, lambda: len(stored(scene)) < 15, "the oldest are taken away")
        found = stored(scene)
        assert found == [str(number) for number in range(30 - len(found), 30)]
        assert len(found) >= 10

    asyncio.run(main())


def test_what_a_store_that_is_away_did_not_get_is_written_when_it_is_back(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "RETRY_S", 0.05)
    monkeypatch.setattr(history, "WAITING", 4)
    assert isinstance(scene.store, Away)
    store = scene.store

    async def main() -> None:
        async with running(scene) as kept:
            store.away = True
            for number in range(7):
                kept.note("group_running", {"n": number, "group": f"g{number}"}, at(number))
            await asyncio.sleep(0.4)
            assert kept.dropped == 3
            store.away = False
            await await_stored(scene, ["3", "4", "5", "6"])

    asyncio.run(main())


def test_what_waits_is_written_at_the_end(scene: Scene) -> None:
    async def main() -> None:
        async with running(scene) as kept:
            await asyncio.sleep(0)
            kept.note("session_closed", {}, at(0))
        assert stored(scene) == ["session_closed"]

    asyncio.run(main())


def test_nothing_is_written_where_there_is_no_cluster() -> None:
    store = MemoryStore()
    assert not event_log.write(store, KEYS, [event_log.new_entry("n1", 1, 0.0, "e", {})])
    assert store.snapshot(KEYS.prefix, timeout_s=1).items == ()


def test_the_order_is_etcds_whatever_the_clocks_say(scene: Scene) -> None:
    """A node whose clock is a year ahead, and one that is a year behind; written together: by number."""
    year = 365 * 86_400.0
    clocks = {"n1": 0.0, "n2": year, "n3": -year}
    for number, (node, ahead) in enumerate(list(clocks.items()) * 3):
        batch = [
            event_log.new_entry(node, 10 * number + n, 2e9 + ahead - n, "e", {"n": 2 * number + n}) for n in (0, 1)
        ]
        assert event_log.write(scene.store, KEYS, batch)
    assert stored(scene) == [str(n) for n in range(18)]
    entries, _ = event_log.read(scene.store, KEYS, 4)
    assert [entry.data["n"] for entry in entries] == [14, 15, 16, 17]
    assert event_log.trim(scene.store, KEYS, 5) == 13
    assert stored(scene) == [str(n) for n in range(13, 18)]


def test_entries_that_cannot_be_read_are_passed_over_and_go_in_their_turn(scene: Scene) -> None:
    event_log.write(scene.store, KEYS, [event_log.new_entry("n1", 1, 2e9, "e", {"n": 1})])
    bad = ("x", '{"at": 5}', "[" * 100_000, '{"at":"a","node":"n","event":"e","data":{"n":NaN}}', "\udcff")
    for number, text in enumerate(bad):
        scene.put(KEYS.event(f"bad-{number}"), text)
    event_log.write(scene.store, KEYS, [event_log.new_entry("n1", 2, 2e9, "e", {"n": 2})])
    assert stored(scene) == ["1", "2"]
    assert event_log.trim(scene.store, KEYS, 1) == len(bad) + 1
    assert stored(scene) == ["2"]


def test_an_entry_that_no_store_would_take_is_cut(scene: Scene) -> None:
    data = {"n": 1, "reason": "caf\udce9" + "x" * 2_000_000, "value": float("nan"), "path": Keys}
    assert event_log.write(scene.store, KEYS, [event_log.new_entry("n1", 1, 2e9, "e", data)])
    (entry,), _ = event_log.read(scene.store, KEYS, 5)
    assert entry.data["reason"].startswith("caf\\udce9xxx") and len(entry.data["reason"]) < 1000


def test_stamps_sort_by_time_and_then_by_number() -> None:
    entries = [event_log.new_entry("n1", number, wall, "e", {}) for wall, number in ((1e9, 1), (1e9, 2), (2e9, 1))]
    assert sorted(entry.stamp for entry in entries) == [entry.stamp for entry in entries]
    assert entries[0].at == "2001-09-09T01:46:40.000Z"


def test_what_repeats_is_counted_and_what_led_there_is_kept(scene: Scene) -> None:
    async def main() -> None:
        async with running(scene) as kept:
            kept.note("group_acquire", {"group": "app", "epoch": 7}, at(0))
            for number in range(500):
                kept.note("stop_failed", {"group": "app", "reason": "it hangs", "count": number}, at(number))
            await asyncio.to_thread(until, lambda: len(stored(scene)) >= BURST + 1, "the first are written")
        assert stored(scene) == ["group_acquire", *["stop_failed"] * BURST]

    asyncio.run(main())


class Picky(MemoryStore):
    """A store that takes transactions up to a size, as etcd does."""

    largest = 20_000
    poisonous = ""

    def txn(self, txn: Txn, *, timeout_s: float) -> TxnResult:
        size = sum(len(one.value) for one in txn.success if isinstance(one, Put))
        if size > self.largest or (self.poisonous and self.poisonous in str(txn)):
            raise StoreRefusedError("etcdserver: request is too large")
        return super().txn(txn, timeout_s=timeout_s)


def test_no_event_can_jam_the_history() -> None:
    """Too large, impossible to write, refused by the store: what comes after it is written all the same."""

    async def main() -> None:
        store = Picky()
        scene = Scene(store)
        store.poisonous = "refuse-this-one"
        async with running(scene) as kept:
            kept.note("asked_drain", {"n": "large", "reason": "x" * 1_400_000}, at(0))
            kept.note("asked_drain", {"n": "odd", "reason": "\udcdf", "ms": float("nan"), "it": object()}, at(0))
            for number in range(90):
                kept.note("resource_failed", {"n": str(number), "reason": "y" * 450}, at(number))
            kept.note("resource_failed", {"n": "refuse-this-one"}, at(99))
            kept.note("resource_failed", {"n": "last"}, at(100))
            await await_stored(scene, ["large", "odd", *(str(number) for number in range(90)), "last"])
            assert kept.dropped == 1
        entries, _ = event_log.read(store, KEYS, 1000)
        assert max(len(json.dumps(entry.as_dict())) for entry in entries) < event_log.LARGEST + 200
        json.dumps([entry.as_dict() for entry in entries], allow_nan=False, ensure_ascii=False).encode()

    asyncio.run(main())


class Overgrown(MemoryStore):
    """More than can be listed in time is among the events."""

    overgrown = False

    def snapshot(self, prefix: str, *, timeout_s: float, another_endpoint: bool = False) -> Snapshot:
        if self.overgrown and prefix == KEYS.event(""):
            raise StoreTimeoutError("no answer within the deadline")
        return super().snapshot(prefix, timeout_s=timeout_s, another_endpoint=another_endpoint)


def test_what_cannot_be_trimmed_keeps_no_event_from_being_written() -> None:
    async def main() -> None:
        store = Overgrown()
        scene = Scene(store)
        store.overgrown = True
        async with running(scene) as kept:
            for number in range(2):
                kept.note("asked_drain", {"n": str(number)}, at(number))
                await asyncio.to_thread(until, lambda: not kept._waiting, "it is written, once")
            assert kept.dropped == 0
        store.overgrown = False
        assert stored(scene) == ["0", "1"]

    asyncio.run(main())


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode(errors="surrogatepass")))
@example(b"[" * 100_000)
@example(b'{"at": "x", "node": 1, "event": null, "data": {"a": NaN, "b": "\\ud800"}}')
@example(b'{"at": "x", "node": "n", "event": "e", "data": [["a", 1]]}')
def test_whatever_stands_in_the_history_can_be_shown(raw: bytes) -> None:
    item = KeyValue(KEYS.event("x"), raw.decode(errors="replace"), 1, 1)
    found = event_log.parse(KEYS, item)
    if found is not None:
        json.dumps(found.as_dict(), allow_nan=False, ensure_ascii=False).encode()


@given(st.lists(st.integers(1, 900_000), max_size=150))
def test_a_batch_is_what_etcd_takes(sizes: list[int]) -> None:
    entries = [event_log.Entry(f"{number:04}", "", "n1", "e", {"x": "x" * size}) for number, size in enumerate(sizes)]
    found = event_log.batch(entries)
    assert found == entries[: len(found)] and len(found) <= event_log.BATCH and bool(found) == bool(entries)
    assert len(found) <= 1 or sum(sizes[: len(found)]) <= event_log.BATCH_BYTES
