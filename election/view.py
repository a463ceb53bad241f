"""What is known of the store: every document below the prefix, as of the newest revision known for each key.

Knowledge comes from lists, from the watch, and from what transactions answer; it never goes back: a change
older than what is known of its key is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from election.keys import Keys
from election.records import (
    Block,
    Cleanup,
    Confirm,
    DeviceReport,
    Drain,
    Failure,
    FenceRecord,
    FenceTest,
    Identity,
    Member,
    Move,
    Ownership,
    RecordError,
    Refusal,
    Report,
    Session,
)
from election.store import KeyValue, Snapshot, WatchBatch

R = TypeVar("R")


class Known(NamedTuple, Generic[R]):
    """A document with the revisions that created and last changed its key."""

    record: R
    create: int
    mod: int


@dataclass(slots=True)
class View:
    """The documents by kind.

    `revision`: everything up to it is known, by list or by watch. `listed`: that of the last list. `newest`:
    for each key the revision at which it last changed, as far as known. `drains`: by `service/node`. `unreadable`:
    what could not be parsed.
    """

    keys: Keys
    revision: int = 0
    listed: int = 0
    newest: dict[str, int] = field(default_factory=dict)
    identity: Known[Identity] | None = None
    config: Known[str] | None = None
    sessions: dict[str, Known[Session]] = field(default_factory=dict)
    fences: dict[str, Known[FenceRecord]] = field(default_factory=dict)
    groups: dict[str, Known[Ownership]] = field(default_factory=dict)
    members: dict[str, Known[Member]] = field(default_factory=dict)
    reports: dict[str, Known[Report]] = field(default_factory=dict)
    devices: dict[str, Known[DeviceReport]] = field(default_factory=dict)
    fence_test: Known[FenceTest] | None = None
    failures: dict[str, Known[Failure]] = field(default_factory=dict)
    blocks: dict[str, Known[Block]] = field(default_factory=dict)
    moves: dict[str, Known[Move]] = field(default_factory=dict)
    cleanups: dict[str, Known[Cleanup]] = field(default_factory=dict)
    confirms: dict[str, Known[Confirm]] = field(default_factory=dict)
    refusals: dict[str, Known[Refusal]] = field(default_factory=dict)
    probes: dict[str, Known[str]] = field(default_factory=dict)
    standby: dict[str, Known[str]] = field(default_factory=dict)
    drains: dict[str, Known[Drain]] = field(default_factory=dict)
    maintenance: dict[str, Known[str]] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)

    def load(self, snapshot: Snapshot) -> list[str]:
        """Take a complete list; keys that are not in it are gone. Returns the keys that changed."""
        present = {item.key for item in snapshot.items}
        changed = [item.key for item in snapshot.items if self.learn(item.key, item, item.mod_revision, again=True)]
        for key in [key for key in self.newest if key not in present and self.newest[key] <= snapshot.revision]:
            self.learn(key, None, snapshot.revision + 1)
            del self.newest[key]  # what comes later of it is compared with `listed`
            changed.append(key)
        self.revision = max(self.revision, snapshot.revision)
        self.listed = max(self.listed, snapshot.revision)
        return changed

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

    def learn(self, key: str, kv: KeyValue | None, revision: int, *, again: bool = False) -> bool:
        """Know that `key` holds `kv` (None: nothing) since or at `revision`; False when that is no news. `again`:
        take it also when this revision of it is known already (a list is right, even after a restore)."""
        newest = self.as_of(key)
        if revision < newest or (revision == newest and not again):
            return False
        kind, _, name = key[len(self.keys.prefix) :].partition("/")
        if kind == "intents":
            kind, _, name = name.partition("/")
        place = _PLACES.get(kind)
        if place is None:
            return False  # of a later version, or written by hand
        self.newest[key] = revision
        attribute, parse = place
        known: Known[Any] | None = None
        self.unreadable.pop(key, None)
        if kv is not None:
            try:
                known = Known(parse(kv.value, key), kv.create_revision, kv.mod_revision)
            except RecordError as error:
                self.unreadable[key] = str(error)
        if not name:
            setattr(self, attribute, known)
        elif known is None:
            getattr(self, attribute).pop(name, None)
        else:
            getattr(self, attribute)[name] = known
        return True

    def created(self, key: str) -> int:
        """The revision that created `key`, 0 when it is not known to be there."""
        kind, _, name = key[len(self.keys.prefix) :].partition("/")
        if kind == "intents":
            kind, _, name = name.partition("/")
        place = _PLACES.get(kind)
        known = None
        if place is not None:
            known = getattr(self, place[0]).get(name) if name else getattr(self, place[0])
        return known.create if known is not None else 0

    def as_of(self, key: str) -> int:
        """The revision as of which `key` is known."""
        return self.newest.get(key, self.listed)

    def forget(self) -> None:
        """Drop everything: the store behind it is another one."""
        fresh = View(self.keys)
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))

    def live(self) -> Iterable[str]:
        """Names of the nodes that have a session."""
        return self.sessions.keys()


def _text(value: str, key: str) -> str:
    return value


_PLACES: dict[str, tuple[str, Callable[[str, str], Any]]] = {
    "identity": ("identity", Identity.from_json),
    "config": ("config", _text),
    "nodes": ("sessions", Session.from_json),
    "fence": ("fences", FenceRecord.from_json),
    "groups": ("groups", Ownership.from_json),
    "members": ("members", Member.from_json),
    "reports": ("reports", Report.from_json),
    "devices": ("devices", DeviceReport.from_json),
    "fence-test": ("fence_test", FenceTest.from_json),
    "failures": ("failures", Failure.from_json),
    "refused": ("refusals", Refusal.from_json),
    "probes": ("probes", _text),
    "blocked": ("blocks", Block.from_json),
    "move": ("moves", Move.from_json),
    "cleanup": ("cleanups", Cleanup.from_json),
    "confirm": ("confirms", Confirm.from_json),
    "standby": ("standby", _text),
    "drain": ("drains", Drain.from_json),
    "maintenance": ("maintenance", _text),
}
