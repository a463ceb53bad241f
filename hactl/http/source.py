"""The daemon's last publication: it is asked at most once a second, and never waited for long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from election.clock import Instant
from hactl.model.snapshot import Snapshot, decode

# An answer serves for so long, and so does having none.
KEPT_S = 1.0

# A daemon that is there answers within milliseconds; the first that asks one that is frozen waits for this long.
TIMEOUT_S = 0.5

# More than any page of metrics.
LARGEST = 8 << 20


class Answer(NamedTuple):
    """`problem`: why the daemon does not answer now, "" when it does; `last`: the last snapshot there was."""

    last: Snapshot | None
    problem: str


class DaemonSource:
    """Asks the daemon by its socket: to connect is to ask, and the stream until its end is the answer."""

    def __init__(self, path: str, clock: Callable[[], Instant]) -> None:
        self._path, self._clock = path, clock
        self._answer = Answer(None, "it was not asked yet")
        self._query: asyncio.Task[None] | None = None
        self._fresh_until = 0.0

    def now(self) -> Instant:
        """Both clocks."""
        return self._clock()

    async def answer(self) -> Answer:
        """The daemon's answer, a second old at most. All callers at one time wait for the same one."""
        if asyncio.get_running_loop().time() < self._fresh_until:
            return self._answer
        if self._query is None:
            self._query = asyncio.create_task(self._ask())
            self._query.add_done_callback(self._done)
        await asyncio.shield(self._query)
        return self._answer

    def _done(self, _task: asyncio.Task[None]) -> None:
        self._query = None
        self._fresh_until = asyncio.get_running_loop().time() + KEPT_S

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                self._answer = Answer(decode(await self._read()), "")
        except TimeoutError:
            self._fail(f"it does not answer within {TIMEOUT_S:g} s")
        except ValueError as error:
            self._fail(f"its answer is not understood: {error}")
        except OSError as error:
            self._fail(f"{self._path}: {error.strerror or error}")

    def _fail(self, problem: str) -> None:
        self._answer = Answer(self._answer.last, problem)

    async def _read(self) -> bytes:
        reader, writer = await asyncio.open_unix_connection(self._path)
        try:
            answer = bytearray()
            while chunk := await reader.read(65_536):
                answer += chunk
                if len(answer) > LARGEST:
                    raise ValueError(f"it has more than {LARGEST} bytes")
            return bytes(answer)
        finally:
            writer.transport.abort()
