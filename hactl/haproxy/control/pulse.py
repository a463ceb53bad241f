"""Whether HAProxy answers, and when one that does not is hung and not only busy.

A stopped or dead-locked process still accepts connections: the kernel does. So it is asked, on the socket of the worker
that serves; no answer for `HUNG_S` from a process that does nothing is a hang. One that computes, or waits for a
processor, has `BUSY_S`: the machine may be overloaded, and to kill it then would cost every connection.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hactl.haproxy.control.runtime import NoAnswerError, ask
from hactl.haproxy.settings import HaproxyError

ASK_EVERY_S = 1.0
TIMEOUT_S = 1.5
HUNG_S = 4.0
BUSY_S = 30.0
# This process itself did not get to run if a look took so much longer than its timeout.
_LATE_S = 1.0


class Pulse(NamedTuple):
    """One look. `began_at`: when it began, by the monotonic clock. `busy`: HAProxy computed meanwhile, or wanted to.
    `late`: nothing can be concluded, since this process did not get to run either. `problem`: "" when it answered.
    `absent`: nobody is at its socket, or that is gone: it may serve all the same."""

    began_at: float
    problem: str = ""
    busy: bool = False
    late: bool = False
    absent: bool = False


@dataclass(slots=True)
class Silence:
    """For how long HAProxy has not answered."""

    since: float | None = None
    idle_since: float | None = None
    problem: str = ""

    def see(self, pulse: Pulse) -> None:
        """Take a look into account."""
        if not pulse.problem or pulse.late or pulse.absent:
            self.since = self.idle_since = None
            self.problem = "" if pulse.late else pulse.problem
            return
        self.since = pulse.began_at if self.since is None else self.since
        if pulse.busy:
            self.idle_since = None
        elif self.idle_since is None:
            self.idle_since = pulse.began_at
        self.problem = pulse.problem

    def hung(self, now: float) -> bool:
        """Whether it must be killed."""
        idle = self.idle_since is not None and now - self.idle_since >= HUNG_S
        return idle or (self.since is not None and now - self.since >= BUSY_S)


class _Activity(NamedTuple):
    """Of a master and its workers: ticks of the processor, and whether one is running or waits for a processor."""

    ticks: int
    runnable: bool


async def look(stats_socket: str, master: int | None) -> Pulse:
    """Ask the worker that serves. Raises nothing."""
    began, before = time.monotonic(), _activity(master)
    try:
        await ask(stats_socket, "show info", TIMEOUT_S)
    except NoAnswerError as error:
        after = _activity(master)
        late = time.monotonic() - began > TIMEOUT_S + _LATE_S
        return Pulse(began, str(error), after.ticks > before.ticks or after.runnable, late)
    except HaproxyError as error:
        return Pulse(began, str(error), absent=True)
    return Pulse(began)


def _activity(master: int | None) -> _Activity:
    pids = [] if master is None else [master, *_children(master)]
    ticks, runnable = 0, False
    for pid in pids:
        with contextlib.suppress(OSError, ValueError, IndexError):
            # proc(5): the fields after the command's name, which may hold anything; state, then utime and stime.
            words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(words[11]) + int(words[12])
            runnable = runnable or words[0] == "R"
    return _Activity(ticks, runnable)


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (OSError, ValueError):
        return []
