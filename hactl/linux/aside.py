"""Calls that may never come back: what looks at a file waits without end when the server of its file system is gone.

Each has a thread of its own, which nobody waits for when the daemon ends: the event loop goes on, and so does what
needs one of the few threads that all share.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from fencing.linux.own_thread import NoThreadError, on_own_thread
from hactl.linux.errors import OperationError

# So many calls about one thing may be under way: what hangs is asked again, but not without end. More than there ever
# are when nothing hangs.
MOST = 8

T = TypeVar("T")

_under_way: Counter[str] = Counter()
_counting = threading.Lock()


async def aside(what: str, call: Callable[..., T], *args: object) -> T:
    """The result of `call`. `what`: what it is about, in the operator's words; nothing else has this name. Raises what
    `call` does, and OperationError while too many calls about the same have not returned. A cancellation leaves the
    thread to itself."""
    if _under_way[what] >= MOST:
        raise OperationError(f"{what}: its file system does not answer")
    _count(what, 1)
    try:
        return await on_own_thread(lambda: call(*args), name=f"aside {what}"[:15], ended=lambda: _count(what, -1))
    except NoThreadError:
        raise OperationError(f"{what}: no thread can be started") from None


def _count(what: str, more: int) -> None:
    with _counting:
        _under_way[what] += more
        if not _under_way[what]:
            del _under_way[what]
