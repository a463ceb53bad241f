"""`hactl config apply` and `hactl config sign` with the cluster's key, and without it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from election.keys import Keys
from election.memory_store import MemoryStore
from election.records import Identity
from election.store import Put, Txn
from hactl.config import commands
from hactl.config.commands import AppliedResult
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


def apply(store: MemoryStore, spec: ClusterSpec, key: bytes | None) -> AppliedResult:
    return commands.apply(store, Keys.of(spec.name), spec, by="root", key=key)


def sign(store: MemoryStore, spec: ClusterSpec, used: str) -> AppliedResult:
    return commands.sign_in_use(store, Keys.of(spec.name), spec.name, used, by="root", key=KEY)


def text(store: MemoryStore, spec: ClusterSpec) -> str:
    found, _ = store.get(Keys.of(spec.name).config, timeout_s=5)
    assert found is not None
    return found.value


def is_signed(store: MemoryStore, spec: ClusterSpec, key: bytes = KEY) -> bool:
    return signed_by(StoredConfig.from_json(text(store, spec)), spec.name, key)


def test_with_a_key_what_is_applied_is_signed(store: MemoryStore, spec: ClusterSpec) -> None:
    assert apply(store, spec, KEY).ok
    assert is_signed(store, spec) and not is_signed(store, spec, OTHER)
    again = apply(store, spec, KEY)
    assert again.ok and not again.signed and again.serial == 1


def test_without_a_key_it_is_not_signed(store: MemoryStore, spec: ClusterSpec) -> None:
    assert apply(store, spec, None).ok
    assert StoredConfig.from_json(text(store, spec)).signature == ""


def test_who_has_no_key_cannot_replace_a_signed_one(store: MemoryStore, spec: ClusterSpec) -> None:
    apply(store, spec, KEY)
    done = apply(store, replace(spec, services=()), None)
    assert not done.ok and "there is none here" in done.refused[0]
    assert is_signed(store, spec)


@pytest.mark.parametrize("before", [None, OTHER])
def test_the_same_again_signs_what_was_not_signed_with_this_key(
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
