"""The result of a probe, and what every kind needs to make it."""

from __future__ import annotations

import re
from typing import NamedTuple

from hactl.linux.bounded_search import found
from hactl.linux.errors import OperationError

# So much of an answer is shown.
_SHOWN = 60


class ProbeOutcome(NamedTuple):
    """How a probe ended. `words`: what was asked, and what came. `seconds`: how long that took."""

    ok: bool
    words: str
    seconds: float


class ProbeError(OperationError):
    """The answer is not as it should be, or there is none; the message says how."""


def check_found(pattern: str, text: bytes, where: str) -> None:
    """Raises ProbeError where `pattern` is not found in `text`."""
    seen = found(re.compile(pattern.encode()), text)
    if seen is None:
        raise ProbeError(f"it takes too long to look for `{pattern}` in {where}: simplify the pattern")
    if not seen:
        raise ProbeError(f"{where} is {shown(text)}, which has no `{pattern}`" if text else f"{where} is empty")


def shown(text: bytes) -> str:
    """The beginning of an answer, for a message."""
    readable = text[:_SHOWN].decode("utf-8", "replace").encode("unicode_escape").decode()
    return f'"{readable}{"…" if len(text) > _SHOWN else ""}"'
