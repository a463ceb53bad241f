"""What is stored: the document and back, differences, what is refused while groups run, apply on a store."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from election.keys import Keys
from election.memory_store import MemoryStore
from election.records import Identity, Ownership
from election.store import Delete, Put, StoreTimeoutError, Txn, TxnResult
from hactl.admin import config
from hactl.admin.config import AppliedResult
from hactl.config.diff import diff, refusals
from hactl.config.document import document, parse_document, read_stored
from hactl.config.errors import ConfigErrors
from hactl.config.load import load_cluster
from hactl.config.stored import StoredConfig
from hactl.model.cluster import ClusterSpec
from tests.support.specs import resource_spec

EXAMPLE = Path(__file__).parents[3] / "deploy" / "examples" / "cluster.yaml"

KEYS = Keys.of("demo")


@pytest.fixture(scope="module")
def spec() -> ClusterSpec:
    return load_cluster(EXAMPLE)


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    put(made, KEYS.identity, Identity("u", 1).to_json())
    return made


def put(store: MemoryStore, key: str, value: str) -> None:
    store.txn(Txn((), (Put(key, value),)), timeout_s=5)


def own(store: MemoryStore, group: str, state: str) -> None:
    put(store, KEYS.group(group), Ownership("n1", "s", 1, 1, state).to_json())  # type: ignore[arg-type]


def without(spec: ClusterSpec, group: str) -> ClusterSpec:
    return replace(spec, groups=tuple(kept for kept in spec.groups if kept.name != group))


def with_group(spec: ClusterSpec, name: str, **changes: object) -> ClusterSpec:
    groups = tuple(replace(group, **changes) if group.name == name else group for group in spec.groups)  # type: ignore[arg-type]
    return replace(spec, groups=groups)


def moved(spec: ClusterSpec) -> ClusterSpec:
    """The database's address goes to the group of the VIP."""
    vip, database = spec.groups[:2]
    taken, *others = database.resources
    changed = with_group(spec, "database", resources=tuple(others))
    return with_group(changed, "vip", resources=(*vip.resources, structs.replace(taken, name="other")))


def test_document_and_back(spec: ClusterSpec) -> None:
    assert parse_document(document(spec)) == spec
    changed = replace(spec, timing=replace(spec.timing, lease_ms=4000.5))
    assert parse_document(document(changed)).timing.lease_ms == 4000.5


def test_defaults_are_written_out_but_for_those_of_services(spec: ClusterSpec) -> None:
    data = json.loads(document(spec))
    assert data["timing"]["heartbeat"] == "250ms"
    assert data["groups"][0]["failure_expiry"] == "1m"
    assert data["services"][1].keys() & {"balance", "retries", "log", "kind"} == {"balance"}


def test_keys_of_a_later_version_are_ignored_and_named(spec: ClusterSpec) -> None:
    data = json.loads(document(spec))
    data["weather"] = 1
    data["groups"][1]["resources"][0]["vip"]["routes"] = []
    stored = read_stored(StoredConfig(7, data, "me", "now").to_json())
    assert (stored.spec, stored.serial) == (spec, 7)
    assert set(stored.ignored) == {"weather", "groups[1].resources[0].vip.routes"}


def test_a_later_format_and_an_impossible_one_are_refused(spec: ClusterSpec) -> None:
    data = json.loads(document(spec))
    with pytest.raises(ConfigErrors, match="has format 2, and this version"):
        read_stored(StoredConfig(1, data, format=2).to_json())
    with pytest.raises(ConfigErrors, match="is not JSON"):
        read_stored("{")
    data["groups"][0]["fencing"] = "device"
    with pytest.raises(ConfigErrors, match=r"config: groups\[0\]\.fencing: is \"device\"; allowed: lease, required"):
        read_stored(StoredConfig(1, data).to_json())


def test_rules_between_parts_may_have_been_others(spec: ClusterSpec) -> None:
    data = json.loads(document(spec))
    data["timing"]["lease"] = "1s"
    text = StoredConfig(1, data).to_json()
    assert read_stored(text, checked=False).spec.timing.lease_ms == 1000
    with pytest.raises(ConfigErrors, match="lease 1s"):
        read_stored(text)


def test_diff(spec: ClusterSpec) -> None:
    assert diff(spec, spec) == []
    assert diff(spec, parse_document(document(spec))) == []
    new = replace(with_group(without(spec, "agent"), "vip", overlap=False), timing=replace(spec.timing, lease_ms=5000))
    new = replace(new, nodes=(spec.nodes[1], spec.nodes[0], *spec.nodes[2:]))
    assert [str(change) for change in diff(spec, new)] == [
        "~ nodes: [n1, n2, n3] -> [n2, n1, n3]",
        "~ groups.vip.overlap: true -> false",
        "- groups.agent",
        "~ timing.lease_ms: 3.75s -> 5s",
    ]
    assert [str(change) for change in diff(without(spec, "agent"), spec)] == ["+ groups.agent"]


@pytest.mark.parametrize("state", ["owned", "handoff", "unmanaged"])
def test_a_group_that_is_not_released_stays(spec: ClusterSpec, state: str) -> None:
    (refused,) = refusals(spec, without(spec, "agent"), {"agent": state, "vip": "owned"})
    assert f"group `agent` is {state}, not released, and it is deleted" in refused
    assert "enabled: false" in refused


def test_a_released_group_and_one_never_owned_may_go(spec: ClusterSpec) -> None:
    assert refusals(spec, without(spec, "agent"), {"agent": "released"}) == []
    assert refusals(spec, without(spec, "agent"), {}) == []


def test_a_resource_moves_only_out_of_a_released_group(spec: ClusterSpec) -> None:
    (refused,) = refusals(spec, moved(spec), {"database": "owned", "vip": "released"})
    assert "group `database` is owned" in refused
    assert "`10.0.0.31` moves to group `vip`" in refused
    assert refusals(spec, moved(spec), {"database": "released", "vip": "owned"}) == []


def test_a_name_that_both_groups_had_is_no_move(spec: ClusterSpec) -> None:
    volume = resource_spec("volume", "exec", {"command": ["/bin/x"]})
    both = with_group(with_group(spec, "vip", resources=(volume,)), "agent", resources=(volume, volume))
    renamed = with_group(both, "vip", resources=(structs.replace(volume, name="w"),))
    assert refusals(both, renamed, {"vip": "owned", "agent": "owned"}) == []


def test_required_becomes_lease_only_when_released(spec: ClusterSpec) -> None:
    required = with_group(spec, "agent", fencing="required")
    assert "from `fencing: required` to `lease`" in refusals(required, spec, {"agent": "owned"})[0]
    assert refusals(spec, required, {"agent": "owned"}) == []


def apply(store: MemoryStore, spec: ClusterSpec, **options: int) -> AppliedResult:
    return config.apply(store, KEYS, spec, by="root", **options)


def stored_serial(store: MemoryStore) -> int:
    stored, _ = store.get(KEYS.config, timeout_s=5)
    return read_stored(stored.value).serial if stored else 0


def test_apply(store: MemoryStore, spec: ClusterSpec) -> None:
    first = apply(store, spec, expect_revision=0)
    assert first == AppliedResult((), 1, first.revision)
    second = apply(store, with_group(spec, "vip", overlap=False), expect_revision=first.revision)
    assert (second.ok, second.serial, [str(change) for change in second.changes]) == (
        True,
        2,
        ["~ groups.vip.overlap: true -> false"],
    )
    stored, _ = store.get(KEYS.config, timeout_s=5)
    assert stored is not None
    assert stored.mod_revision == second.revision
    history = [kv.key for kv in store.snapshot(KEYS.history + "config/", timeout_s=5).items]
    assert history == [KEYS.config_history(1), KEYS.config_history(2)]
    assert apply(store, with_group(spec, "vip", overlap=False)) == AppliedResult((), 2, second.revision)


def test_apply_keeps_a_bounded_history(store: MemoryStore, spec: ClusterSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "HISTORY", 2)
    for restarts in range(4):
        assert apply(store, with_group(spec, "vip", restarts=restarts)).ok
    history = [kv.key for kv in store.snapshot(KEYS.history + "config/", timeout_s=5).items]
    assert history == [KEYS.config_history(3), KEYS.config_history(4)]


@pytest.mark.parametrize(
    "text", ["", "x", "[" * 100_000, '{"format": "2"}', '{"serial": 9, "document": {}}', "\udcff"], ids=range(6)
)
def test_apply_over_an_unreadable_configuration(store: MemoryStore, spec: ClusterSpec, text: str) -> None:
    """The serial goes on from the history's newest; what must be released before it goes still must be."""
    assert config.apply(store, KEYS, spec, by="test").serial == 1
    own(store, "database", "owned")
    put(store, KEYS.config, text)
    refused = config.apply(store, KEYS, without(spec, "database"), by="test")
    assert not refused.ok and "database" in refused.refused[0]
    done = config.apply(store, KEYS, spec, by="test")
    assert (done.ok, done.serial) == (True, 2)
    stored, _ = store.get(KEYS.config, timeout_s=5)
    assert stored is not None and read_stored(stored.value).spec == spec


def test_apply_leaves_a_later_format_alone(store: MemoryStore, spec: ClusterSpec) -> None:
    config.apply(store, KEYS, spec, by="test")
    put(store, KEYS.config, json.dumps({"format": 99, "serial": 5, "document": {}}))
    assert "upgrade hactl" in config.apply(store, KEYS, spec, by="test").refused[0]


def test_apply_refuses(store: MemoryStore, spec: ClusterSpec) -> None:
    assert "file is of cluster `x`" in apply(store, replace(spec, name="x")).refused[0]
    assert "has revision 0, not 5" in apply(store, spec, expect_revision=5).refused[0]
    store.txn(Txn((), (Delete(KEYS.identity),)), timeout_s=5)
    assert "hactl init" in apply(store, spec).refused[0]
    assert stored_serial(store) == 0


def test_apply_refuses_to_delete_a_running_group(store: MemoryStore, spec: ClusterSpec) -> None:
    apply(store, spec)
    own(store, "agent", "owned")
    refused = apply(store, without(spec, "agent"))
    assert "group `agent` is owned" in refused.refused[0]
    assert [str(change) for change in refused.changes] == ["- groups.agent"]
    assert stored_serial(store) == 1
    own(store, "agent", "released")
    assert apply(store, without(spec, "agent")).ok
    assert stored_serial(store) == 2


class Between(MemoryStore):
    """Calls `before` before each transaction that writes, and `after` behind it."""

    before: Callable[[], None] = staticmethod(lambda: None)
    after: Callable[[], None] = staticmethod(lambda: None)

    def txn(self, txn: Txn, *, timeout_s: float) -> TxnResult:
        writes = any(isinstance(operation, Put) for operation in txn.success) and bool(txn.compares)
        if writes:
            self.before()
        answer = super().txn(txn, timeout_s=timeout_s)
        if writes:
            self.after()
        return answer


@pytest.mark.parametrize("changed", ["identity", "config", "group"])
def test_apply_holds_only_on_what_was_read(spec: ClusterSpec, changed: str) -> None:
    store = Between()
    put(store, KEYS.identity, Identity("u", 1).to_json())
    assert apply(store, spec).ok
    own(store, "agent", "released")

    def interfere() -> None:
        if changed == "identity":
            store.txn(Txn((), (Delete(KEYS.identity),)), timeout_s=5)
            put(store, KEYS.identity, Identity("v", 2).to_json())
        elif changed == "config":
            put(store, KEYS.config, StoredConfig(9, json.loads(document(spec))).to_json())
        else:
            own(store, "agent", "owned")

    store.before = interfere
    assert apply(store, without(spec, "agent")).refused == (
        "the configuration or a group changed meanwhile: apply again",
    )
    assert stored_serial(store) == (9 if changed == "config" else 1)


def test_apply_whose_answer_is_lost(spec: ClusterSpec) -> None:
    store = Between()
    put(store, KEYS.identity, Identity("u", 1).to_json())

    def lose() -> None:
        raise StoreTimeoutError("no answer")

    store.after = lose
    assert apply(store, spec).ok
    assert stored_serial(store) == 1
    store.before = lose
    with pytest.raises(StoreTimeoutError):
        apply(store, without(spec, "agent"))
    assert stored_serial(store) == 1
