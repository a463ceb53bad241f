"""Finding a regular expression within bounded time.

Python's engine backtracks: of some patterns and texts it would not come to an end for years, and meanwhile nothing else
of the process would run. It looks for signals now and then, so a timer of processor time ends it. In other threads than
the main one no signal arrives; there it is not bounded.
"""

from __future__ import annotations

import re
import signal
import threading
from types import FrameType

# So much processor time a search may take: far more than a sound pattern needs for a text of 16 KiB.
LIMIT_S = 0.02


class _TooLongError(Exception):
    """The time is over."""


def found(pattern: re.Pattern[bytes], text: bytes) -> bool | None:
    """Whether `pattern` is found in `text`; None: that takes too long to tell."""
    if threading.current_thread() is not threading.main_thread():
        return pattern.search(text) is not None
    before = signal.signal(signal.SIGVTALRM, _stop)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_S)
        try:
            return pattern.search(text) is not None
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    except _TooLongError:
        return None
    finally:
        signal.signal(signal.SIGVTALRM, before)


def _stop(number: int, frame: FrameType | None) -> None:
    raise _TooLongError
