"""No core dump of this process: its memory holds secrets. Not by a limit, which its children would inherit."""

from __future__ import annotations

import contextlib
import ctypes

_PR_SET_DUMPABLE = 4


def forbid() -> None:
    """From now on; a child that executes another program may be dumped. Source: prctl(2)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
