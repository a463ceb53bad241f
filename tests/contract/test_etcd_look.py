"""A look at real etcds: one that is whole, without a majority, full, separate."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from election.etcd.facts import EndpointFacts
from election.etcd.metrics_page import metrics_page
from election.etcd.server_metrics import parse
from election.etcd.store import EtcdStore
from election.etcd.tls import TlsFiles
from election.store import Put, Txn
from hactl.status.etcd.judge import Beside, EtcdState, judge
from tests.contract.watching import DEADLINE_S
from tests.support.etcd import EtcdCluster, as_debian_sets_it_up, frozen


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as held:
        yield held


def looked(stack: ExitStack, endpoints: list[str]) -> Callable[[], EtcdState]:
    store = EtcdStore(endpoints)
    stack.callback(store.close)
    return lambda: judge(store.look(1.0), Beside("etcdctl"))


def until(look: Callable[[], EtcdState], codes: list[str]) -> tuple[EndpointFacts, ...]:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        state = look()
        if [problem.code for problem in state.problems] == codes:
            return state.facts
        assert time.monotonic() < deadline, state


def test_whole_without_one_and_without_a_majority(stack: ExitStack) -> None:
    cluster = stack.enter_context(EtcdCluster(3))
    look = looked(stack, cluster.endpoints)
    facts = until(look, [])
    assert len({fact.member_id for fact in facts}) == 3 and {len(fact.members) for fact in facts} == {3}
    assert all(fact.read_ms is not None and fact.db_bytes and fact.version for fact in facts)
    with frozen(cluster.members[0]):
        assert [bool(fact.problem) for fact in until(look, ["endpoint_dead"])] == [True, False, False]
        with frozen(cluster.members[1]):
            until(look, ["no_majority"])
    until(look, [])


def test_full(stack: ExitStack) -> None:
    cluster = stack.enter_context(EtcdCluster())
    look = looked(stack, cluster.endpoints)
    member = int(cluster.ctl("member", "list").split(",")[0], 16)
    body = json.dumps({"action": "ACTIVATE", "memberID": str(member), "alarm": "NOSPACE"})
    url = f"http://{cluster.members[0].endpoint}/v3/maintenance/alarm"
    urllib.request.urlopen(url, body.encode(), timeout=DEADLINE_S).close()
    assert until(look, ["full", "few_members"])[0].alarms == ("NOSPACE",)


def test_etcds_that_are_not_one(stack: ExitStack) -> None:
    first, other = (stack.enter_context(EtcdCluster()) for _ in range(2))
    until(looked(stack, [*first.endpoints, *other.endpoints]), ["separate"])


def test_etcds_as_debian_sets_them_up_on_each_machine(stack: ExitStack) -> None:
    """Each is a cluster of one, with the same numbers as the others."""
    cluster = EtcdCluster(3)
    cluster.members = [as_debian_sets_it_up(cluster.directory, number) for number in (1, 2, 3)]
    stack.enter_context(cluster)
    facts = until(looked(stack, cluster.endpoints), ["separate"])
    assert len({(fact.cluster_id, fact.member_id) for fact in facts}) == 1
    until(looked(stack, cluster.endpoints[:1]), ["few_members"])


def test_a_member_that_has_never_started_and_then_is_a_learner(stack: ExitStack) -> None:
    cluster = stack.enter_context(EtcdCluster(arguments=["--strict-reconfig-check=false"]))
    member = cluster.added("later", learner=True)
    until(looked(stack, cluster.endpoints), ["few_members"])
    member.start()
    endpoints = [member.endpoint, *cluster.endpoints]
    facts = until(looked(stack, endpoints), ["few_members", "learner"])
    assert [(fact.learner, fact.read_ms is None) for fact in facts] == [(True, True), (False, False)]
    # It is passed over.
    store = EtcdStore(endpoints)
    stack.callback(store.close)
    assert store.txn(Txn((), (Put("/a", "b"),)), timeout_s=DEADLINE_S).succeeded
    assert store.get("/a", timeout_s=DEADLINE_S)[0] is not None
    member.stop()
    cluster.ctl("member", "remove", f"{facts[0].member_id:x}")
    cluster.added("never")
    until(looked(stack, cluster.endpoints), ["no_majority"])


@pytest.mark.parametrize("tls", [False, True])
def test_what_the_members_measure(stack: ExitStack, tls: bool) -> None:
    cluster = stack.enter_context(EtcdCluster(3, tls=tls, quota_bytes=64 << 20))
    files = TlsFiles()
    if cluster.certificates:
        made = cluster.certificates
        files = TlsFiles(str(made.ca), str(made.client_cert), str(made.client_key))
    cluster.ctl("put", "/a", "b")
    measured = parse(metrics_page(cluster.endpoints[0], files, DEADLINE_S))
    assert measured.quota_bytes == 64 << 20 and measured.fsync_quantile(0.99) is not None
    with pytest.raises(OSError, match="refused"):
        metrics_page("127.0.0.1:1", files, 1.0)
    if tls:
        with pytest.raises(OSError, match=r"(?i)ssl|reset|pipe"):  # it wants a certificate of the asker's, too
            metrics_page(cluster.endpoints[0], files._replace(cert="", key=""), DEADLINE_S)
