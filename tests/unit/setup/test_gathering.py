"""Whether the members are one cluster, from what their endpoints say."""

from __future__ import annotations

from typing import Any

from election.etcd.facts import EndpointFacts, EtcdMember
from hactl.setup.gathering import Gathering, gathered
from hactl.setup.plan import Host
from tests.support.bundles import N1, N2, N3

HOSTS = (N1, N2, N3)
MEMBERS = tuple(EtcdMember(number, host.name, (host.url(2379),)) for number, host in enumerate(HOSTS, 1))


def facts(host: Host, number: int, **changes: Any) -> EndpointFacts:
    whole = EndpointFacts(host.url(2379), cluster_id=7, member_id=number, leader_id=1, members=MEMBERS)
    return whole._replace(**changes)


def judged(**changes: Any) -> Gathering:
    """`changes`: of n3's."""
    return gathered(HOSTS, [facts(N1, 1), facts(N2, 2), facts(N3, 3, **changes)], {})


def test_one_cluster() -> None:
    assert judged().complete


def test_a_member_that_is_not_there() -> None:
    away = EndpointFacts(N3.url(2379), problem="refused")
    seen = [facts(N1, 1), facts(N2, 2), away]
    assert gathered(HOSTS, seen, {"n3": "refuses"}).missing == {"n3": "has not joined yet"}
    assert gathered(HOSTS, seen, {"n3": "accepts"}).missing == {"n3": "etcd begins, and waits for the others"}
    assert "10.0.0.13 does not answer at port 2380: is that its address" in gathered(HOSTS, seen, {}).missing["n3"]


def test_no_leader_yet() -> None:
    assert judged(leader_id=0).missing == {"n3": "etcd runs, and has no majority yet"}


def test_separate_clusters() -> None:
    assert "different clusters (n1: 7, n2: 7, n3: 8)" in judged(cluster_id=8).wrong


def test_one_etcd_at_two_addresses() -> None:
    assert "one etcd answers at the addresses of two machines" in judged(member_id=1).wrong


def test_members_that_nobody_planned() -> None:
    other = EtcdMember(9, "stranger", ("https://10.0.0.99:2379",))
    assert "other members than the plan: stranger" in judged(members=(*MEMBERS, other)).wrong
    assert "other members than the plan" in judged(members=(*MEMBERS, EtcdMember(9, ""))).wrong


def test_a_learner() -> None:
    assert "n3 is a learner" in judged(members=(*MEMBERS[:2], MEMBERS[2]._replace(learner=True))).wrong
