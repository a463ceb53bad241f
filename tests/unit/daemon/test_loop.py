"""The one loop: an event a step, and a Tick when one is due."""

from __future__ import annotations

import asyncio
from typing import Any

from election.memory_store import MemoryStore
from election.store import Change, KeyValue, WatchBatch
from hactl.daemon.loop import Loop
from hactl.model import events
from tests.support.scene import KEYS, Scene
from tests.support.stand_in import node_state

DEADLINE_S = 10.0


class Counting(asyncio.SelectorEventLoop):
    """Knows for when Ticks were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.armed: list[float] = []

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        if args == (events.Tick(),):
            self.armed.append(when)
        return super().call_at(when, callback, *args, context=context)


def test_ticks_go_on_and_renewals_leave_the_timer_alone_and_are_not_looked_at() -> None:
    running = Counting()

    async def main() -> None:
        scene, steps = Scene(MemoryStore()), asyncio.Queue[float]()
        state, armed = node_state(scene.spec), running.armed
        loop = Loop(state, lambda effect: None, lambda: steps.put_nowait(running.time()))
        state.view.load(scene.store.snapshot(KEYS.prefix, timeout_s=1))
        loop.post(events.Tick())
        revision = state.view.revision + 1
        standby = Change(False, KeyValue(KEYS.standby("n3"), "n1", revision, revision))
        for _ in range(3):
            loop.post(events.Watched(WatchBatch(state.view.revision, ())))
        assert (steps.qsize(), len(armed)) == (1, 1)
        loop.post(events.Watched(WatchBatch(state.view.revision + 1, (standby,))))
        assert steps.qsize() == 2
        async with asyncio.timeout(DEADLINE_S):
            seen = [await steps.get() for _ in range(6)]
        assert all(tick >= due - 0.001 for tick, due in zip(seen[2:], armed, strict=False))
        loop.stop()
        loop.post(events.Tick())
        assert steps.empty()

    with asyncio.Runner(loop_factory=lambda: running) as runner:
        runner.run(main())
