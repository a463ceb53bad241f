"""The store as the election sees it: values, transactions, errors, and the protocol a store fulfils.

The semantics are etcd v3's (etcd manual, *API guarantees*): every write is a revision, a transaction is
atomic and linearizable, a key carries the revision that created it and the one that last changed it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol


class KeyValue(NamedTuple):
    """A key as read at some revision."""

    key: str
    value: str
    create_revision: int
    mod_revision: int


class Compare(NamedTuple):
    """A condition of a transaction: the key's create or mod revision equals `revision` (0: no such key)."""

    key: str
    target: Literal["create", "mod"]
    revision: int


class SameValue(NamedTuple):
    """A condition of a transaction: the key is there and holds `value`."""

    key: str
    value: str


class Put(NamedTuple):
    """Write `value` under `key`."""

    key: str
    value: str


class Delete(NamedTuple):
    """Delete `key`; no error when there is none."""

    key: str


class Get(NamedTuple):
    """Read `key` within the transaction."""

    key: str


Operation = Put | Delete | Get
Condition = Compare | SameValue


class Txn(NamedTuple):
    """If all of `compares` hold, carry out `success`, else `failure`; atomically."""

    compares: tuple[Condition, ...]
    success: tuple[Operation, ...]
    failure: tuple[Operation, ...] = ()


class TxnResult(NamedTuple):
    """The answer to a transaction.

    `revision` is the store's revision after it; `reads` holds what the `Get`s of the branch taken found, by
    key (None: no such key).
    """

    succeeded: bool
    revision: int
    reads: dict[str, KeyValue | None]


class Snapshot(NamedTuple):
    """All keys below a prefix at one revision, sorted by key."""

    revision: int
    items: tuple[KeyValue, ...]


class Change(NamedTuple):
    """One change of a key. For a deletion `kv` carries the key and the revision of the deletion as
    `mod_revision`, with an empty value and a `create_revision` of 0."""

    deleted: bool
    kv: KeyValue


class WatchBatch(NamedTuple):
    """Changes in the order of their revisions, up to and including `revision`. No revision's changes are
    split over two batches. An empty batch is progress: nothing changed up to `revision`."""

    revision: int
    changes: tuple[Change, ...]


class StoreError(Exception):
    """A request to the store failed. Unless a subclass says otherwise, it is unknown whether a write was or
    will yet be carried out."""


class StoreTimeoutError(StoreError):
    """No answer within the deadline. A write may have happened, or may happen later."""


class StoreUnavailableError(StoreError):
    """No endpoint could be reached, or none had a leader. A write may have happened."""


class StoreRefusedError(StoreError):
    """The store refused the request: it was certainly not carried out."""


class StoreFullError(StoreRefusedError):
    """The store is out of space (etcd: NOSPACE alarm): reads work, writes do not."""


class StoreAuthError(StoreRefusedError):
    """Wrong user, password, certificate, or no permission."""


class CompactedError(StoreError):
    """A watch asked for a revision that is compacted away: list again and watch from there."""

    def __init__(self, compact_revision: int) -> None:
        super().__init__(f"revisions before {compact_revision} are compacted away")
        self.compact_revision = compact_revision


@dataclass(frozen=True, slots=True)
class WatchClosed:
    """A watch has ended; `error` says why (None: it was cancelled)."""

    error: StoreError | None


class Watch(Protocol):
    """A running watch."""

    def cancel(self) -> None:
        """End the watch; nothing is delivered after this returns. Idempotent."""


class Store(Protocol):
    """A store with etcd's semantics. Calls block; every one has a deadline. Thread-safe.

    `another_endpoint` in `snapshot` and `watch`: prefer another endpoint than the one used last, where
    there is one (docs/protocol.md, *Session* 3).
    """

    def get(self, key: str, *, timeout_s: float) -> tuple[KeyValue | None, int]:
        """Linearizable read of one key, with the revision of the store."""

    def snapshot(self, prefix: str, *, timeout_s: float, another_endpoint: bool = False) -> Snapshot:
        """Linearizable read of all keys that begin with `prefix`."""

    def txn(self, txn: Txn, *, timeout_s: float) -> TxnResult:
        """Carry out a transaction. StoreRefusedError: certainly not done. Any other StoreError: unknown."""

    def watch(
        self,
        prefix: str,
        start_revision: int,
        deliver: Callable[[WatchBatch | WatchClosed], None],
        *,
        another_endpoint: bool = False,
    ) -> Watch:
        """Deliver every change below `prefix` from `start_revision` on, in order, none twice, none left out,
        over broken connections and changes of endpoint. `deliver` is called on a thread of the store's. When
        the watch cannot go on (CompactedError) it delivers WatchClosed and ends."""

    def close(self) -> None:
        """Free connections and threads. Idempotent."""
