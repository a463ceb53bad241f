"""The next step of a fence job (docs/protocol.md, *Fencing*). Pure.

Levels are tried in order. Everything of a level is switched off, and each `off` is confirmed by `status`, whatever
`off` itself came to; once all of it is known to be off the node is. Then, for `reboot`, all of it is switched on.
A failed round is tried again without limit, with waits that grow up to a limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from election.clock import Instant, owner_elapsed
from fencing.topology import NodeFencing, PowerAction, Target

# Between two rounds through all levels, in ms: doubling from the first to the longest.
FIRST_WAIT_MS = 1_000.0
LONGEST_WAIT_MS = 30_000.0

# After so many failed rounds an executor gives the job up: another node may reach other devices.
ROUNDS_OF_AN_EXECUTOR = 2


class Switch(NamedTuple):
    """Have `target` do `action`, and give the outcome to `switched`."""

    target: Target
    action: PowerAction


class Wait(NamedTuple):
    """Nothing to do for so many ms."""

    ms: float


class Finished(NamedTuple):
    """All of a level is known to be off (or, in the second half of a reboot, on)."""


class Stuck(NamedTuple):
    """Nothing is left to try: no level has a device."""


Step = Switch | Wait | Finished | Stuck


@dataclass(slots=True)
class Job:
    """The progress of one executor with one node. `goal`: the power state to reach. `level` and `target` are places in
    `fencing`; `verifying`: `status` comes next, to show the outcome of the last action. `failures`: rounds through all
    levels that failed; `problem`: why the last action did."""

    fencing: NodeFencing
    goal: Literal["off", "on"] = "off"
    level: int = 0
    target: int = 0
    verifying: bool = False
    failures: int = 0
    problem: str = ""
    wait_from: Instant | None = None
    wait_ms: float = 0.0

    @property
    def given_up(self) -> bool:
        """Whether it is another executor's turn."""
        return self.failures >= ROUNDS_OF_AN_EXECUTOR


def begin(fencing: NodeFencing, wait_ms: float, now: Instant, level: int = 0) -> Job:
    """A job that begins `wait_ms` from now, at `level`."""
    return Job(fencing, level=level, wait_from=now, wait_ms=wait_ms)


def switch_on(fencing: NodeFencing, level: int, now: Instant) -> Job:
    """The second half of a reboot: switch on all that was switched off at `level`."""
    return Job(fencing, goal="on", level=level, wait_from=now)


def next_step(job: Job, now: Instant) -> Step:
    """The step to take now."""
    if job.wait_from is not None:
        left = job.wait_ms - owner_elapsed(job.wait_from, now)
        if left > 0:
            return Wait(left)
        job.wait_from = None
    if not job.fencing.has_device:
        return Stuck()
    while job.level < len(job.fencing.levels) and not job.fencing.levels[job.level].targets:
        job.level += 1  # a watchdog has nothing to be switched: its time runs by itself
    if job.level >= len(job.fencing.levels):
        job.level = 0
        return next_step(job, now)
    targets = job.fencing.levels[job.level].targets
    if job.target >= len(targets):
        return Finished()
    return Switch(targets[job.target], "status" if job.verifying else job.goal)


def switched(job: Job, action: PowerAction, ok: bool, power: str, detail: str, now: Instant) -> None:
    """The outcome of the `Switch` that `next_step` asked for. `power`: the node's power now, by the device."""
    if action != "status":
        # Whether it says that it failed or not: `status` tells.
        job.verifying = True
        job.problem = "" if ok else detail or f"{action} failed"
        return
    job.verifying = False
    if ok and power == job.goal:
        job.target, job.problem = job.target + 1, ""
        return
    job.problem = job.problem or detail or f"its power is {power} after '{job.goal}'"
    _next_level(job, now)


def abandoned(job: Job, reason: str, now: Instant) -> None:
    """The action that was asked for was not begun, or its outcome is unknown: it counts as failed."""
    job.verifying, job.problem = False, reason
    job.wait_from, job.wait_ms = now, 0.0


def _next_level(job: Job, now: Instant) -> None:
    job.target = 0
    if job.goal == "off":
        later = [n for n in range(job.level + 1, len(job.fencing.levels)) if job.fencing.levels[n].targets]
        if later:
            job.level = later[0]
            return
        job.level = 0
    job.failures += 1
    job.wait_from, job.wait_ms = now, min(FIRST_WAIT_MS * 2.0 ** (job.failures - 1), LONGEST_WAIT_MS)
