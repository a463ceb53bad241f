"""The history: bounded, late where the store is away, never in the way."""

from __future__ import annotations

import asyncio
import json

import pytest
import structlog

from election.memory_store import MemoryStore
from election.store import (
    Put,
    Snapshot,
    StoreRefusedError,
    StoreTimeoutError,
    Txn,
    TxnResult,
)
from hactl.admin import event_log
from hactl.daemon.parts import history
from hactl.decide.repeated_notes import BURST
from tests.support.scene import KEYS, Scene, at
from tests.support.waiting import wait_until
from tests.unit.daemon.test_history import Away, running, stored


@pytest.fixture
def scene() -> Scene:
    return Scene(Away())


async def await_stored(scene: Scene, wanted: list[str]) -> None:
    await wait_until(lambda: stored(scene) == wanted, f"the history is {wanted}", blocking=True)


def test_notes_are_logged_and_kept(scene: Scene) -> None:
    async def main() -> None:
        async with running(scene) as kept:
            with structlog.testing.capture_logs() as logs:
                kept.note("session_opened", {"sid": "s", "srev": 3}, at(0))
                kept.note("resource_failed", {"group": "vip", "resource": "a", "reason": "gone"}, at(1))
                kept.note("store_unreachable", {"problem": "no answer"}, at(2))
            await await_stored(scene, ["session_opened", "resource_failed"])
        assert [(log["event"], log["log_level"]) for log in logs] == [
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
            await wait_until(lambda: stored(scene)[-1:] == ["29"], "all is written", blocking=True)
            await wait_until(lambda: len(stored(scene)) < 15, "the oldest are taken away", blocking=True)
        numbers = stored(scene)
        assert numbers == [str(number) for number in range(30 - len(numbers), 30)]
        assert len(numbers) >= 10

    asyncio.run(main())


def test_events_of_an_outage_are_written_when_the_store_is_back(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_repeated_events_are_counted_and_those_before_them_are_kept(scene: Scene) -> None:
    async def main() -> None:
        async with running(scene) as kept:
            kept.note("group_acquire", {"group": "app", "epoch": 7}, at(0))
            for number in range(500):
                kept.note("stop_failed", {"group": "app", "reason": "it hangs", "count": number}, at(number))
            await wait_until(lambda: len(stored(scene)) >= BURST + 1, "the first are written", blocking=True)
        assert stored(scene) == ["group_acquire", *["stop_failed"] * BURST]

    asyncio.run(main())


class Picky(MemoryStore):
    """A store that takes transactions up to a size, as etcd does."""

    largest = 20_000
    poisonous = ""

    def txn(self, txn: Txn, *, timeout_s: float) -> TxnResult:
        size = sum(len(operation.value) for operation in txn.success if isinstance(operation, Put))
        if size > self.largest or (self.poisonous and self.poisonous in str(txn)):
            raise StoreRefusedError("etcdserver: request is too large")
        return super().txn(txn, timeout_s=timeout_s)


def test_no_event_can_jam_the_history() -> None:
    """Too large, impossible to write, refused by the store: later events are written all the same."""

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


def test_events_are_written_though_the_history_cannot_be_trimmed() -> None:
    async def main() -> None:
        store = Overgrown()
        scene = Scene(store)
        store.overgrown = True
        async with running(scene) as kept:
            for number in range(2):
                kept.note("asked_drain", {"n": str(number)}, at(number))
                await wait_until(lambda: not kept._waiting, "it is written, once", blocking=True)
            assert kept.dropped == 0
        store.overgrown = False
        assert stored(scene) == ["0", "1"]

    asyncio.run(main())
