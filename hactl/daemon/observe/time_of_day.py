"""The wall clock for the decide side, read now and then: it may be set at any time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from hactl.model.events import TimeOfDay

READ_S = 10.0


async def follow_time_of_day(post: Callable[[TimeOfDay], None]) -> None:
    """Until cancelled."""
    while True:
        post(TimeOfDay(time.time() * 1000))
        await asyncio.sleep(READ_S)
