"""Pure tests compute, and may use files of their own. They start no process, use no socket's address, and do not sleep.

An audit hook sees these whoever calls them, in whichever thread. A test that does one fails, even if the code under
test catches the error. Tests that need one belong in `tests/integration`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parents[1]
PURE = [TESTS / place for place in ("unit", "golden", "transcripts", "fuzz")]
FORBIDDEN = frozenset(
    {
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.posix_spawn",
        "os.system",
        "socket.bind",
        "socket.connect",
        "subprocess.Popen",
    }
)


class NotPureError(Exception):
    """A pure test did something that only an integration test may do."""


class Guard:
    """Refuses forbidden actions while a pure test runs."""

    def __init__(self) -> None:
        self._refused: list[str] = []
        self._active = self._installed = False

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Refuse inside the block; at its end fail if something was refused."""
        if not self._installed:
            sys.addaudithook(self._audit)  # cannot be removed
            self._installed = True
        self._refused = []
        self._active = True
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(time, "sleep", self._sleep)
                patch.setattr(asyncio, "sleep", self._asyncio_sleep)
                yield
        finally:
            self._active = False
        if self._refused:
            pytest.fail(f"not pure, it belongs in tests/integration: {', '.join(sorted(set(self._refused)))}")

    def _refuse(self, event: str) -> None:
        self._refused.append(event)
        raise NotPureError(event)

    def _audit(self, event: str, _args: tuple[Any, ...]) -> None:
        if self._active and event in FORBIDDEN:
            self._refuse(event)

    def _sleep(self, seconds: float) -> None:
        self._refuse(f"time.sleep({seconds})")

    async def _asyncio_sleep(self, delay: float, result: Any = None, _sleep: Any = asyncio.sleep) -> Any:
        if delay > 0:
            self._refuse(f"asyncio.sleep({delay})")
        return await _sleep(0, result)


_guard = Guard()


def guarded(test: pytest.Item) -> contextlib.AbstractContextManager[None]:
    """In this block, refuse actions that the test may not do."""
    is_pure = any(place in test.path.parents for place in PURE)
    return _guard.active() if is_pure else contextlib.nullcontext()
