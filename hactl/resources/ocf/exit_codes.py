"""The meaning of a resource agent's exit statuses. Pure.

Source: the OCF resource agent API 1.1, *Exit Status Codes*.
"""

from __future__ import annotations

from typing import Literal

SUCCESS = 0
INVALID_ARGUMENT = 2
UNIMPLEMENTED = 3
NOT_INSTALLED = 5
NOT_RUNNING = 7
RUNNING_PROMOTED = 8
DEGRADED = (190, 191)
# It is promoted: as it should be, failed, degraded.
PROMOTED = (8, 9, 191)

_WORDS = {
    0: "it is running",
    1: "it has failed",
    2: "a parameter is wrong on this node",
    3: "the agent does not have this action",
    4: "the agent may not do this: insufficient privileges",
    5: "what it needs is not installed on this node",
    6: "it is not configured right",
    7: "it is not running",
    8: "it is running, promoted",
    9: "it has failed, promoted",
    190: "it is running, but degraded",
    191: "it is running, promoted, but degraded",
}
_RUNNING = (0, 8, *DEGRADED)
# To start it again on this node is in vain until somebody has repaired something.
_HOPELESS = (2, 4, 5, 6)
# As a service manager's programs say that they could not be started at all.
_SHELLS = {126: "the agent cannot be executed", 127: "the agent, or a command in it, was not found"}


def words(code: int) -> str:
    """An exit status in words; of one that the API does not know, that."""
    known = _WORDS.get(code) or _SHELLS.get(code)
    return f"exit status {code}: {known}" if known else f"exit status {code}, which the OCF API does not know"


def health(code: int, *, probe: bool) -> Literal["running", "stopped", "failed"]:
    """What a `monitor` with this exit status says. `probe`: it was a first look (interval 0), where software that is
    not installed means that nothing runs."""
    if code in _RUNNING:
        return "running"
    if code == NOT_RUNNING or (probe and code == NOT_INSTALLED):
        return "stopped"
    return "failed"


def promoted_health(code: int, *, probe: bool) -> Literal["running", "stopped", "failed"]:
    """The same of the promoted role: stopped, where what runs is not promoted."""
    seen = health(code, probe=probe)
    return "stopped" if seen == "running" and code not in PROMOTED else seen


def is_stopped(stop: int | None, monitor: int | None) -> bool:
    """Whether it is stopped, by the exit statuses of `stop` and then of `monitor` (None: it did not end by itself).
    The look counts, not the word."""
    return monitor == NOT_RUNNING or (stop == SUCCESS and monitor == NOT_INSTALLED)


def is_hopeless(code: int) -> bool:
    """Whether a start that ended so would end so again."""
    return code in _HOPELESS
