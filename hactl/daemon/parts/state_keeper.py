"""Keeps the facts for the next daemon on disk, never on the event loop: a disk may take its time, or be full."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from hactl.daemon.parts.state_files import KnownStore, StateFiles
from hactl.daemon.registrar import Registrar
from hactl.decide.planned import left_alone
from hactl.decide.reading import ReadState
from hactl.linux.disk_thread import DiskThread
from hactl.supervise import describe

log = structlog.get_logger()

# How often the facts are written: the highest revision seen, definitions no longer needed.
PERSIST_S = 5.0
# How long the beginning of a session, and the daemon's end, wait for a disk.
WAIT_S = 2.0
# How often all is written anew though nothing has changed: a disk that is full is found before it matters.
ANEW_S = 30.0


class StateKeeper:
    """`session_id`: this node's session now. `report` gets the reason why the state cannot be kept, "" when it can."""

    def __init__(self, state_files: StateFiles, state: Callable[[], ReadState], report: Callable[[str], None]) -> None:
        self.session_id = ""
        self._state_files, self._state, self._report = state_files, state, report
        self._thread = DiskThread("state_dir", WAIT_S)
        self._problem, self._anew_at = "", 0.0

    async def run(self, registrar: Registrar) -> None:
        """Until cancelled."""
        while True:
            await self.persist_soon()
            await asyncio.sleep(PERSIST_S)
            await registrar.forget(self._kept)

    def _kept(self) -> set[str]:
        """The groups that may be here. Not those that are left alone: the next daemon, if no guard lives until then, is
        to stop none of them before it has read the store."""
        state = self._state()
        exclusive = {name for name in state.runs if not left_alone(state.view, name, state.node)}
        return exclusive | {name for name, run in state.clones.items() if not run.stopped}

    async def begin(self, session_id: str) -> None:
        """A session begins: return when it is on disk, or when that was tried for WAIT_S."""
        self.session_id = session_id
        await self.persist_soon()

    async def persist_soon(self) -> None:
        """Write now, and wait for it, but not for long."""
        problem = ""
        try:
            await self._thread.run(self._write)
        except OSError as error:
            problem = error.strerror or describe(error)
        if problem != self._problem:
            self._problem = problem
            self._report(problem)

    def _write(self) -> None:
        """On the thread, one after another: the state is looked at then, so the newest is written last."""
        state, anew = self._state(), time.monotonic() >= self._anew_at
        uuid, generation = state.identity or ("", 0)
        same = state.session.session_id == self.session_id
        session_revision = state.session.session_revision if same else state.boot.last_session_revision
        known = KnownStore(uuid, generation, state.known_revision, self.session_id, session_revision)
        self._state_files.keep_known(known, anew=anew)
        if anew:
            self._anew_at = time.monotonic() + ANEW_S
