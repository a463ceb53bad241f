"""The meaning of a fence agent's exit status and words. Pure.

Sources: ClusterLabs' FenceAgentAPI (*Agent Operations and Return Values*); the `EC_*` constants of `fencing.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Action = Literal["on", "off", "reboot", "status", "monitor", "list", "list-status", "metadata", "validate-all"]
Outcome = Literal["ok", "failed", "timeout"]
Power = Literal["on", "off", "unknown"]

OFF_STATUS = 2
# `EC_*` of fencing.py. Its agents end with 1 for every failure and name it in words; others use the numbers.
_MEANINGS = {
    1: "it failed",
    2: "bad arguments",
    3: "login refused",
    4: "connection lost",
    5: "the device did not answer in time",
    6: "the device did not switch on in time",
    7: "the device did not switch off in time",
    8: "no status of the plug, or no such plug",
    9: "no status of the partition, or no such partition, or another HMC version",
    10: "a password is missing",
    11: "the user may not do this",
    12: "no such virtual machine",
}
_LONGEST = 300
_SAYS = re.compile(r"\bstatus:\s*(on|off)\b", re.IGNORECASE)
_OFF = re.compile(r"\boff\b", re.IGNORECASE)
# As the library's agents begin a line: `2026-01-31 12:00:00,123 ERROR: `, or `ERROR:root:`.
_STAMP = re.compile(r"^(\d{4}-\d\d-\d\d [\d:,.]+ )?(?:[A-Z]+:(?:root:)?\s*)?")
_IDLE = ("Please use '-h' for usage", "validate-all failed")
# Actions whose output is the answer, not a remark.
_ANSWERS = ("metadata", "list", "list-status")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of an action. `power` is the device's state as seen by `status` alone: that an `off` succeeded
    is the agent's word, not a look at the device."""

    outcome: Outcome
    power: Power
    detail: str


def judge(action: Action, exit_status: int, stdout: str, stderr: str) -> Verdict:
    """The outcome of an agent that ended in time. `exit_status` is negative for a signal."""
    words = last_words(stdout, stderr)
    if action == "status":
        return _judge_status(exit_status, stdout, stderr, words)
    if exit_status == 0 or (action == "monitor" and exit_status == OFF_STATUS and _means_off(stdout, stderr)):
        return Verdict("ok", "unknown", "" if action in _ANSWERS else last_words(stdout, "") or words)
    return Verdict("failed", "unknown", _why(exit_status, words))


def _judge_status(exit_status: int, stdout: str, stderr: str, words: str) -> Verdict:
    match = _SAYS.search(stdout)
    lowered = match[1].lower() if match else ""
    if exit_status == 0 and lowered != "off":
        return Verdict("ok", "on", last_words(stdout, "") or "on")
    if exit_status == OFF_STATUS and lowered != "on" and _means_off(stdout, stderr):
        return Verdict("ok", "off", last_words(stdout, "") or "off")
    if exit_status not in (0, OFF_STATUS):
        return Verdict("failed", "unknown", _why(exit_status, words))
    meant = "on" if exit_status == 0 else "off"
    return Verdict("failed", "unknown", f"exit status {exit_status} would mean {meant}, but it says: {words}")


def _means_off(stdout: str, stderr: str) -> bool:
    """Whether an exit status of 2 is to be believed. Shells, Python, grep and others end with 2 when they cannot
    even begin, and complain: that is not a node that is off. An agent that means off says so, or says nothing."""
    return bool(_OFF.search(stdout)) or not (stdout.strip() or stderr.strip())


def _why(exit_status: int, words: str) -> str:
    if exit_status < 0:
        ending = f"killed by signal {-exit_status}"
        return f"{ending}: {words}" if words else ending
    return f"exit status {exit_status}: {words or _MEANINGS.get(exit_status, 'it does not say why')}"


def last_words(stdout: str, stderr: str) -> str:
    """The last line that tells something: of the complaints, else of the output. One line, printable, bounded."""
    for text in (stderr, stdout):
        for line in reversed(text.split("\n")):
            shown = _printable(_STAMP.sub("", line.rstrip(), count=1)).strip()
            if shown and shown not in _IDLE:
                return shown[:_LONGEST]
    return ""


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
