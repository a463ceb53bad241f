"""How good the kernel takes its clock to be, by adjtimex(2): the program that synchronises it says so."""

from __future__ import annotations

import ctypes
import os
from typing import NamedTuple

_STA_UNSYNC = 0x40
_WORDS = 26  # of 64 bits each, which is more than the structure has


class ClockState(NamedTuple):
    """`synchronised`: a program does that; `max_error_ms`: how wrong it is at most."""

    synchronised: bool
    max_error_ms: float


def clock_state() -> ClockState:
    """Of this machine, now. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    # struct timex on 64 bits: modes (int, padded), offset, freq, maxerror, esterror (long), status (int, padded).
    words = (ctypes.c_longlong * _WORDS)()
    if libc.adjtimex(ctypes.byref(words)) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return ClockState(not words[5] & _STA_UNSYNC, words[3] / 1000)
