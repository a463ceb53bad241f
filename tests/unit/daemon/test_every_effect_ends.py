"""Every effect ends in its event, whatever is raised on the way: the decide side waits for it without end."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from election.keys import Keys
from election.memory_store import MemoryStore
from election.store import Txn
from hactl.daemon.actions import Actions
from hactl.daemon.store_link import StoreLink
from hactl.model import events
from hactl.model.effects import Act, Relist, SendTxn
from hactl.model.purposes import Purpose
from hactl.resources.base import NodeContext, Observation
from hactl.supervise import Tasks
from tests.support.specs import resource_spec

DEADLINE_S = 10.0

SPEC = resource_spec("thing", "exec", {"command": ["sleep", "600"]}, monitor_interval_ms=1)

RAISED = [
    OSError(errno.EMFILE, "Too many open files"),
    OSError(errno.ENOSPC, "No space left on device"),
    MemoryError(),
    RuntimeError("can't start new thread"),
    TypeError("a mistake of our own"),
]

NAMES = [str(error) or type(error).__name__ for error in RAISED]


class Failing:
    """A resource of which all raises."""

    spec = SPEC

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def start(self, env: Any) -> None:
        raise self.error

    async def stop(self) -> None:
        raise self.error

    async def kill(self) -> None:
        raise self.error

    async def probe(self) -> Observation:
        raise self.error

    async def monitor(self) -> Observation:
        raise self.error

    async def watch(self, report: Any) -> None:
        raise self.error


async def heard(posted: asyncio.Queue[events.Event]) -> events.Event:
    async with asyncio.timeout(DEADLINE_S):
        return await posted.get()


def actions(tmp_path: Path, make: Callable[..., Any], tasks: Tasks, posted: asyncio.Queue[events.Event]) -> Actions:
    settled = asyncio.Event()
    settled.set()
    made = Actions(NodeContext("n1", str(tmp_path), None, None, tasks), "demo", posted.put_nowait, settled, make)
    made.resource = make  # type: ignore[method-assign]
    return made


@pytest.mark.parametrize("error", RAISED, ids=NAMES)
@pytest.mark.parametrize("action", ["start", "stop", "kill", "probe"])
@pytest.mark.parametrize("where", ["making it", "acting"])
def test_an_action_ends_in_acted(tmp_path: Path, error: Exception, action: Any, where: str) -> None:
    def make(*_: Any) -> Any:
        if where == "acting":
            return Failing(error)
        raise error

    async def main() -> None:
        posted: asyncio.Queue[events.Event] = asyncio.Queue()
        acting = actions(tmp_path, make, Tasks(), posted)
        acting.act(Act(7, "db", SPEC, action, 1, 5000.0))
        ended = await heard(posted)
        assert isinstance(ended, events.Acted) and (ended.id, ended.ok, ended.health) == (7, False, "failed")
        assert ended.detail
        await acting.close()

    asyncio.run(main())


class Broken(MemoryStore):
    """A store whose client raises what no client should."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def txn(self, *_: Any, **__: Any) -> Any:
        raise self.error

    def snapshot(self, *_: Any, **__: Any) -> Any:
        raise self.error


@pytest.mark.parametrize("error", RAISED, ids=NAMES)
@pytest.mark.parametrize("effect", ["renew", "report", "list"])
def test_a_request_to_the_store_has_an_answer(error: Exception, effect: str) -> None:
    async def main() -> None:
        posted: asyncio.Queue[events.Event] = asyncio.Queue()
        link = StoreLink(Broken(error), Keys.of("demo"), posted.put_nowait, lambda *_: None)
        if effect == "list":
            link.relist(Relist(3, 1000.0))
            ended = await heard(posted)
            assert isinstance(ended, events.ListFailed) and ended.id == 3 and ended.problem
        else:
            link.send(SendTxn(3, effect, Txn((), ()), 1000.0))
            ended = await heard(posted)
            assert isinstance(ended, events.TxnDone) and (ended.id, ended.result, ended.refused) == (3, None, False)
            assert ended.problem
        link.close()

    asyncio.run(main())


def test_a_store_that_gets_no_thread_has_an_answer() -> None:
    async def main() -> None:
        posted: asyncio.Queue[events.Event] = asyncio.Queue()
        link = StoreLink(MemoryStore(), Keys.of("demo"), posted.put_nowait, lambda *_: None)
        link.close()
        link.send(SendTxn(3, "renew", Txn((), ()), 1000.0))
        assert posted.empty()  # not from within the step that asked
        ended = await heard(posted)
        assert isinstance(ended, events.TxnDone) and (ended.id, ended.result, ended.refused) == (3, None, True)

    asyncio.run(main())


def test_a_decision_waits_for_no_reader() -> None:
    """However many ask by the API, and however slow etcd is with that."""

    async def main() -> None:
        posted: asyncio.Queue[events.Event] = asyncio.Queue()
        link, done = StoreLink(MemoryStore(), Keys.of("demo"), posted.put_nowait, lambda *_: None), threading.Event()
        asking = [asyncio.ensure_future(call(done.wait, DEADLINE_S)) for call in (link.query, link.blocking) * 64]
        await asyncio.sleep(0)
        try:
            for purpose in (Purpose.ACQUIRE, Purpose.RENEW):
                link.send(SendTxn(3, purpose, Txn((), ()), 1000.0))
                ended = await heard(posted)
                assert isinstance(ended, events.TxnDone) and ended.result is not None
            link.relist(Relist(4, 1000.0))
            assert isinstance(await heard(posted), events.Listed)
        finally:
            done.set()
            await asyncio.gather(*asking)
            link.close()

    asyncio.run(main())
