"""The known content of the store: every document below the prefix, as of the newest revision known for each key.

Knowledge comes from lists, from the watch, and from what transactions answer; it never goes back: a change
older than what is known of its key is dropped.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from election.keys import Keys
from election.records import (
    NAME,
    Ban,
    Block,
    Cleanup,
    Confirm,
    DeviceReport,
    Drain,
    Failure,
    FenceRecord,
    FenceTest,
    Flapping,
    Identity,
    Maintenance,
    Member,
    Move,
    Ownership,
    Record,
    RecordError,
    Refusal,
    Report,
    Restart,
    Scheduled,
    Session,
    Stop,
)
from election.store import Compare, Condition, KeyValue, SameValue, Snapshot, WatchBatch
from election.text import printable

R = TypeVar("R")


class Unreadable(NamedTuple):
    """A document that is no document of its kind, with the revisions that created and last changed its key."""

    problem: str
    create_revision: int
    mod_revision: int


class Versioned(NamedTuple, Generic[R]):
    """A document with the revisions that created and last changed its key."""

    record: R
    create_revision: int
    mod_revision: int


@dataclass(slots=True)
class View:
    """The documents by kind.

    `revision`: everything up to it is known, by list or by watch. `listed`: that of the last list. `newest`:
    for each key the revision at which it last changed, as far as known. `identity_text`: the identity as the store
    holds it. `drains`: by `service/node`, `bans`: by `group/node`, `maintenance`: by group, or `*`,
    `node_maintenance`: by node. `unreadable`: by key, what does not fit its kind. It is none of the documents; what
    depends on it waits (docs/protocol.md, *Unreadable documents*).
    """

    keys: Keys
    revision: int = 0
    listed: int = 0
    newest: dict[str, int] = field(default_factory=dict)
    identity: Versioned[Identity] | None = None
    identity_text: str = ""
    config: Versioned[str] | None = None
    sessions: dict[str, Versioned[Session]] = field(default_factory=dict)
    fences: dict[str, Versioned[FenceRecord]] = field(default_factory=dict)
    groups: dict[str, Versioned[Ownership]] = field(default_factory=dict)
    members: dict[str, Versioned[Member]] = field(default_factory=dict)
    reports: dict[str, Versioned[Report]] = field(default_factory=dict)
    devices: dict[str, Versioned[DeviceReport]] = field(default_factory=dict)
    fence_test: Versioned[FenceTest] | None = None
    failures: dict[str, Versioned[Failure]] = field(default_factory=dict)
    blocks: dict[str, Versioned[Block]] = field(default_factory=dict)
    flapping: dict[str, Versioned[Flapping]] = field(default_factory=dict)
    moves: dict[str, Versioned[Move]] = field(default_factory=dict)
    cleanups: dict[str, Versioned[Cleanup]] = field(default_factory=dict)
    confirms: dict[str, Versioned[Confirm]] = field(default_factory=dict)
    refusals: dict[str, Versioned[Refusal]] = field(default_factory=dict)
    probes: dict[str, Versioned[str]] = field(default_factory=dict)
    standby: dict[str, Versioned[str]] = field(default_factory=dict)
    drains: dict[str, Versioned[Drain]] = field(default_factory=dict)
    maintenance: dict[str, Versioned[Maintenance]] = field(default_factory=dict)
    node_maintenance: dict[str, Versioned[Maintenance]] = field(default_factory=dict)
    stopped: dict[str, Versioned[Stop]] = field(default_factory=dict)
    restarts: dict[str, Versioned[Restart]] = field(default_factory=dict)
    scheduled: dict[str, Versioned[Scheduled]] = field(default_factory=dict)
    bans: dict[str, Versioned[Ban]] = field(default_factory=dict)
    unreadable: dict[str, Unreadable] = field(default_factory=dict)
    _unread: dict[str, dict[str, None]] = field(default_factory=dict)  # names by kind: there may be very many
    _changes: int = 0
    _marked: tuple[int, str] = (-1, "")

    def load(self, snapshot: Snapshot) -> list[str]:
        """Take a complete list; keys that are not in it are gone. Returns the keys that changed."""
        present = {kv.key for kv in snapshot.items}
        at = snapshot.revision
        changed = [kv.key for kv in snapshot.items if self.learn(kv.key, kv, kv.mod_revision, listed_at=at)]
        for key in [key for key in self.newest if key not in present and self.newest[key] <= snapshot.revision]:
            self.learn(key, None, snapshot.revision + 1)
            del self.newest[key]  # what comes later of it is compared with `listed`
            changed.append(key)
        self.revision = max(self.revision, snapshot.revision)
        self.listed = max(self.listed, snapshot.revision)
        return changed

    @property
    def same_history(self) -> Condition:
        """That the store's history is the one that is known here. By what the identity says: two stores that were
        wiped, and begun anew, count their revisions alike."""
        if self.identity is not None:
            return SameValue(self.keys.identity, self.identity_text)
        return Compare(self.keys.identity, "mod", self.mod_of(self.keys.identity))

    def copy(self) -> View:
        """A copy for a thread: the view itself changes under its hands."""
        duplicate = copy.copy(self)
        for name in duplicate.__slots__:
            if isinstance(value := getattr(duplicate, name), dict):
                setattr(duplicate, name, dict(value))
        duplicate._unread = {kind: dict(names) for kind, names in self._unread.items()}
        return duplicate

    @property
    def changes(self) -> int:
        """Another one whenever anything but a renewal may have changed; of this view, within one process."""
        return self._changes

    def mark(self) -> str:
        """Another one when anything but a renewal may have changed; within one process."""
        if self._marked[0] != self._changes:
            self._marked = (self._changes, self._mark())
        return self._marked[1]

    def _mark(self) -> str:
        parts: list[Any] = [self.mod_of(self.keys.identity), self.mod_of(self.keys.config)]
        parts += [(name, session.create_revision) for name, session in self.sessions.items()]
        for kind in (
            self.fences, self.groups, self.members, self.reports, self.devices, self.failures, self.moves,
            self.standby, self.drains, self.maintenance, self.stopped, self.restarts, self.scheduled, self.bans,
            self.blocks, self.flapping, self.node_maintenance,
        ):  # fmt: skip
            parts.append([(name, known.mod_revision) for name, known in kind.items()])
        parts.append([(key, bad.mod_revision) for key, bad in self.unreadable.items()])
        return f"{hash(repr(parts)) & 0xFFFFFFFFFFFF:012x}"

    def snapshot(self) -> Snapshot:
        """Everything that is known and can be read, as the store would list it."""
        kept = [
            KeyValue(key, _stored(known.record), known.create_revision, known.mod_revision)
            for kind, place in _PLACES.items()
            for name, known in self._kept(place)
            if (key := self.keys.of_kind(kind, name)) not in self.unreadable
        ]
        return Snapshot(self.revision, tuple(sorted(kept)))

    def _kept(self, place: _Place) -> Iterable[tuple[str, Versioned[Any]]]:
        kept = getattr(self, place.attribute)
        if place.parts:
            return list(kept.items())
        return [("", kept)] if kept is not None else []

    def apply(self, batch: WatchBatch) -> list[str]:
        """Take changes from the watch. Returns the keys that changed."""
        changed = [
            change.kv.key
            for change in batch.changes
            if self.learn(change.kv.key, None if change.deleted else change.kv, change.kv.mod_revision)
        ]
        self.revision = max(self.revision, batch.revision)
        return changed

    def take(self, reads: dict[str, KeyValue | None], revision: int) -> list[str]:
        """Take what a transaction read at `revision`. Returns the keys that changed."""
        return [key for key, kv in reads.items() if self.learn(key, kv, kv.mod_revision if kv else revision)]

    def learn(self, key: str, kv: KeyValue | None, revision: int, *, listed_at: int = -1) -> bool:
        """Know that `key` holds `kv` (None: nothing) since or at `revision`; False when that is no news.

        `listed_at`: the revision of the complete list that it is from. Such a list is right about every key that is not
        known to have changed since, also where it has an earlier change than is known: the store was restored then."""
        newest = self.as_of(key)
        if revision <= newest and newest > listed_at:
            return False
        kind, name = self.keys.kind_of(key)
        place = _PLACES.get(kind)
        if place is None:
            return False  # of a later version, or written by hand
        self.newest[key] = revision
        was_bad = self._readable_again(key, kind, name)
        known: Versioned[Any] | None = None
        if kv is not None:
            known, problem = place.read(kv, name)
            if problem:
                self.unreadable[key] = Unreadable(problem, kv.create_revision, kv.mod_revision)
                if not place.misnamed(name):
                    self._unread.setdefault(kind, {})[name] = None
        self._changes += was_bad or not self._is_renewal(kind, name, known)
        if key == self.keys.identity:
            self.identity_text = kv.value if kv is not None else ""
        if not place.parts and not name:
            setattr(self, place.attribute, known)
        elif not place.misnamed(name):
            kept = getattr(self, place.attribute)
            if known is None:
                kept.pop(name, None)
            else:
                kept[name] = known
        return True

    def _readable_again(self, key: str, kind: str, name: str) -> bool:
        """Forget that the key could not be read; whether it could not."""
        if self.unreadable.pop(key, None) is None:
            return False
        self._unread.get(kind, {}).pop(name, None)
        return True

    def _is_renewal(self, kind: str, name: str, known: Versioned[Any] | None) -> bool:
        before = self.sessions.get(name) if kind == "nodes" else None
        return before is not None and known is not None and before.create_revision == known.create_revision

    def created(self, key: str) -> int:
        """The revision that created `key`, 0 when it is not known to be there."""
        return known.create_revision if (known := self._at(key)) else 0

    def mod_of(self, key: str) -> int:
        """The revision that last changed `key`, whether it can be read or not; 0 when it is not known to be there."""
        return known.mod_revision if (known := self._at(key)) else 0

    def _at(self, key: str) -> Versioned[Any] | Unreadable | None:
        if (bad := self.unreadable.get(key)) is not None:
            return bad
        kind, name = self.keys.kind_of(key)
        place = _PLACES.get(kind)
        if place is None or place.misnamed(name):
            return None
        kept = getattr(self, place.attribute)
        known: Versioned[Any] | None = kept.get(name) if place.parts else kept
        return known

    def bad_node(self, node: str) -> Unreadable | None:
        """The document in `nodes/<node>`, when it cannot be read: a session that is neither over nor known."""
        return self.unreadable.get(self.keys.node(node))

    def bad_fence(self, node: str) -> Unreadable | None:
        """The document in `fence/<node>`, when it cannot be read."""
        return self.unreadable.get(self.keys.fence(node))

    def misnamed(self, key: str) -> bool:
        """Whether the key itself, of a kind that is known, is none that this kind can have."""
        kind, name = self.keys.kind_of(key)
        return kind in _PLACES and bool(_PLACES[kind].misnamed(name))

    def unread(self, kind: str) -> list[str]:
        """The names of this kind whose document cannot be read."""
        return list(self._unread.get(kind, ()))

    def as_of(self, key: str) -> int:
        """The revision as of which `key` is known."""
        return self.newest.get(key, self.listed)

    def forget(self) -> None:
        """Drop everything: the store behind it is another one."""
        fresh = View(self.keys, _changes=self._changes + 1)
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))


class _Place(NamedTuple):
    """Where the documents of a kind are kept. `parts`: of how many names its keys are made. `unread`: what counts where
    one cannot be read, since the key alone says what is wanted; None: it counts as not there. `whole`: `*` is a name,
    too."""

    attribute: str
    parse: Callable[[str, str], Any]
    parts: int = 1
    unread: Any = None
    whole: bool = False

    def misnamed(self, name: str) -> str:
        """Why a key of this kind cannot have this name; empty: it can."""
        if not self.parts:
            return "nothing is kept below this key" if name else ""
        if not name:
            return "a key of this kind has a name"
        if self.whole and name == "*":
            return ""
        return "" if _NAMES[self.parts](name) else "this is no name that a key of this kind can have"

    def read(self, kv: KeyValue, name: str) -> tuple[Versioned[Any] | None, str]:
        """The document, and what is wrong with it."""
        if problem := self.misnamed(name):
            return None, problem
        try:
            return Versioned(self.parse(kv.value, kv.key), kv.create_revision, kv.mod_revision), ""
        except RecordError as error:
            known = Versioned(self.unread, kv.create_revision, kv.mod_revision) if self.unread is not None else None
            return known, error.problem


def _text(value: str, key: str) -> str:
    return value


def _word(value: str, key: str) -> str:
    """A document for people: the key alone says what is wanted."""
    return printable(value)


def _stored(record: Record | str) -> str:
    return record if isinstance(record, str) else record.to_json()


# A drain may be of all services: `*`.
_NAMES = {1: re.compile(NAME).fullmatch, 2: re.compile(rf"({NAME}|\*)/{NAME}").fullmatch}

_PLACES = {
    "identity": _Place("identity", Identity.from_json, 0),
    "config": _Place("config", _text, 0),
    "nodes": _Place("sessions", Session.from_json),
    "fence": _Place("fences", FenceRecord.from_json),
    "groups": _Place("groups", Ownership.from_json),
    "members": _Place("members", Member.from_json),
    "reports": _Place("reports", Report.from_json),
    "devices": _Place("devices", DeviceReport.from_json),
    "intents/fence-test": _Place("fence_test", FenceTest.from_json, 0),
    "failures": _Place("failures", Failure.from_json, 2),
    "refused": _Place("refusals", Refusal.from_json),
    "probes": _Place("probes", _word),
    "flapping": _Place("flapping", Flapping.from_json),
    "blocked": _Place("blocks", Block.from_json, 1, Block("unknown", "", "", "what is written of it cannot be read")),
    "intents/move": _Place("moves", Move.from_json),
    "intents/cleanup": _Place("cleanups", Cleanup.from_json),
    "intents/confirm": _Place("confirms", Confirm.from_json),
    "intents/standby": _Place("standby", _word),
    "intents/drain": _Place("drains", Drain.from_json, 2, Drain()),
    "intents/maintenance": _Place("maintenance", Maintenance.from_json, 1, Maintenance(), whole=True),
    "intents/node-maintenance": _Place("node_maintenance", Maintenance.from_json, 1, Maintenance()),
    "intents/stopped": _Place("stopped", Stop.from_json, 1, Stop()),
    "intents/restart": _Place("restarts", Restart.from_json),
    "intents/scheduled": _Place("scheduled", Scheduled.from_json),
    "intents/ban": _Place("bans", Ban.from_json, 2, Ban()),
}
