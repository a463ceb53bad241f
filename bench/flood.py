"""Asks more than anybody may: `python -m bench.flood idle|requests|connects ADDRESS:PORT|/SOCKET ...`. A process of its
own, in the client's network namespace. Prints the outcome, as JSON."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import time
from collections import Counter

REQUESTS = {"/": b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "unix": b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n"}


class Flood:
    """From some addresses in turn, until a moment."""

    def __init__(self, targets: list[str], sources: list[str], seconds: float) -> None:
        self._targets, self._sources = targets, sources
        self._end = time.monotonic() + seconds
        self._turn = 0
        self.seen: Counter[str] = Counter()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self._turn += 1
        target = self._targets[self._turn % len(self._targets)]
        if target.startswith("/"):
            return await asyncio.open_unix_connection(target)
        host, _, port = target.rpartition(":")
        local = (self._sources[(self._turn // len(self._targets)) % len(self._sources)], 0) if self._sources else None
        return await asyncio.open_connection(host, int(port), local_addr=local)

    async def idle(self, count: int) -> None:
        """Keep `count` connections open that ask nothing: one that is closed is opened anew."""
        await asyncio.gather(*(self._idle(number / count) for number in range(count)))

    async def _idle(self, wait_s: float) -> None:
        await asyncio.sleep(5 * wait_s)
        while time.monotonic() < self._end:
            try:
                reader, writer = await asyncio.wait_for(self._open(), 5)
                self.seen["opened"] += 1
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(1), max(0.1, self._end - time.monotonic()))
                self.seen["closed by it"] += 1
                writer.transport.abort()
            except (OSError, TimeoutError) as error:
                self.seen[type(error).__name__] += 1
            await asyncio.sleep(5)

    async def requests(self, per_second: float) -> None:
        """Ask so often, each time on a connection of its own."""
        asking: set[asyncio.Task[None]] = set()
        began, sent = time.monotonic(), 0
        while (now := time.monotonic()) < self._end:
            while sent < (now - began) * per_second and len(asking) < 1000:
                task = asyncio.create_task(self._request())
                asking.add(task)
                task.add_done_callback(asking.discard)
                sent += 1
            await asyncio.sleep(0.005)
        self.seen["sent"] = sent
        await asyncio.gather(*asking)

    async def _request(self) -> None:
        try:
            async with asyncio.timeout(5):
                reader, writer = await self._open()
                unix = self._targets[0].startswith("/")
                writer.write(REQUESTS["unix" if unix else "/"])
                self.seen[(await reader.read(16))[9:12].decode() or "closed"] += 1
                writer.transport.abort()
        except (OSError, TimeoutError) as error:
            self.seen[type(error).__name__] += 1


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m bench.flood")
    parser.add_argument("kind", choices=["idle", "requests"])
    parser.add_argument("number", type=int)
    parser.add_argument("targets", nargs="+")
    parser.add_argument("--source", action="append", default=[])
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(20_000, hard), hard))
    os.nice(5)
    flood = Flood(given.targets, given.source, given.seconds)
    asyncio.run(getattr(flood, given.kind)(given.number))
    print(json.dumps(flood.seen), flush=True)


if __name__ == "__main__":
    main()
