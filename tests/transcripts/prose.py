"""What happened, in lines that read like prose: no ids, no revisions, epochs counted from 1, renewals left out."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from msgspec import json

from election.keys import Keys
from election.records import FenceRecord, Flapping, Ownership, Report, Session
from election.store import Delete, KeyValue, Put, Txn, TxnResult
from hactl.model.effects import Note
from tests.support.malformed import readable

# Keys, and purposes of transactions, that are of no interest here.
HIDDEN = ("members", "member", "devices")

# Notes that repeat what the lines before them say.
TOLD_ALREADY = frozenset(
    {
        "session_opened", "session_closed", "peer_deposed", "group_acquire",
        "group_accept", "group_reclaim", "group_running", "resource_started", "resource_stopped", "fence_action",
        "fence_acted", "store_reachable", "watchdog_armed",
    }
)  # fmt: skip

# What a note says that is of no interest to a reader, or is another one each time.
LEFT_OUT = frozenset(
    {
        "sid",
        "srev",
        "epoch",
        "uuid",
        "revision",
        "group",
        "stop_budget_ms",
        "required",
        "machine_id",
        "id",
        "changes",
        "executor",
    }
)

# What is told once for each command, however often it is repeated.
ONCE = ("asks the guard of", "the guard of", "lists etcd", "its renewal fails", "logs config_in_use")
WIDTH = 116
NO_NEWS = ("has a live session", "comes first")

CALLED = {
    "renew": "renewal", "open": "opening of a session", "close": "end of its session", "depose": "deposition",
    "lost": "fence record", "acquire": "acquisition", "accept": "acceptance", "reclaim": "acquisition",
    "fence-attempt": "fence record", "fence-safe": "fence record", "fence-failed": "fence record",
    "fence-on": "fence record",
}  # fmt: skip
DEED = {"open": "opens a session: ", "depose": "deposes {}: ", "close": "closes its last session: "}


class Prose:
    """Collects the lines. `origin`: the instant that is shown as 0; None: nothing is shown yet."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.lines: list[str] = []
        self.told: set[tuple[str, str]] = set()
        self.origin: float | None = None
        self.purposes: list[tuple[Txn, str]] = []
        self.epochs: dict[str, list[int]] = {}
        self.unanswered: set[tuple[str, str]] = set()

    def line(self, now: float, speaker: str, text: str) -> None:
        if text.startswith(ONCE):
            if (speaker, text) in self.told:
                return
            self.told.add((speaker, text))
        if self.origin is not None:
            self.lines += wrapped(f"{(now - self.origin) / 1000:8.2f} s  {speaker:<5}  ", text)

    def take(self) -> list[str]:
        """The lines since the last time."""
        lines, self.lines = self.lines, []
        self.told.clear()
        return lines

    # --- transactions -------------------------------------------------------------------------------------

    def sent(self, txn: Txn, purpose: str) -> None:
        self.purposes.append((txn, purpose))

    def answered(self, now: float, speaker: str, purpose: str, result: TxnResult | None, refused: bool) -> None:
        """An answer came, or its time is over. Of answers that are missing in a row one is told, and the end."""
        key = (speaker, purpose)
        if result is not None:
            if key in self.unanswered and purpose == "renew":
                self.line(now, speaker, "its renewals are answered again")
            self.unanswered.discard(key)
        elif key not in self.unanswered:
            self.unanswered.add(key)
            self.line(now, speaker, f"{'etcd refuses' if refused else 'no answer to'} its {_called(purpose)}")

    def committed(
        self, now: float, speaker: str, txn: Txn, before: dict[str, KeyValue | None], succeeded: bool
    ) -> None:
        """etcd has carried out a transaction, or found that something is not as it was."""
        purpose = next((purpose for known, purpose in self.purposes if known is txn), "")
        self.purposes = [pair for pair in self.purposes if pair[0] is not txn]
        if not succeeded and purpose not in HIDDEN:
            self.line(now, speaker, f"its {_called(purpose)} fails: etcd has changed since it looked")
        if not succeeded:
            return
        parts = [part for operation in txn.success if (part := self._written(operation, before[operation.key]))]
        if parts:
            node = self.keys.split(txn.success[0].key)[-1]
            self.line(now, speaker, DEED.get(purpose, "").format(node) + ", ".join(parts))

    def _written(self, operation: object, old: KeyValue | None) -> str:
        if not isinstance(operation, Put | Delete):
            return ""
        kind, *names = self.keys.split(operation.key)
        name = "/".join((kind, *names))
        if kind in HIDDEN:
            return ""
        if isinstance(operation, Delete):
            return f"deletes {name}" if old is not None else ""
        new = KeyValue(operation.key, operation.value, 0, 0)
        match kind:
            case "nodes":
                return "" if _same_session(old, new) else f"writes {name}"
            case "reports":
                return self._reported(readable(Report, old), readable(Report, new))
            case "groups":
                return f"writes {name}: {self._ownership(names[0], new)}"
            case "fence":
                return f"writes {name}: {_fence(new)}"
            case "failures" | "blocked":
                return f"writes {name}: {_field(new, 'reason')}"
            case "flapping":
                record = Flapping.from_json(new.value)
                moves = f"{len(record.moves)} move{'s' * (len(record.moves) != 1)} by failures"
                return f"writes {name}: {moves}" + (f", held on {record.held}" if record.held else "")
            case "probes":
                return f"asks all nodes whether {names[0]} runs there ({name})"
        return f"writes {name}"

    def _ownership(self, group: str, stored: KeyValue) -> str:
        own = readable(Ownership, stored)
        if own is None:
            return stored.value
        epochs = self.epochs.setdefault(group, [])
        if own.epoch not in epochs:
            epochs.append(own.epoch)
        number = epochs.index(own.epoch) + 1
        text = {
            "owned": f"owned by {own.node}, epoch {number}",
            "handoff": f"handed to {own.node}, epoch {number}",
        }.get(own.state, own.state)
        if own.holders:
            text += f"; {' and '.join(holder.node for holder in own.holders)} may still run it"
        return text + (f" ({own.reason})" if own.reason else "")

    def _reported(self, old: Report | None, new: Report | None) -> str:
        if new is None:
            return ""
        parts, same = [], old is not None and old.session_id == new.session_id
        known = old.groups if old is not None and same else {}
        for group, entry in new.groups.items():
            before = known.get(group, {})
            shown = _shown(entry)
            if shown != _shown(before) and entry["phase"] != "unknown" and shown != before.get("phase"):
                parts.append(f"reports {group}: {shown}")
        if old is None or old.readiness != new.readiness:
            for group, standing in new.readiness.items():
                parts.append(f"reports that it is {standing.get('level')} for {group} ({standing.get('why')})")
            for group in (old.readiness if old else {}).keys() - new.readiness.keys():
                parts.append(f"reports that it is ready for {group}")
        failing = {name for name, check in new.checks.items() if not check["ok"]}
        failed = {name for name, check in old.checks.items() if not check["ok"]} if old else set()
        parts += [f"reports that it fails {name}" for name in sorted(failing - failed)]
        parts += [f"reports that it passes {name}" for name in sorted(failed - failing)]
        for group, view in new.client_views.items():
            if old is None or old.client_views.get(group) != view:
                parts.append(f"reports that it sees {group} as a client: {view.get('level')}")
        return ", ".join(parts)


def _shown(entry: Mapping[str, Any]) -> str:
    """Phase and reason; that a group runs elsewhere, or another node comes first, is no news."""
    phase, reason = entry.get("phase", ""), entry.get("reason", "")
    return f"{phase} ({reason})" if reason and not reason.endswith(NO_NEWS) else str(phase)


def wrapped(head: str, text: str) -> list[str]:
    """As many lines as it takes."""
    return textwrap.wrap(text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head), break_long_words=False)


def said(note: Note) -> str:
    """A note as a line of the log; empty: other lines say it."""
    if note.event in TOLD_ALREADY:
        return ""
    data = {name: value for name, value in note.data.items() if name not in LEFT_OUT and value not in ("", None, False)}
    shown = ", ".join(f"{name} {value}" for name, value in data.items())
    return f"logs {note.event}" + (f": {shown}" if shown else "")


def _called(purpose: str) -> str:
    return CALLED.get(purpose, purpose)


def _same_session(old: KeyValue | None, new: KeyValue) -> bool:
    before, after = readable(Session, old), readable(Session, new)
    return before is not None and after is not None and before.session_id == after.session_id


def _fence(stored: KeyValue) -> str:
    record = readable(FenceRecord, stored)
    if record is None:
        return stored.value
    text: str = record.state
    if record.state == "safe":
        text += f", {record.evidence}"
    if record.state == "acting":
        text += f", attempt {record.attempts}"
    if record.generation and record.state == "pending":
        text += ", its whole past is unknown"
    if record.wanted and record.state == "pending":
        text += f", wanted: {record.wanted}"
    if record.power:
        text += ", yet to be switched on"
    return text


def _field(stored: KeyValue, name: str) -> str:
    return str(json.decode(stored.value)[name])
