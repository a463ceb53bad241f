"""Waiting for a file descriptor, as a coroutine."""

from __future__ import annotations

import asyncio


async def wait_readable(fd: int) -> None:
    """Return when `fd` can be read. Nobody else may wait for the same descriptor at the same time."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(fd, wake)
    try:
        await ready
    finally:
        loop.remove_reader(fd)
