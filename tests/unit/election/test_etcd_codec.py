"""Messages to and from etcd, against the code that is generated from etcd's own definitions."""

from __future__ import annotations

from typing import Any

import pytest

from election.etcd import codec
from election.etcd.store import etcd3
from election.etcd.wire import WireError, content, fields, number, varint
from election.store import Change, Compare, Delete, Get, KeyValue, Put, SameValue, Txn, TxnResult, WatchBatch

rpc: Any = etcd3.etcdrpc

NUMBERS = (0, 1, 127, 128, 300, 2**31, 2**63 - 1)
TEXTS = ("", "plain", "ö€", "\udcff not UTF-8", "x" * 300)


def _header(revision: int) -> Any:
    return rpc.ResponseHeader(cluster_id=2**64 - 1, member_id=7, revision=revision, raft_term=3)


def _kv(kv: KeyValue) -> Any:
    key, value = codec.encode(kv.key), codec.encode(kv.value)
    revisions = {"create_revision": kv.create_revision, "mod_revision": kv.mod_revision}
    return rpc.rpc_pb2.kv__pb2.KeyValue(key=key, value=value, version=9, lease=5, **revisions)


ITEMS = tuple(KeyValue(f"k{n}", text, n, n + 1) for n, text in zip(NUMBERS[:5], TEXTS, strict=True))


def test_requests_are_read_by_etcd_as_they_are_meant() -> None:
    assert rpc.RangeRequest.FromString(codec.get_request("k")) == rpc.RangeRequest(key=b"k")
    assert rpc.RangeRequest.FromString(codec.snapshot_request("/a/")) == rpc.RangeRequest(key=b"/a/", range_end=b"/a0")
    probe = rpc.RangeRequest(key=b"/a/", range_end=b"/a0", limit=1, keys_only=True)
    assert rpc.RangeRequest.FromString(codec.probe_request("/a/")) == probe
    create = rpc.WatchCreateRequest(key=b"/a/", range_end=b"/a0", start_revision=2**40, progress_notify=True)
    assert rpc.WatchRequest.FromString(codec.watch_request("/a/", 2**40)) == rpc.WatchRequest(create_request=create)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("revision", NUMBERS)
def test_transactions_are_read_by_etcd_as_they_are_meant(text: str, revision: int) -> None:
    compares = (
        Compare(f"m{text}", "mod", revision), Compare(f"c{text}", "create", revision), SameValue(f"v{text}", text)
    )  # fmt: skip
    txn = Txn(compares, (Put(f"p{text}", text), Delete("d")), (Get(f"g{text}"), Get("h")))
    wanted = rpc.TxnRequest()
    mod, create, value = wanted.compare.add(), wanted.compare.add(), wanted.compare.add()
    mod.target, mod.key, mod.mod_revision = rpc.Compare.MOD, codec.encode(f"m{text}"), revision
    create.target, create.key, create.create_revision = rpc.Compare.CREATE, codec.encode(f"c{text}"), revision
    value.target, value.key, value.value = rpc.Compare.VALUE, codec.encode(f"v{text}"), codec.encode(text)
    put = wanted.success.add().request_put
    put.key, put.value = codec.encode(f"p{text}"), codec.encode(text)
    wanted.success.add().request_delete_range.key = b"d"
    wanted.failure.add().request_range.key = codec.encode(f"g{text}")
    wanted.failure.add().request_range.key = b"h"
    request = rpc.TxnRequest.FromString(codec.txn_request(txn))
    assert request == wanted
    assert [compare.WhichOneof("target_union") for compare in request.compare] == [
        "mod_revision",
        "create_revision",
        "value",
    ]


def test_a_list_is_read_as_etcd_wrote_it() -> None:
    answer = rpc.RangeResponse(header=_header(2**40), kvs=[_kv(kv) for kv in ITEMS], more=True, count=5)
    assert codec.read_range(answer.SerializeToString()) == (2**40, ITEMS)
    assert codec.read_range(rpc.RangeResponse().SerializeToString()) == (0, ())


def test_a_transaction_is_read_as_etcd_wrote_it() -> None:
    txn = Txn((), (Put("a", "b"),), (Get("k1"), Delete("d"), Get("absent")))
    answer = rpc.TxnResponse(header=_header(12), succeeded=False)
    answer.responses.add().response_range.kvs.append(_kv(ITEMS[1]))
    answer.responses.add().response_delete_range.deleted = 1
    answer.responses.add().response_range.header.revision = 12
    result = codec.txn_result(txn, codec.read_txn(answer.SerializeToString()))
    assert result == TxnResult(False, 12, {"k1": ITEMS[1], "absent": None})
    answer = rpc.TxnResponse(header=_header(13), succeeded=True)
    answer.responses.add().response_put.header.revision = 13
    assert codec.txn_result(txn, codec.read_txn(answer.SerializeToString())) == TxnResult(True, 13, {})


def test_a_watch_is_read_as_etcd_wrote_it() -> None:
    gone = KeyValue("gone", "", 0, 9)
    answer = rpc.WatchResponse(header=_header(99), watch_id=4)
    for kind, kv in ((0, ITEMS[2]), (0, ITEMS[0]), (1, gone)):
        answer.events.add(type=kind, kv=_kv(kv), prev_kv=_kv(ITEMS[4]))
    read = codec.read_watch(answer.SerializeToString())
    assert read.changes == (Change(False, ITEMS[2]), Change(False, ITEMS[0]), Change(True, gone))
    assert codec.watch_batch(read, 8) == WatchBatch(9, (read.changes[0], read.changes[2]))
    progress = codec.read_watch(rpc.WatchResponse(header=_header(99)).SerializeToString())
    assert codec.watch_batch(progress, 8) == WatchBatch(99, ())
    ended = rpc.WatchResponse(header=_header(5), canceled=True, compact_revision=300, cancel_reason="because")
    assert codec.read_watch(ended.SerializeToString()) == (5, False, True, 300, "because", ())
    begun = rpc.WatchResponse(header=_header(5), created=True)
    assert codec.read_watch(begun.SerializeToString()).created


def test_fields_that_nobody_knows_are_passed_over() -> None:
    odd = number(900, 2**64 - 1) + content(901, b"abc")
    odd += varint(902 << 3 | 1) + b"12345678" + varint(903 << 3 | 5) + b"1234"
    assert [field for field, _, _ in fields(odd)] == [900, 901, 902, 903]
    raw = odd + rpc.RangeResponse(header=_header(7), kvs=[_kv(ITEMS[1])]).SerializeToString() + odd
    assert codec.read_range(raw) == (7, (ITEMS[1],))


@pytest.mark.parametrize(
    "raw", [b"\x08", b"\x08\xff", b"\x12\x05abc", b"\x09123", b"\x0b", b"\x08" + b"\xff" * 10 + b"\x01", b"\xff"]
)
def test_what_is_no_message_is_refused(raw: bytes) -> None:
    with pytest.raises(WireError):
        list(fields(raw))
    whole = rpc.RangeResponse(header=_header(7), kvs=[_kv(ITEMS[4])]).SerializeToString()
    with pytest.raises(WireError):
        codec.read_range(whole[:-5])
