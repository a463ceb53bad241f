"""Which process is meant: pid, start time and boot, so that a pid used again is not taken for it.

A record is one line: the boot's id, then the process's /proc/PID/stat as it was. The process itself writes it
before it becomes the command (process.py), so there is none without its record. Source: proc_pid_stat(5).
"""

from __future__ import annotations

import os
import select
from pathlib import Path
from typing import NamedTuple

from hactl.linux.atomic_write import write_atomically


class Identity(NamedTuple):
    """One process, unmistakably. `start_time`: clock ticks since boot, field 22 of its stat."""

    pid: int
    start_time: int
    boot_id: str


class Stat(NamedTuple):
    """The fields of /proc/PID/stat that are needed."""

    state: str
    group: int
    start_time: int

    @property
    def dead(self) -> bool:
        """It has ended, though nobody may have waited for it yet."""
        return self.state in "ZXx"


def boot_id() -> str:
    """This boot's id."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def read_stat(pid: int) -> Stat | None:
    """The entry of `pid` in /proc; None when there is no such process."""
    try:
        return _parse_stat(Path(f"/proc/{pid}/stat").read_text())
    except (OSError, ValueError, IndexError):
        return None


def read_record(path: str) -> Identity | None:
    """The process of a record; None when there is none, or it is of another boot, or cannot be read."""
    try:
        boot, stat = Path(path).read_text().split(" ", 1)
        identity = Identity(int(stat.split(" ", 1)[0]), _parse_stat(stat).start_time, boot)
    except (OSError, ValueError, IndexError):
        return None
    return identity if identity.boot_id == boot_id() else None


def write_record(path: str, identity: Identity) -> None:
    """The record of a process that lives, for one that is gone; whole or not at all. Raises OSError."""
    stat = Path(f"/proc/{identity.pid}/stat").read_text()
    if _parse_stat(stat).start_time != identity.start_time:
        raise ProcessLookupError(f"process {identity.pid} is another one")
    write_atomically(Path(path), f"{identity.boot_id} {stat}", durable=False)


def open_process(identity: Identity) -> int | None:
    """A pidfd of the process; None when it has ended. The caller closes it."""
    try:
        pidfd = os.pidfd_open(identity.pid)
    except OSError:
        return None
    # Looked at after it was opened: if it is the right one now, the pidfd is of the right one.
    stat = read_stat(identity.pid)
    if stat is None or stat.start_time != identity.start_time or ended(pidfd):
        os.close(pidfd)
        return None
    return pidfd


def ended(pidfd: int) -> bool:
    """Whether the process of `pidfd` has ended, waited for or not."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def group_members(identity: Identity) -> list[int]:
    """The living processes of the group that the process leads or led. A pid is not used again while a group
    has its number: if another process has the pid now, the group is gone."""
    leader = read_stat(identity.pid)
    if leader is not None and leader.start_time != identity.start_time:
        return []
    stats = ((int(entry.name), read_stat(int(entry.name))) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid, stat in stats if stat and not stat.dead and stat.group == identity.pid]


def _parse_stat(text: str) -> Stat:
    # The name is in parentheses and may contain anything.
    fields = text[text.rindex(")") + 2 :].split()
    return Stat(fields[0], int(fields[2]), int(fields[19]))
