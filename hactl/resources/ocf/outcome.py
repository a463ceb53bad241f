"""How an action of an agent ended, in words. Pure but for its argument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hactl.linux.run import Completed
from hactl.resources.ocf import exit_codes
from hactl.resources.ocf.environment import EXIT_REASON

_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Outcome:
    """`code`: the exit status; None: it did not end by itself. `health`: what it says, of a `monitor`. `text`: for
    people."""

    code: int | None
    health: Literal["running", "stopped", "failed"]
    text: str

    def __str__(self) -> str:
        return self.text

    @classmethod
    def of(cls, action: str, done: Completed, *, probe: bool) -> Outcome:
        """Of an action that has ended, or was killed at its deadline."""
        if done.timed_out or done.returncode < 0:
            return cls(None, "failed", f"{action} {done.describe()}")
        code = done.returncode
        words = _meaning(action, code)
        reason = exit_reason(done.stderr) if code != exit_codes.SUCCESS else ""
        text = f"{action}: {words}" + (f": {reason}" if reason else "")
        return cls(code, exit_codes.health(code, probe=probe), text)


def exit_reason(stderr: str) -> str:
    """What the agent gives as its reason, else the last line that it wrote."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    reasons = [line.removeprefix(EXIT_REASON) for line in lines if line.startswith(EXIT_REASON)]
    last = (reasons or lines or [""])[-1].strip()
    return "".join(character if character.isprintable() else " " for character in last)[:_LONGEST]


def _meaning(action: str, code: int) -> str:
    if code == exit_codes.SUCCESS and action != "monitor":
        return "exit status 0"
    return exit_codes.words(code)
