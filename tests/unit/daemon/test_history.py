"""The history: bounded, late where the store is away, never in the way."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from election.keys import Keys
from election.memory_store import MemoryStore
from election.store import (
    KeyValue,
    StoreUnavailableError,
    Txn,
    TxnResult,
)
from hactl.admin import event_log
from hactl.daemon.parts.history import History
from tests.support.scene import KEYS, Scene, at


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


def test_the_watched_prefix_holds_no_history(scene: Scene) -> None:
    before = scene.store.snapshot(KEYS.prefix, timeout_s=1).items
    event_log.note(scene.store, KEYS, "n1", "session_opened", {})
    scene.put(KEYS.config_history(7), "an earlier one")
    assert stored(scene) == ["session_opened"]
    assert scene.store.snapshot(KEYS.prefix, timeout_s=1).items == before


def test_waiting_entries_are_written_at_the_end(scene: Scene) -> None:
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


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode(errors="surrogatepass")))
@example(b"[" * 100_000)
@example(b'{"at": "x", "node": 1, "event": null, "data": {"a": NaN, "b": "\\ud800"}}')
@example(b'{"at": "x", "node": "n", "event": "e", "data": [["a", 1]]}')
def test_any_content_of_the_history_can_be_shown(raw: bytes) -> None:
    kv = KeyValue(KEYS.event("x"), raw.decode(errors="replace"), 1, 1)
    entry = event_log.parse(KEYS, kv)
    if entry is not None:
        shown = json.dumps(entry.as_dict(), allow_nan=False, ensure_ascii=False).encode()
        assert json.loads(shown) == entry.as_dict()


@given(st.lists(st.integers(1, 900_000), max_size=150))
def test_a_batch_is_what_etcd_takes(sizes: list[int]) -> None:
    entries = [event_log.Entry(f"{number:04}", "", "n1", "e", {"x": "x" * size}) for number, size in enumerate(sizes)]
    batch = event_log.batch(entries)
    assert batch == entries[: len(batch)] and len(batch) <= event_log.BATCH and bool(batch) == bool(entries)
    assert len(batch) <= 1 or sum(sizes[: len(batch)]) <= event_log.BATCH_BYTES


def test_every_event_that_is_told_is_passed_on_whether_it_is_kept_or_not(scene: Scene) -> None:
    passed: list[event_log.Entry] = []
    history = History(scene.store, KEYS, "n1")
    history.attach(lambda: None, lambda _: None, passed.append)  # type: ignore[arg-type, return-value]
    history.note("store_unreachable", {}, at(0))
    history.note("deposed", {"sid": "x"}, at(0))
    for _ in range(50):
        history.note("trouble", {"source": "a", "what": "it"}, at(0))
    assert [entry.event for entry in passed[:2]] == ["store_unreachable", "deposed"]
    assert passed[1] in history.recent and passed[0] not in history.recent
    assert 1 < len(passed) < 10  # what repeats is counted
