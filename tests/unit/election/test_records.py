"""Documents are read by their types; whatever is in etcd is a document or unreadable, and nothing else happens."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from election.keys import Keys
from election.records import (
    DeviceReport,
    Drain,
    Failure,
    FenceRecord,
    FenceTest,
    Holder,
    Identity,
    Member,
    Move,
    Ownership,
    Record,
    RecordError,
    Report,
    Session,
)
from election.store import KeyValue, Snapshot
from election.text import printable
from election.view import View
from hactl.config.stored import StoredConfig
from tests.support import malformed

KEYS = Keys.of("demo")
RECORDS: tuple[Record, ...] = (
    Identity("u", 1),
    Session("s", "m", "b", 3750, 7, True),
    FenceRecord("s", 3, 5, 3750, "m", "b", "acting", executor="n1/s", attempts=2, action_ms=900, wanted="reboot"),
    Ownership("n1", "s", 3, 9, "owned", (Holder("n2", "t", 2),), True, "first owner"),
    Member("n1", "10.0.0.1", "0.1.0", 3, ("a",), {"x": [1]}),
    Move("id", "n2", "n1", 3, "root"),
    Failure(3, "r", "failed", ""),
    Report("s", 3, {"g": {"phase": "running", "epoch": 9, "resources": {"r": "running"}, "reason": "x"}}, {"g": 4}),
    DeviceReport("t", "at", 3, ({"node": "n1", "device": "d", "plug": "1", "ok": True, "power": "on", "detail": ""},)),
    FenceTest("id", "root", "at"),
    Drain("root", "at", "why"),
    StoredConfig(3, {"cluster": "demo"}, "root", "at"),
)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_what_is_written_is_read_again(record: Record) -> None:
    again = type(record).from_json(record.to_json(), "key")
    assert again == record
    assert again.to_json() == record.to_json()


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_what_a_later_version_added_is_ignored_and_kept(record: Record) -> None:
    raw = {**json.loads(record.to_json()), "later": {"deep": [1, {"a": None}]}, "unknown": 5}
    again = type(record).from_json(json.dumps(raw), "key")
    assert again == record
    assert json.loads(again.to_json()) == raw
    assert json.loads(replace(again).to_json()) == raw


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
@given(data=st.data())
def test_a_field_of_another_type_is_unreadable_or_of_the_right_type(record: Record, data: st.DataObject) -> None:
    raw = json.loads(record.to_json())
    raw[data.draw(st.sampled_from(sorted(raw)))] = data.draw(st.sampled_from(malformed.WRONG))
    try:
        read = type(record).from_json(json.dumps(raw), "key")
    except RecordError as error:
        assert str(error).startswith("key: ") and str(error).isprintable() and len(str(error)) < 250
    else:
        assert type(record).from_json(read.to_json(), "key") == read


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
@pytest.mark.parametrize("text", malformed.GARBAGE, ids=range(len(malformed.GARBAGE)))
def test_garbage_is_unreadable(record: Record, text: str) -> None:
    if text == "{}" and isinstance(record, Drain):
        assert Drain.from_json(text) == Drain()
        return
    with pytest.raises(RecordError):
        type(record).from_json(text, "key")


@pytest.mark.parametrize(
    "wrong",
    [{"lease_ms": 0}, {"lease_ms": True}, {"lease_ms": 10**12}, {"attempt": -1}, {"attempt": 1.0}, {"watchdog": 1}],
    ids=str,
)
def test_the_protocols_ranges(wrong: dict[str, object]) -> None:
    raw = {"sid": "s", "machine_id": "m", "boot_id": "b", "lease_ms": 1000, "attempt": 1}
    assert Session.from_json(json.dumps(raw)).lease_ms == 1000
    with pytest.raises(RecordError):
        Session.from_json(json.dumps({**raw, **wrong}))


def test_an_epoch_after_which_none_can_follow_is_unreadable() -> None:
    with pytest.raises(RecordError, match="room"):
        Ownership.from_json(Ownership("n1", "s", 3, (1 << 44) - 1, "owned").to_json())


@pytest.mark.parametrize("state", ["", "paused", "OWNED", None])
def test_an_unknown_state_is_unreadable(state: object) -> None:
    raw = json.loads(RECORDS[3].to_json())
    with pytest.raises(RecordError):
        Ownership.from_json(json.dumps({**raw, "state": state}))


def test_what_this_program_writes_can_always_be_read_again() -> None:
    """Texts come from other programs: not UTF-8, too long."""
    failure = Failure(1, "r", "caf\udce9 " + "x" * 100_000)
    assert Failure.from_json(failure.to_json()).reason.startswith("caf\\udce9 xxx")


@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=400))
def test_what_is_shown_is_printable(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable() and len(shown) <= 200
    if text.isprintable() and len(text) <= 200:
        assert shown == text


# --- the view -----------------------------------------------------------------------------------------------------


def put(view: View, key: str, value: str, revision: int) -> None:
    view.learn(key, KeyValue(key, value, revision, revision), revision)


@pytest.mark.parametrize("key", malformed.misnamed(KEYS))
def test_a_key_that_its_kind_cannot_have_changes_nothing(key: str) -> None:
    view, revision = View(KEYS), 2
    put(view, KEYS.identity, Identity("u", 1).to_json(), 1)
    for text in (Identity("v", 2).to_json(), "x", "{}"):
        put(view, key, text, revision)
        revision += 1
        known, _ = view.keys.kind_of(key)
        assert view.unreadable.keys() <= {key}
        assert (view.identity is not None and view.identity.record == Identity("u", 1)) or key == KEYS.identity
        assert isinstance(view.sessions, dict) and isinstance(view.groups, dict) and isinstance(view.drains, dict)
        assert known != "nodes" or view.sessions == {} or "/" not in key.removeprefix(KEYS.prefix + "nodes/")
    view.learn(key, None, revision)
    assert view.unreadable == {} or key == KEYS.identity


def test_an_unreadable_record_counts_as_no_document_until_it_is_gone() -> None:
    view = View(KEYS)
    put(view, KEYS.group("g"), RECORDS[3].to_json(), 5)
    put(view, KEYS.group("g"), "x", 6)
    assert view.groups == {} and view.unread("groups") == ["g"] and view.mod_of(KEYS.group("g")) == 6
    view.learn(KEYS.group("g"), None, 7)
    assert view.unreadable == {} and view.mod_of(KEYS.group("g")) == 0
    put(view, KEYS.group("g"), RECORDS[3].to_json(), 8)
    assert view.groups["g"].mod_revision == 8 and view.unreadable == {}


def test_a_drain_that_cannot_be_read_is_a_drain_all_the_same() -> None:
    view = View(KEYS)
    put(view, KEYS.drain("api", "n1"), "x", 5)
    assert view.drains["api/n1"].record == Drain() and view.unreadable
    view.learn(KEYS.drain("api", "n1"), None, 6)
    assert view.drains == {} == view.unreadable


def test_any_store_at_all_can_be_listed() -> None:
    rng, view = random.Random(1), View(KEYS)
    keys = malformed.keys_of(KEYS, ["n1", "n2"], ["g"]) + malformed.misnamed(KEYS)
    for revision in range(10, 2000):
        record = rng.choice(RECORDS)
        text = rng.choice([record.to_json(), malformed.spoiled(rng, record.to_json())])
        kvs = tuple(KeyValue(key, text, revision, revision) for key in rng.sample(keys, 5))
        mark, was = view.mark(), view.copy()
        view.load(Snapshot(revision, kvs))
        _what_is_kept_beside_fits(view)
        _what_is_kept_beside_fits(was)
        assert was.mark() == mark and (view.mark() == mark) == (view._mark() == was._mark())
    view.load(Snapshot(3000, ()))
    assert view.unreadable == {}
    _what_is_kept_beside_fits(view)


def _what_is_kept_beside_fits(view: View) -> None:
    """What is found without a look at all keys, of which there may be a hundred thousand."""
    unread: dict[str, list[str]] = {}
    for key in view.unreadable:
        if not view.misnamed(key):
            kind, name = view.keys.kind_of(key)
            unread.setdefault(kind, []).append(name)
    for kind in {*unread, "nodes", "fence", "groups", "members", "identity"}:
        assert sorted(view.unread(kind)) == sorted(unread.get(kind, ()))
    assert view.mark() == view._mark()
