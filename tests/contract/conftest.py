"""The stores under test: in memory, and on a real etcd."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from election.etcd.store import EtcdStore
from election.memory_store import MemoryStore
from election.store import Store
from tests.support.etcd import EtcdCluster


class Subject:
    """A store under test, a prefix of the test's own, and the means to act behind the store's back."""

    def __init__(self, store: Store, etcd: EtcdCluster | None) -> None:
        self.store = store
        self.prefix = f"/test/{uuid.uuid4().hex}/"
        self._etcd = etcd

    def key(self, name: str) -> str:
        """A key below the prefix."""
        return self.prefix + name

    def compact(self, revision: int) -> None:
        """Forget the history up to `revision`."""
        if self._etcd is not None:
            self._etcd.compact(revision)
        else:
            assert isinstance(self.store, MemoryStore)
            with self.store.locked() as ledger:
                ledger.compact(revision)


@pytest.fixture(scope="session")
def etcd() -> Iterator[EtcdCluster]:
    """One etcd for all tests that do it no harm."""
    with EtcdCluster() as cluster:
        yield cluster


@pytest.fixture(params=["memory", "etcd"])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """Each store in turn."""
    cluster = request.getfixturevalue("etcd") if request.param == "etcd" else None
    store: Store = MemoryStore() if cluster is None else EtcdStore(cluster.endpoints)
    try:
        yield Subject(store, cluster)
    finally:
        store.close()
