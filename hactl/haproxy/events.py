"""The reports on HAProxy on this node: its events, and its state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

EventKind = Literal[
    "started", "adopted", "died", "hung", "kept", "old_workers_ended", "resolved", "start_failed", "changed",
    "change_failed", "mended", "certificate", "certificate_refused", "reloaded", "reload_failed", "invalid", "stopped",
]  # fmt: skip
GOOD_NEWS: tuple[EventKind, ...] = (
    *("started", "adopted", "changed", "certificate", "reloaded", "stopped", "kept", "resolved"),
)


@dataclass(frozen=True, slots=True)
class HaproxyEvent:
    """Something that happened to HAProxy. `pid`: of its master. `detail`: why or how, for the operator.

    `changed`: servers, by commands, without a reload; `change_failed`: HAProxy refused one, and a reload follows.
    `hung`: it did not answer, and is killed. `kept`: it was started with the configuration kept on the disk, since the
    one that is wanted is not known, or refused.
    `resolved`: the name of a server resolves by now, so HAProxy reads its file again.
    `mended`: servers that somebody had changed by hand were set back. `certificate`: a renewed one is in use;
    `certificate_refused`: it is not, and the old one stays."""

    kind: EventKind
    pid: int | None = None
    detail: str = ""
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class HaproxyStatus:
    """How it stands, since the daemon's start. `restarts`: after an end that nobody wanted. `reloads`: by outcome:
    `ok`, `failed`, or `invalid` (refused before HAProxy was asked). `changes`: by commands, without a reload.
    `error`: why it is not as wanted, else "". `file`: the fingerprint of the configuration that it runs with.
    `old_workers`: that live on with their connections after a reload."""

    running: bool
    pid: int | None
    restarts: int
    reloads: Mapping[str, int]
    error: str
    changes: int = 0
    file: str = ""
    old_workers: int = 0
