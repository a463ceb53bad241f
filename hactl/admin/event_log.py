"""The cluster's bounded history: entries under `events/<stamp>` of `Keys.history`, newest last. Reading and
writing; calls block. The order is etcd's: stamps tell keys apart, and are for people."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec

from election.keys import Keys
from election.store import Delete, KeyValue, Put, SameValue, Snapshot, Store, Txn
from election.text import printable
from fencing.linux.clock import utc_z
from hactl.model.takeover import is_takeover
from hactl.model.text import DEEPEST, bounded

# How many entries are kept, and how many more there may be before the oldest are taken away: it costs a list.
KEPT = 1000
SLACK = 50

# etcd takes 128 operations a transaction (its `--max-txn-ops`), and 1.5 MB (`--max-request-bytes`).
BATCH = 100
BATCH_BYTES = 512_000

# An entry is for people: a longer one is cut.
LARGEST = 8_000

TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened. `at`: wall time by the clock of `node`, ISO 8601, UTC; for people, decides nothing."""

    stamp: str
    at: str
    node: str
    event: str
    data: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The entry for JSON."""
        return asdict(self)


def new_entry(node: str, number: int, wall_s: float, event: str, data: dict[str, Any]) -> Entry:
    """An entry of this moment: its stamp holds the time, the node and `number`, which tells two of one millisecond
    apart."""
    at = utc_z(wall_s, timespec="milliseconds")
    return Entry(f"{int(wall_s * 1000):013d}-{node}-{number:06d}", at, node, event, _cut(data))


def _cut(data: dict[str, Any]) -> dict[str, Any]:
    """Data that everybody can read: no more than LARGEST bytes, nothing but JSON."""
    for deepest in (DEEPEST, 2, 1):
        shorter: dict[str, Any] = bounded(data, deepest)
        if len(json.dumps(shorter)) <= LARGEST:
            return shorter
    return {name: value[:100] if isinstance(value, str) else "…" for name, value in list(shorter.items())[:20]}


def batch(waiting: Iterable[Entry], most: int = BATCH) -> list[Entry]:
    """The first waiting entries, as many as go into one transaction."""
    chosen: list[Entry] = []
    size = 0
    for entry in itertools.islice(waiting, most):
        size += len(_document(entry)) + len(entry.stamp) + 200
        if chosen and size > BATCH_BYTES:
            break
        chosen.append(entry)
    return chosen


def parse(keys: Keys, kv: KeyValue) -> Entry | None:
    """The entry of a key; None: it is no entry."""
    try:
        raw = msgspec.json.decode(kv.value)
        at, node, event = (bounded(str(raw[name])) for name in ("at", "node", "event"))
        return Entry(printable(kv.key[len(keys.event("")) :]), at, node, event, _cut(dict(raw["data"])))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def read(store: Store, keys: Keys, limit: int, *, timeout_s: float = TIMEOUT_S) -> tuple[list[Entry], int]:
    """The newest `limit` entries, oldest first, and the revision to watch on from. Raises StoreError."""
    snapshot = store.snapshot(keys.event(""), timeout_s=timeout_s)
    entries = [entry for kv in _in_order(snapshot) if (entry := parse(keys, kv))]
    return entries[-limit:] if limit > 0 else [], snapshot.revision + 1


def _in_order(snapshot: Snapshot) -> list[KeyValue]:
    """As they were written: by etcd's revision, since a node's clock may be a year ahead; entries that one node wrote
    together by their numbers."""
    return sorted(snapshot.items, key=lambda kv: (kv.create_revision, kv.key.rpartition("-")[2]))


def timelines(entries: Sequence[Entry], group: str, limit: int) -> list[dict[str, Any]]:
    """The newest `limit` takeovers among them, of `group` or ("") of all, oldest first."""
    takeovers = [entry for entry in entries if entry.event == "failover" and is_takeover(entry.data)]
    rows = [{**entry.data, "at": entry.at} for entry in takeovers if group in ("", entry.data["group"])]
    return rows[-limit:] if limit else []


def write(store: Store, keys: Keys, entries: Sequence[Entry]) -> bool:
    """Write entries, at most BATCH; False: there is no cluster here. Writing the same again is safe. Raises
    StoreError."""
    identity, _ = store.get(keys.identity, timeout_s=TIMEOUT_S)
    if identity is None:
        return False
    puts = tuple(Put(keys.event(entry.stamp), _document(entry)) for entry in entries)
    same = SameValue(keys.identity, identity.value)
    return store.txn(Txn((same,), puts), timeout_s=TIMEOUT_S).succeeded


def note(store: Store, keys: Keys, node: str, event: str, data: dict[str, Any]) -> None:
    """Write one entry of this moment, where there is no daemon to do it. Raises StoreError."""
    wall_ns = time.time_ns()
    write(store, keys, [new_entry(node, wall_ns % 1_000_000, wall_ns / 1e9, event, data)])


def trim(store: Store, keys: Keys, kept: int = KEPT) -> int:
    """Take the oldest entries away until `kept` are left; how many were. Raises StoreError."""
    snapshot = store.snapshot(keys.event(""), timeout_s=TIMEOUT_S)
    old = [kv.key for kv in _in_order(snapshot)[: max(0, len(snapshot.items) - kept)]]
    for start in range(0, len(old), BATCH):
        store.txn(Txn((), tuple(Delete(key) for key in old[start : start + BATCH])), timeout_s=TIMEOUT_S)
    return len(old)


def _document(entry: Entry) -> str:
    raw = {"at": entry.at, "node": entry.node, "event": entry.event, "data": entry.data}
    return json.dumps(raw, separators=(",", ":"), default=str)
