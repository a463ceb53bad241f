"""What is noted of etcd."""

from __future__ import annotations

import asyncio
from typing import Any

from election.etcd.facts import EndpointFacts, EtcdMember
from election.memory_store import MemoryStore
from hactl.config.node import NodeConfig
from hactl.daemon.observe.etcd import EtcdObserver
from hactl.daemon.observe.etcd_metrics import EtcdMetrics
from hactl.model.cluster import ClusterSpec
from tests.support.scene import spec

WELL = EndpointFacts("10.0.0.1:2379", "", 1, 2, 2, "3.5.9", 100, read_ms=1.0)
FULL = WELL._replace(alarms=("NOSPACE",))
details: list[dict[str, Any]] = []


class Etcd(MemoryStore):
    """What each look finds."""

    def __init__(self, *looks: EndpointFacts) -> None:
        super().__init__()
        self.to_come = list(looks)

    def look(self, timeout_s: float) -> tuple[EndpointFacts, ...]:
        return (self.to_come.pop(0),)


def observed(
    *looks: EndpointFacts, page: str = "", cluster: ClusterSpec | None = None
) -> tuple[EtcdObserver, list[tuple[str, str]]]:
    notes: list[tuple[str, str]] = []
    details.clear()

    def note(event: str, data: dict[str, Any]) -> None:
        notes.append((event, data["problem"]))
        details.append(data)

    etcd = Etcd(*looks)
    config = NodeConfig(cluster="demo", node="n2", endpoints=("10.0.0.1:2379",))
    observer = EtcdObserver(config, etcd, note, EtcdMetrics(config, lambda *_: page))

    async def every() -> None:
        while etcd.to_come:
            await observer.look(cluster)

    asyncio.run(every())
    return observer, notes


def test_what_is_seen_twice_is_noted_once_and_its_end() -> None:
    observer, notes = observed(WELL, FULL, WELL, FULL, FULL, FULL, WELL, WELL)
    assert notes == [("etcd_unusable", "full"), ("etcd_recovered", "full")]
    assert observer.document()["problems"] == [] and observer.document()["etcdctl"].startswith(
        "etcdctl --endpoints=http"
    )


def test_what_only_weakens_it_is_no_error() -> None:
    large = WELL._replace(db_bytes=90, quota_bytes=100)
    _, notes = observed(large, large, large, FULL, FULL, WELL)
    assert notes == [
        ("etcd_weakened", "nearly_full"),
        ("etcd_recovered", "nearly_full"),
        ("etcd_unusable", "full"),
        ("etcd_recovered", "full"),
    ]


def test_writes_without_an_answer_make_it_slow() -> None:
    observer, _ = observed()
    for outcome in ("ok", "unknown", "unknown", "conflict"):
        observer.observe_txn(outcome)
    assert observer._recent_writes() == (4, 2)


def test_the_quota_is_that_of_the_members_own_page() -> None:
    """etcd before 3.6 states it nowhere else."""
    page = "etcd_server_quota_backend_bytes 120\n"
    observer, notes = observed(WELL, WELL, page=page)
    assert notes == [("etcd_weakened", "nearly_full")]
    assert observer.document()["endpoints"][0]["quota_bytes"] == 120
    assert observed(WELL, WELL)[1] == []


def test_what_etcd_is_made_of_is_told_once_a_start() -> None:
    members = (EtcdMember(2, "n1", ("http://10.0.0.1:2379",)),)
    looks = [WELL._replace(members=members)] * 3
    assert observed(*looks)[1] == [("etcd_weakened", "few_members")]
    _, notes = observed(*looks, cluster=spec())
    assert notes == [("etcd_checked", "few_members"), ("etcd_weakened", "few_members")]
    assert details[0] == {"members": "n1", "leader": "n1", "versions": "3.5.9", "problem": "few_members"}
