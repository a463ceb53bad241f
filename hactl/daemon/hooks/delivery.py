"""One delivery: the event as a receiver gets it, and the process that delivers it (child.py)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from election.text import printable
from fencing.agents.process import StartError, run_bounded
from hactl.admin.event_log import Entry
from hactl.model.hooks import HookSpec, Webhook
from hactl.model.notes import kind_of

VERSION = 1
_CHILD = str(Path(__file__).with_name("child.py"))
# Beyond the hook's own time: for a Python to begin on a busy machine. Then its whole control group is killed.
BEGIN_S = 5.0
_MAX_ANSWER = 4096
_LONGEST_TEXT = 400


class Delivered(NamedTuple):
    """How it went. `again`: another try may succeed; `detail`: the receiver's words, or why it failed."""

    ok: bool
    again: bool = True
    detail: str = ""


class Request(msgspec.Struct):
    """To child.py. `environment`: of a command."""

    user: str
    timeout_s: float
    event: str
    command: tuple[str, ...]
    environment: dict[str, str]
    webhook: dict[str, Any] | None


class Answer(msgspec.Struct):
    """From child.py."""

    ok: bool
    again: bool
    detail: str


def event_document(cluster: str, entry: Entry, dropped: int = 0) -> dict[str, Any]:
    """The event as receivers get it. `dropped`: so many went before it that this receiver did not get."""
    kind = kind_of(entry.event)
    group = entry.data.get("group")
    return {
        "version": VERSION,
        "id": entry.stamp,
        "at": entry.at,
        "cluster": cluster,
        "node": entry.node,
        "event": entry.event,
        "severity": kind.severity_of(entry.data),
        "group": group if isinstance(group, str) else "",
        "text": text_of(cluster, entry),
        "meaning": kind.meaning,
        "dropped": dropped,
        "data": entry.data,
    }


def text_of(cluster: str, entry: Entry) -> str:
    """The event in one line."""
    severity = kind_of(entry.event).severity_of(entry.data)
    fields = " ".join(f"{name}={_shown(value)}" for name, value in entry.data.items())
    return printable(f"{cluster}: {severity.upper()}: {entry.event} on {entry.node}: {fields}", _LONGEST_TEXT)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def environment_of(hook: str, document: Mapping[str, Any]) -> dict[str, str]:
    """The variables that a command gets. They hold nothing that a command could not be given as a text."""
    names = ("event", "severity", "group", "node", "cluster", "at", "id", "text")
    variables = {f"HACTL_{name.upper()}": str(document[name]) for name in names}
    return {**variables, "HACTL_HOOK": hook}


async def deliver(hook: HookSpec, document: Mapping[str, Any], cgroup: str | None) -> Delivered:
    """One try. `cgroup`: below which its processes get a control group of their own; None: they have none."""
    timeout_s = hook.timeout_ms / 1000
    whole = msgspec.json.encode(document).decode()
    text_only = hook.webhook is not None and hook.webhook.body == "text"
    event = msgspec.json.encode({"text": document["text"]}).decode() if text_only else whole
    request = Request(
        hook.user, timeout_s, event, hook.command, environment_of(hook.name, document), _webhook(hook.webhook)
    )
    try:
        ended = await run_bounded(
            [sys.executable, "-I", "-S", _CHILD], stdin=msgspec.json.encode(request), timeout_s=timeout_s + BEGIN_S,
            max_output=_MAX_ANSWER, cgroup=cgroup, label="hook",
        )  # fmt: skip
    except StartError as error:
        return Delivered(False, True, str(error))
    if ended.timed_out:
        return Delivered(False, True, f"did not end within {timeout_s:g} s and was killed")
    try:
        answer = msgspec.json.decode(ended.stdout, type=Answer)
    except ValueError:
        problem = ended.stderr.strip().rpartition("\n")[2] or f"exit status {ended.returncode}"
        return Delivered(False, True, printable(f"its process failed: {problem}"))
    return Delivered(answer.ok, answer.again, printable(answer.detail))


def _webhook(webhook: Webhook | None) -> dict[str, Any] | None:
    return None if webhook is None else {name: getattr(webhook, name) for name in webhook.__struct_fields__}
