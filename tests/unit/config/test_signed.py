"""`hactl config apply` and `hactl config sign` with the cluster's key, and without it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from election.keys import Keys
from election.memory_store import MemoryStore
from election.records import Identity
from election.store import Delete, Put, Txn
from hactl.admin import config
from hactl.admin.config import AppliedResult
from hactl.config.load import load_cluster
from hactl.config.signature import digest, signed_by
from hactl.config.stored import StoredConfig
from hactl.model.cluster import ClusterSpec

EXAMPLE = Path(__file__).parents[3] / "deploy" / "examples" / "cluster.yaml"
KEY, OTHER = b"0123456789abcdef" * 4, b"fedcba9876543210" * 4


@pytest.fixture(scope="module")
def spec() -> ClusterSpec:
    return load_cluster(EXAMPLE)


@pytest.fixture
def store(spec: ClusterSpec) -> MemoryStore:
    """A store in which the cluster has begun."""
    made = MemoryStore()
    made.txn(Txn((), (Put(Keys.of(spec.name).identity, Identity("u", 1).to_json()),)), timeout_s=5)
    return made


def apply(store: MemoryStore, spec: ClusterSpec, key: bytes | None, used: int = 0) -> AppliedResult:
    return config.apply(store, Keys.of(spec.name), spec, by="root", key=key, used=used)


def sign(store: MemoryStore, spec: ClusterSpec, used: str) -> AppliedResult:
    return config.sign_in_use(store, Keys.of(spec.name), spec.name, used, by="root", key=KEY)


def text(store: MemoryStore, spec: ClusterSpec) -> str:
    stored, _ = store.get(Keys.of(spec.name).config, timeout_s=5)
    assert stored is not None
    return stored.value


def is_signed(store: MemoryStore, spec: ClusterSpec, key: bytes = KEY) -> bool:
    return signed_by(StoredConfig.from_json(text(store, spec)), spec.name, key)


def test_with_a_key_an_applied_configuration_is_signed(store: MemoryStore, spec: ClusterSpec) -> None:
    assert apply(store, spec, KEY).ok
    assert is_signed(store, spec) and not is_signed(store, spec, OTHER)
    again = apply(store, spec, KEY)
    assert again.ok and not again.signed and again.serial == 1


def test_without_a_key_it_is_not_signed(store: MemoryStore, spec: ClusterSpec) -> None:
    assert apply(store, spec, None).ok
    assert StoredConfig.from_json(text(store, spec)).signature == ""


def test_a_node_without_the_key_cannot_replace_a_signed_one(store: MemoryStore, spec: ClusterSpec) -> None:
    apply(store, spec, KEY)
    done = apply(store, replace(spec, services=()), None)
    assert not done.ok and "there is none here" in done.refused[0]
    assert is_signed(store, spec)


@pytest.mark.parametrize("before", [None, OTHER])
def test_the_same_again_is_signed_if_it_was_not_with_this_key(
    store: MemoryStore, spec: ClusterSpec, before: bytes | None
) -> None:
    apply(store, spec, before)
    done = apply(store, spec, KEY)
    assert done.ok and done.signed and done.serial == 2
    assert "was not signed" in done.remarks[0]
    assert is_signed(store, spec)


def test_sign_signs_what_this_node_uses(store: MemoryStore, spec: ClusterSpec) -> None:
    apply(store, spec, None)
    before = StoredConfig.from_json(text(store, spec))
    done = sign(store, spec, digest(text(store, spec)))
    assert done.ok and done.signed and done.serial == 2
    assert is_signed(store, spec)
    assert StoredConfig.from_json(text(store, spec)).document == before.document
    again = sign(store, spec, "")
    assert again.ok and not again.signed


def test_sign_refuses_what_this_node_does_not_use(store: MemoryStore, spec: ClusterSpec) -> None:
    apply(store, spec, None)
    used = digest(text(store, spec))
    apply(store, replace(spec, services=()), None)
    done = sign(store, spec, used)
    assert not done.ok and "is not the one that this node uses" in done.refused[0]
    assert not is_signed(store, spec)


def put(store: MemoryStore, key: str, value: str) -> None:
    store.txn(Txn((), (Put(key, value),)), timeout_s=5)


def test_after_an_older_one_was_put_back_the_next_is_newer_than_all(store: MemoryStore, spec: ClusterSpec) -> None:
    """Nodes refuse what is older than what they used: also what is made out of that."""
    apply(store, spec, KEY)
    older = text(store, spec)
    apply(store, replace(spec, services=()), KEY)
    put(store, Keys.of(spec.name).config, older)
    done = apply(store, spec, KEY, used=2)  # the very content of the older one
    assert done.ok and done.serial == 3
    assert is_signed(store, spec)


def test_a_lost_configuration_is_followed_by_a_newer_one(store: MemoryStore, spec: ClusterSpec) -> None:
    keys = Keys.of(spec.name)
    for services in (spec.services, (), spec.services):
        apply(store, replace(spec, services=services), KEY)
    store.txn(Txn((), (Delete(keys.config),)), timeout_s=5)
    done = apply(store, spec, KEY)
    assert done.ok and done.serial == 4
    for kv in store.snapshot(keys.history, timeout_s=5).items:
        store.txn(Txn((), (Delete(kv.key), Delete(keys.config))), timeout_s=5)
    assert apply(store, spec, KEY, used=4).serial == 5


def test_a_forged_serial_does_not_use_all_of_them_up(store: MemoryStore, spec: ClusterSpec) -> None:
    keys, most = Keys.of(spec.name), (1 << 63) - 1
    apply(store, spec, KEY)
    forged = replace(StoredConfig.from_json(text(store, spec)), serial=most).to_json()
    put(store, keys.config, forged)
    assert apply(store, spec, KEY, used=1).serial == 2
    put(store, keys.config_history(most), forged)
    put(store, keys.config, "garbage")
    assert apply(store, spec, KEY, used=2).serial == 3
    assert is_signed(store, spec)


def test_a_configuration_begun_anew_is_newer_than_the_one_used_here(spec: ClusterSpec) -> None:
    """Else whatever was signed before could be put back: it has a higher serial."""
    document = StoredConfig.from_json(config.first_document(spec, by="root", key=KEY, used=7))
    assert document.serial == 8 and signed_by(document, spec.name, KEY)
