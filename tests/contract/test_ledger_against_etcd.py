"""Random transactions on the ledger and on a real etcd: the same answers, revisions, keys and changes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from election.etcd.store import EtcdStore
from election.memory_store import MemoryLedger
from election.store import Compare, Delete, Get, Operation, Put, SameValue, StoreRefusedError, Txn, TxnResult
from tests.contract.watching import Collector
from tests.support.etcd import EtcdCluster

T = 10.0
NAMES = ("a", "a/b", "b", "ä")
_numbers = itertools.count()


class Condition(NamedTuple):
    """A compare, whose revision is known only when it is sent: that of the key at that time, plus `off`; or whose value
    is (`off` 0) or is not the one that the key has."""

    name: str
    target: str
    off: int
    absent: bool


class Step(NamedTuple):
    """A transaction to be."""

    conditions: tuple[Condition, ...]
    success: tuple[Operation, ...]
    failure: tuple[Operation, ...]


names = st.sampled_from(NAMES)
operations = st.lists(
    st.one_of(st.builds(Put, names, st.sampled_from(("", "x", "ü"))), st.builds(Get, names), st.builds(Delete, names)),
    max_size=4,
).map(tuple)
conditions = st.lists(
    st.builds(
        Condition,
        names,
        st.sampled_from(("create", "mod", "value")),
        st.sampled_from((0, 0, 0, -1, 1)),
        st.sampled_from((False, False, False, True)),
    ),
    max_size=2,
).map(tuple)
steps = st.lists(st.builds(Step, conditions, operations, operations), min_size=1, max_size=20)


@pytest.fixture(scope="module")
def store(etcd: EtcdCluster) -> Iterator[EtcdStore]:
    """A store on the shared etcd."""
    opened = EtcdStore(etcd.endpoints)
    yield opened
    opened.close()


def transaction(step: Step, prefix: str, ledger: MemoryLedger) -> Txn:
    """The transaction of a step, at this state."""

    def compare(condition: Condition) -> Compare | SameValue:
        key = prefix + condition.name
        kv = ledger.get(key)
        if condition.target == "value":
            return SameValue(key, (kv.value if kv is not None else "") + "y" * abs(condition.off))
        known = 0 if kv is None else kv.create_revision if condition.target == "create" else kv.mod_revision
        revision = 0 if condition.absent else max(0, known + condition.off)
        return Compare(key, condition.target, revision)  # type: ignore[arg-type]

    def placed(branch: tuple[Operation, ...]) -> tuple[Operation, ...]:
        return tuple(operation._replace(key=prefix + operation.key) for operation in branch)

    return Txn(tuple(map(compare, step.conditions)), placed(step.success), placed(step.failure))


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_same_answers_revisions_and_changes(store: EtcdStore, steps: list[Step]) -> None:
    prefix = f"/random/{next(_numbers)}/"
    ledger = MemoryLedger()
    ledger.revision = base = store.get("x", timeout_s=T)[1]
    live, late = Collector(), Collector()
    watches = [store.watch(prefix, base + 1, live)]
    try:
        for step in steps:
            txn = transaction(step, prefix, ledger)
            expected: TxnResult | None
            try:
                expected = ledger.apply(txn)
            except StoreRefusedError:
                expected = None
            try:
                assert store.txn(txn, timeout_s=T) == expected
            except StoreRefusedError:
                assert expected is None
        assert store.snapshot(prefix, timeout_s=T) == ledger.snapshot(prefix)
        changes = ledger.changes_since(prefix, base + 1).changes
        if changes:
            watches.append(store.watch(prefix, base + 1, late))
            assert tuple(live.until(changes[-1].kv.mod_revision)) == changes
            assert tuple(late.until(changes[-1].kv.mod_revision)) == changes
    finally:
        for watch in watches:
            watch.cancel()
