"""Unreadable keys in etcd: nothing stops for them, the status names them and the commands to type, and when they are
gone all is as before. The documents come from attacks on a running cluster."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hactl.lab.spec import SERVICE_VIP, VIP

from .status_document import has_warning
from .whole import EXCLUSIVE, Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]

# A daemon takes a second to start, and must be back before the lease lapses.
TIMING = {"lease": "6s"}

DEEP = "[" * 100_000
SESSION = {"sid": "a", "machine_id": "m", "boot_id": "b", "lease_ms": 3000, "attempt": 1}
OWNERSHIP = {"node": "n1", "sid": "a", "srev": 7, "epoch": 9, "state": "owned"}
FENCE = {**SESSION, "srev": 7, "deposed_rev": 7, "state": "safe"}

# Below the prefix; OWNER is the node that owns the group `service`.
TABLE = [
    ("nodes/", "x"), ("groups", "x"), ("nodes", "{}"), ("fence/", "{}"), ("members/", DEEP),
    ("nodes/zz", json.dumps({**SESSION, "lease_ms": "long"})), ("nodes/zz", json.dumps({**SESSION, "lease_ms": None})),
    ("nodes/zz", '{"sid":"a","machine_id":"m","boot_id":"b","lease_ms":NaN,"attempt":1}'),
    ("groups/service", json.dumps({**OWNERSHIP, "holders": 5})),
    ("groups/service", json.dumps({**OWNERSHIP, "srev": "7"})),
    ("groups/service", json.dumps({**OWNERSHIP, "epoch": "7"})), ("groups/service", ""),
    ("groups/nosuch", json.dumps({**OWNERSHIP, "holders": None})),
    ("fence/zz", json.dumps({**FENCE, "executor": 5})), ("fence/zz", json.dumps({**FENCE, "lease_ms": "x"})),
    ("fence/OWNER", "x"), ("fence/OTHER", '{"state": "safe"}'),
    ("intents/move/service", json.dumps({"id": "a", "to": ["n2"], "from_node": "n1", "from_srev": 3})),
    ("members/zz", DEEP), ("members/n2", json.dumps({"node": 5, "version": {}})), ("reports/OTHER", DEEP),
    ("nodes/OWNER", json.dumps({**SESSION, "attempt": "x"})), ("nodes/OWNER", "x"), ("nodes/OWNER", ""),
    ("nodes/OTHER", DEEP),
    ("identity", json.dumps({"uuid": 5, "generation": "x"})), ("identity", DEEP),
    ("config/backup", "x"), ("identity/backup", "{}"), ("identity/", "{}"),
    ("intents/standby", ""), ("intents/drain", "x"), ("intents/maintenance", ""), ("intents/fence-test/x", "{}"),
    ("failures/a/b/c", "{}"), ("failures/service/OWNER", DEEP), ("devices/OTHER", '{"targets": [1]}'),
    ("config", DEEP), ("config", json.dumps({"format": "2", "serial": 9, "document": {}})),
]  # fmt: skip


def _named(cluster: Cluster, node: str, key: str) -> bool:
    """Whether the node's status says that the key cannot be read, with a hint."""
    document = cluster.status(node)
    if key.endswith("/config"):
        return has_warning(document, "configuration in the store cannot be used")
    texts = [(warning["what"], warning["do"]) for warning in document["warnings"]]
    fixes = [fix for problem, fix in texts if key in problem and "cannot be read" in problem]
    return bool(fixes) and bool(fixes[0])


@pytest.fixture
def bad(cluster: Cluster) -> Iterator[Callable[[str, str], str]]:
    """Puts a text under a key below the prefix; the former value is put back in the end."""
    before: dict[str, Any] = {}

    def put(name: str, text: str) -> str:
        owner = cluster.owner("service")
        name = name.replace("OWNER", owner).replace("OTHER", cluster.others(owner)[0])
        key = cluster.store.keys.prefix + name
        before.setdefault(key, cluster.store.get(key))
        cluster.store.put(key, text)
        return key

    def back(key: str) -> None:
        was = before.pop(key)
        if was is not None and not key.startswith(cluster.store.keys.prefix + "nodes/"):
            cluster.store.put(key, was.value)
        elif was is None:
            cluster.store.delete_one(key)

    put.back = back  # type: ignore[attr-defined]
    yield put
    for key in list(before):
        back(key)


def test_nothing_stops_whatever_is_put(cluster: Cluster, bad: Any) -> None:
    cluster.bring("n1")
    pids = cluster.service_pids("n1")
    for name, text in TABLE:
        seen = {node: len(cluster.events(node, "document_unreadable")) for node in cluster.nodes}
        key = bad(name, text)
        own_session = key == cluster.store.keys.node("n1")
        if key.startswith((cluster.store.keys.node("n1"), cluster.store.keys.node("n2"))):
            node = key.rpartition("/")[2]
            cluster.until(
                lambda n=node, before=seen[node]: len(cluster.events(n, "document_unreadable")) > before,  # type: ignore[misc]
                f"{node} sees {key}",
            )
            cluster.await_live()  # written anew
        elif not key.startswith(cluster.store.keys.prefix + "reports/"):  # that is written anew at once
            for node in cluster.nodes:
                cluster.until(lambda node=node, key=key: _named(cluster, node, key), f"{node} names {key}")  # type: ignore[misc]
            assert key in cluster.hactl("n3", "status") or name == "config"
            cluster.await_renewals()
        assert cluster.service_pids("n1") == pids, (name, text[:40])
        assert [cluster.changes(address) for address in (VIP, SERVICE_VIP)] == [[], []], (name, text[:40])
        assert all(cluster.holders(group) == ["n1"] for group in EXCLUSIVE)
        if not own_session:
            bad.back(key)
    for name in cluster.nodes:
        cluster.until(lambda name=name: not cluster.status(name)["unreadable"], f"{name} reads everything")  # type: ignore[misc]
        assert cluster.events(name, "internal_error") == []
        assert len(cluster.events(name, "document_unreadable")) <= len(TABLE)
    cluster.await_all_running()
    cluster.move("service", "n2")
    cluster.await_running("service", ["n2"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nodes/zz", "x"), ("groups/service", "x"), ("groups", DEEP), ("fence/zz", "{}"), ("identity", "x"),
        ("config", DEEP), ("intents/standby", ""), ("config/backup", "x"), ("failures/service/OWNER", "[]"),
    ],
)  # fmt: skip
def test_a_daemon_that_is_killed_meanwhile_goes_on(cluster: Cluster, bad: Any, name: str, text: str) -> None:
    cluster.bring("n1")
    pids = cluster.service_pids("n1")
    key = bad(name, text)
    cluster.until(lambda: _named(cluster, "n1", key), "it is seen")
    before = cluster.node("n1").daemon_pid()
    cluster.node("n1").kill_daemon()
    cluster.until(lambda: cluster.node("n1").daemon_pid() not in (None, before), "the next daemon starts")
    cluster.until(lambda: _named(cluster, "n1", key), "it is said by the next one, too")
    cluster.await_renewals()
    assert cluster.service_pids("n1") == pids
    assert [cluster.changes(address) for address in (VIP, SERVICE_VIP)] == [[], []]
    bad.back(key)
    cluster.await_whole()
    assert cluster.service_pids("n1") == pids


def test_a_configuration_is_applied_over_one_that_cannot_be_read(cluster: Cluster) -> None:
    cluster.begin()
    cluster.store.put(cluster.store.keys.config, DEEP)
    cluster.until(lambda: _named(cluster, "n1", cluster.store.keys.config), "it is said")
    cluster.apply(cluster.base)
    cluster.await_live()
    assert not _named(cluster, "n1", cluster.store.keys.config)
    assert all(len(cluster.events(name, "config_unreadable")) == 1 for name in cluster.nodes)
