"""Another history of the store is told from the known one, though both count their revisions alike."""

from __future__ import annotations

import pytest

from election import recovery
from election.keys import Keys
from election.memory_store import MemoryStore
from election.records import Identity
from election.store import Compare, Put, SameValue, Txn
from election.view import View

KEYS = Keys.of("demo")


def begun(uuid: str) -> MemoryStore:
    """A store that was wiped and begun anew: its identity is at revision 2, as in every such store."""
    store = MemoryStore()
    store.txn(recovery.init(KEYS, uuid, "{}"), timeout_s=1)
    return store


def known(store: MemoryStore) -> View:
    view = View(KEYS)
    view.load(store.snapshot(KEYS.prefix, timeout_s=1))
    return view


def holds(view: View, store: MemoryStore) -> bool:
    return store.txn(Txn((view.same_history,), (Put("x", "y"),)), timeout_s=1).succeeded


def test_two_stores_that_were_wiped_are_two_histories() -> None:
    first, second = begun("one"), begun("two")
    view = known(first)
    assert view.mod_of(KEYS.identity) == known(second).mod_of(KEYS.identity)
    assert holds(view, first) and not holds(view, second) and holds(known(second), second)


@pytest.mark.parametrize("identity", ["{", '{"uuid": 5}'])
def test_an_identity_that_nobody_can_read_is_the_one_at_its_revision(identity: str) -> None:
    store = begun("one")
    store.txn(Txn((), (Put(KEYS.identity, identity),)), timeout_s=1)
    view = known(store)
    assert isinstance(view.same_history, Compare) and holds(view, store)
    store.txn(Txn((), (Put(KEYS.identity, Identity("one", 1).to_json()),)), timeout_s=1)
    assert not holds(view, store)


def test_a_key_that_only_begins_like_it_says_nothing() -> None:
    store = begun("one")
    for name in ("/backup", "/", "s"):
        store.txn(Txn((), (Put(KEYS.identity + name, "{}"),)), timeout_s=1)
    assert holds(known(store), store)


def test_what_a_later_version_wrote_beside_it_counts_too() -> None:
    store, text = begun("one"), '{"later": [1, 2], "uuid": "one", "generation": 1, "more": {}}'
    store.txn(Txn((), (Put(KEYS.identity, text),)), timeout_s=1)
    view = known(store)
    assert view.same_history == SameValue(KEYS.identity, text) and holds(view, store)


def test_a_store_without_identity_is_no_history() -> None:
    view = View(KEYS)
    assert holds(view, MemoryStore()) and not holds(view, begun("one"))
