"""The one loop: an event a step, and a Tick when one is due."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from election.memory_store import MemoryStore
from election.store import Change, KeyValue, Txn, WatchBatch
from hactl.daemon.loop import FAILED_STEPS, Loop
from hactl.decide import node as decide
from hactl.decide.state import NodeState
from hactl.model import events
from hactl.model.effects import Exit, SendTxn
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


class BrokenError(Exception):
    """An exception as a fault of this program may raise it."""


def _run(main: Any) -> None:
    asyncio.run(main())


async def _until(happened: Any) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not happened():  # noqa: ASYNC110 - another's call has changed it
            await asyncio.sleep(0.005)


def test_a_step_that_fails_loses_neither_the_timer_nor_what_was_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        scene, carried = Scene(MemoryStore()), list[Any]()
        state, failing = node_state(scene.spec), [3]
        loop = Loop(state, carried.append, lambda: None)

        def breaking(*_: Any) -> None:
            if failing[0]:
                failing[0] -= 1
                raise BrokenError("here")

        monkeypatch.setattr("hactl.daemon.loop.FAILING_MS", 1e9)  # a busy machine is not under test
        monkeypatch.setattr(decide.phases, "check_identity", lambda state, out: out.note("decided_first"))
        monkeypatch.setattr(decide.phases, "list_again", breaking)
        for _ in range(3):
            loop.post(events.Tick())
        assert [effect.event for effect in carried] == ["decided_first"] * 3
        assert loop.decided == 0
        await _until(lambda: loop.decided)
        assert state.errors == 3 and "BrokenError: here" in state.last_error
        assert not any(isinstance(effect, Exit) for effect in carried)
        loop.stop()

    _run(main)


def test_a_daemon_whose_steps_go_on_failing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        state, carried = node_state(None), list[Any]()
        loop = Loop(state, carried.append, lambda: None)
        monkeypatch.setattr("hactl.daemon.loop.FAILING_MS", 1e9)
        monkeypatch.setattr(decide, "_decide", lambda *_: 1 / 0)
        loop.post(events.Tick())
        await _until(lambda: any(isinstance(effect, Exit) for effect in carried))
        assert next(effect for effect in carried if isinstance(effect, Exit)).code == 1
        assert state.errors == FAILED_STEPS
        loop.stop()

    _run(main)


def test_steps_that_decide_nothing_do_not_hide_that_all_that_do_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renewals of others come all the time, and are no decision."""

    async def main() -> None:
        scene, carried = Scene(MemoryStore()), list[Any]()
        state = node_state(scene.spec)
        loop = Loop(state, carried.append, lambda: None)
        state.view.load(scene.store.snapshot(KEYS.prefix, timeout_s=1))
        monkeypatch.setattr("hactl.daemon.loop.FAILING_MS", 0.0)
        monkeypatch.setattr("hactl.daemon.loop.FAILING_HEARTBEATS", 0.1)
        monkeypatch.setattr(decide, "_decide", lambda *_: 1 / 0)
        loop.post(events.Tick())

        def ended() -> bool:
            loop.post(events.Watched(WatchBatch(state.view.revision, ())))
            return any(isinstance(effect, Exit) for effect in carried)

        await _until(ended)
        loop.stop()

    _run(main)


def test_an_effect_that_raises_loses_no_other_and_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        state, carried = node_state(None), list[Any]()
        txn = Txn((), ())

        def carry_out(effect: Any) -> None:
            if isinstance(effect, SendTxn):
                raise BrokenError("no thread")
            carried.append(effect)

        def handle(state: NodeState, event: Any, out: Any) -> None:
            if state.counter == 0:
                out.send("report", txn)
                out.note("after")

        monkeypatch.setitem(decide._HANDLERS, events.Tick, handle)
        monkeypatch.setattr(decide, "_decide", lambda *_: None)
        loop = Loop(state, carry_out, lambda: None)
        loop.post(events.Tick())
        assert [effect.event for effect in carried] == ["after"] and state.pending
        await _until(lambda: not state.pending)
        assert state.errors == 1
        loop.stop()

    _run(main)


def test_a_look_that_raises_is_counted_and_nothing_else() -> None:
    async def main() -> None:
        state = node_state(None)
        loop = Loop(state, lambda effect: None, lambda: 1 / 0)  # type: ignore[arg-type, return-value]
        loop.post(events.Tick())
        await _until(lambda: loop.decided > 3)
        assert "look: ZeroDivisionError" in state.last_error
        loop.stop()

    _run(main)
