"""The store's values to and from the messages of etcd's KV and Watch services (etcd, rpc.proto and kv.proto), as bytes.

The numbers are those of the fields there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from election.etcd.wire import content, fields, number
from election.store import (
    Change,
    Condition,
    Delete,
    Get,
    KeyValue,
    Operation,
    Put,
    SameValue,
    Txn,
    TxnResult,
    WatchBatch,
)

_VALUE, _MOD, _CREATE = 3, 2, 1  # Compare.CompareTarget
_DELETE = 1  # mvccpb.Event.EventType


class RangeAnswer(NamedTuple):
    """RangeResponse. `revision`: the header's, as in all of these."""

    revision: int
    items: tuple[KeyValue, ...]


class TxnAnswer(NamedTuple):
    """TxnResponse. `reads`: for each operation what it read, nothing for those that read nothing."""

    revision: int
    succeeded: bool
    reads: tuple[tuple[KeyValue, ...], ...]


class WatchAnswer(NamedTuple):
    """WatchResponse."""

    revision: int
    created: bool
    canceled: bool
    compact_revision: int
    cancel_reason: str
    changes: tuple[Change, ...]


class Services:
    """The calls on a channel: bytes in, answers out. An answer that cannot be read is an error of the call."""

    def __init__(self, channel: Any) -> None:
        self.range = channel.unary_unary("/etcdserverpb.KV/Range", response_deserializer=read_range)
        self.txn = channel.unary_unary("/etcdserverpb.KV/Txn", response_deserializer=read_txn)
        self.watch = channel.unary_stream("/etcdserverpb.Watch/Watch", response_deserializer=read_watch)


def encode(text: str) -> bytes:
    """A key or value as bytes; gives back unchanged what `decode` made of bytes that are not UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def decode(raw: bytes) -> str:
    """A key or value as text."""
    return raw.decode("utf-8", "surrogateescape")


def key_range(prefix: str) -> tuple[bytes, bytes]:
    """First key and end of the range of all keys that begin with `prefix`."""
    first = encode(prefix)
    kept = first.rstrip(b"\xff")
    if not kept:
        return first or b"\0", b"\0"  # etcd: an end of one zero byte is no end
    return first, kept[:-1] + bytes([kept[-1] + 1])


# --- requests -----------------------------------------------------------------------------------------------------


def get_request(key: str) -> bytes:
    """Linearizable read of one key."""
    return content(1, encode(key))


def snapshot_request(prefix: str) -> bytes:
    """Linearizable read of a prefix, sorted by key (etcd's order of its own)."""
    first, end = key_range(prefix)
    return content(1, first) + content(2, end)


def probe_request(prefix: str) -> bytes:
    """The cheapest linearizable read that needs the permission to read `prefix`: one key, without its value."""
    return snapshot_request(prefix) + number(3, 1) + number(8, 1)


def watch_request(prefix: str, start_revision: int) -> bytes:
    """A watch of a prefix, with notice of progress. Answers are not fragmented: nobody asked for it."""
    return content(1, snapshot_request(prefix) + number(3, start_revision) + number(4, 1))


def txn_request(txn: Txn) -> bytes:
    """A transaction."""
    parts = [content(1, _compare(compare)) for compare in txn.compares]
    parts += [content(2, operation) for operation in _operations(txn.success)]
    parts += [content(3, operation) for operation in _operations(txn.failure)]
    return b"".join(parts)


def _compare(compare: Condition) -> bytes:
    """`result` is left out: its 0 is EQUAL."""
    if isinstance(compare, SameValue):
        return number(2, _VALUE) + content(3, encode(compare.key)) + content(7, encode(compare.value))
    key, target, revision = compare
    if target == "mod":
        return number(2, _MOD) + content(3, encode(key)) + number(6, revision)
    return number(2, _CREATE) + content(3, encode(key)) + number(5, revision)


def _operations(operations: Iterable[Operation]) -> Iterable[bytes]:
    for operation in operations:
        match operation:
            case Put(key, value):
                yield content(2, content(1, encode(key)) + content(2, encode(value)))
            case Get(key):
                yield content(1, get_request(key))
            case Delete(key):
                yield content(3, content(1, encode(key)))


# --- answers ------------------------------------------------------------------------------------------------------


def read_range(raw: bytes) -> RangeAnswer:
    """From RangeResponse. Raises WireError."""
    revision, key_values = 0, []
    for field, _, inner in fields(raw):
        if field == 1:
            revision = _revision(inner)
        elif field == 2:
            key_values.append(_key_value(inner))
    return RangeAnswer(revision, tuple(key_values))


def read_txn(raw: bytes) -> TxnAnswer:
    """From TxnResponse. Raises WireError."""
    revision, succeeded, reads = 0, False, []
    for field, value, inner in fields(raw):
        if field == 1:
            revision = _revision(inner)
        elif field == 2:
            succeeded = bool(value)
        elif field == 3:
            reads.append(next((read_range(part).items for kind, _, part in fields(inner) if kind == 1), ()))
    return TxnAnswer(revision, succeeded, tuple(reads))


def txn_result(txn: Txn, answer: TxnAnswer) -> TxnResult:
    """The answer to a transaction."""
    reads: dict[str, KeyValue | None] = {}
    branch = txn.success if answer.succeeded else txn.failure
    for operation, read in zip(branch, answer.reads, strict=True):
        if isinstance(operation, Get):
            reads[operation.key] = read[0] if read else None
    return TxnResult(answer.succeeded, answer.revision, reads)


def read_watch(raw: bytes) -> WatchAnswer:
    """From WatchResponse. Raises WireError."""
    revision = created = canceled = compacted = 0
    reason, changes = "", []
    for field, value, inner in fields(raw):
        match field:
            case 1:
                revision = _revision(inner)
            case 3:
                created = value
            case 4:
                canceled = value
            case 5:
                compacted = value
            case 6:
                reason = decode(inner)
            case 11:
                changes.append(_change(inner))
    return WatchAnswer(revision, bool(created), bool(canceled), compacted, reason, tuple(changes))


def watch_batch(answer: WatchAnswer, after: int) -> WatchBatch:
    """The changes of an answer to a watch that come after the revision `after`.

    Of an answer with changes only their own revisions are sure to be complete: while a watch catches up, the
    header's revision is ahead of what was sent.
    """
    if not answer.changes:
        return WatchBatch(max(after, answer.revision), ())
    changes = tuple(change for change in answer.changes if change.kv.mod_revision > after)
    return WatchBatch(max(after, answer.changes[-1].kv.mod_revision), changes)


def _revision(header: bytes) -> int:
    return next((value for field, value, _ in fields(header) if field == 3), 0)


def _key_value(raw: bytes) -> KeyValue:
    key, text, create, mod = b"", b"", 0, 0
    for field, value, inner in fields(raw):
        match field:
            case 1:
                key = inner
            case 2:
                create = value
            case 3:
                mod = value
            case 5:
                text = inner
    return KeyValue(decode(key), decode(text), create, mod)


def _change(raw: bytes) -> Change:
    deleted, key_value = False, b""
    for field, value, inner in fields(raw):
        if field == 1:
            deleted = value == _DELETE
        elif field == 2:
            key_value = inner
    return Change(deleted, _key_value(key_value))
