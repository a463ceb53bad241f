"""What is said of etcd, from what its endpoints say."""

from __future__ import annotations

from typing import Any

import pytest

from election.etcd.facts import EndpointFacts, EtcdMember
from election.etcd.server_metrics import ServerMetrics, parse
from hactl.status.etcd.command import etcdctl_command
from hactl.status.etcd.judge import Beside, SnapshotAge, judge
from hactl.status.etcd.membership import wanted_members
from hactl.status.etcd.overview import rows
from hactl.status.etcd.problems import PROBLEMS
from hactl.status.etcd.strain import DEFAULT_QUOTA, Writes

ENDPOINTS = ("10.0.0.1:2379", "10.0.0.2:2379", "10.0.0.3:2379")
ETCDCTL = etcdctl_command(ENDPOINTS, ca="", cert="", key="", user="")
MEMBERS = tuple(
    EtcdMember(0xA1 + index, f"n{index + 1}", (f"http://{endpoint}",), False, (f"http://10.0.0.{index + 1}:2380",))
    for index, endpoint in enumerate(ENDPOINTS)
)
WELL = tuple(
    EndpointFacts(endpoint, "", 0xC1, member.id, 0xA1, "3.5.9", 1 << 20, members=MEMBERS, read_ms=2.0)
    for endpoint, member in zip(ENDPOINTS, MEMBERS, strict=True)
)
NODES = {"n1": "10.0.0.1", "n2": "10.0.0.2", "n3": "10.0.0.3"}
LARGE = int(0.9 * DEFAULT_QUOTA)


def silent(facts: EndpointFacts, why: str = "no answer within the deadline") -> EndpointFacts:
    return EndpointFacts(facts.endpoint, f"{facts.endpoint}: {why}")


def lost(facts: EndpointFacts) -> EndpointFacts:
    return facts._replace(leader_id=0, read_ms=None)


# As Debian sets it up on each machine: the same numbers, and each knows only its own address.
SEPARATE = [
    EndpointFacts(fact.endpoint, "", 0xC1, 0xA1, 0xA1, "3.4.23", members=(member._replace(id=0xA1),), read_ms=2.0)
    for fact, member in zip(WELL, MEMBERS, strict=True)
]
TWICE = WELL[0]._replace(endpoint="127.0.0.1:2379")
_BOTH = tuple(
    member._replace(urls=(*member.urls, "http://127.0.0.1:2379")) if member.name == "n1" else member
    for member in MEMBERS
)
ADVERTISED = [fact._replace(members=_BOTH) for fact in (*WELL, TWICE)]


def named(facts: EndpointFacts) -> EndpointFacts:
    """The endpoint called by a name in node.toml, and by its number by the members."""
    return facts._replace(endpoint=f"etcd-{facts.endpoint}")


def said(*facts: EndpointFacts, **beside: Any) -> list[str]:
    problems = judge(facts, Beside(ETCDCTL, **{"nodes": NODES, **beside})).problems
    return [f"{problem.code}: {problem.text} -> {problem.todo}" for problem in problems]


def test_nothing_when_all_is_well() -> None:
    assert said(*WELL) == [] and said(*WELL, writes=Writes(40, 1)) == [] and judge((), Beside("x")).document()


@pytest.mark.parametrize(
    ("facts", "codes", "words"),
    [
        ([silent(each) for each in WELL], ["unreachable"], ["10.0.0.2:2379: no answer", "endpoint health"]),
        ([silent(WELL[0], "speaks no TLS: is it http?")], ["unreachable"], ["compare `endpoints`, `etcd_ca`, `etcd_c"]),
        ([silent(WELL[0], "it broke off the handshake")], ["unreachable"], ["compare `endpoints`, `etcd_ca`, `etcd_c"]),
        ([WELL[0], WELL[1], silent(WELL[2])], ["endpoint_dead"], ["10.0.0.3:2379: no answer", "2 of 3", "no further"]),
        ([lost(WELL[0]), silent(WELL[1]), silent(WELL[2])], ["no_majority"], ["1 of 3", "(n1), 2 are", "on n2, n3"]),
        ([lost(each) for each in WELL], ["no_majority"], ["no leader, though 3 of 3", "port 2380"]),
        ([each._replace(alarms=("NOSPACE",)) for each in WELL], ["full"],
         ["alarm NOSPACE", "`hactl etcd defrag`"]),
        ([WELL[0], WELL[1]._replace(alarms=("CORRUPT",)), WELL[2]], ["corrupt"], ["alarm CORRUPT"]),
        ([WELL[0], WELL[1]._replace(cluster_id=0xC2), WELL[2]], ["separate"], ["different etcds", "is of cluster c2"]),
        ([WELL[0], WELL[1]._replace(member_id=0xA1), WELL[2]], ["separate"], ["10.0.0.1:2379 and 10.0.0.2", "(a1)"]),
        (SEPARATE, ["separate"], ["10.0.0.1:2379 and 10.0.0.2:2379 and 10.0.0.3:2379 say that they are one", "(a1)"]),
        ([WELL[0], WELL[1], WELL[2], TWICE], ["separate"], ["10.0.0.1:2379 and 127.0.0.1:2379"]),
        (ADVERTISED, ["endpoint_twice"], ["10.0.0.1:2379 and 127.0.0.1:2379 are one and the same"]),
        ([WELL[0], WELL[1]._replace(read_ms=None), WELL[2]], ["slow"], ["reads at 10.0.0.2:2379", "member n1 (10."]),
        ([each._replace(db_bytes=LARGE) for each in WELL], ["nearly_full"],
         ["1843 MiB of its quota of 2048", "unless"]),
        ([each._replace(db_bytes=90, quota_bytes=100) for each in WELL], ["nearly_full"], ["its quota of 0 MiB"]),
        ([each._replace(db_bytes=90, quota_bytes=1000) for each in WELL], [], []),
        ([each._replace(members=MEMBERS[:2]) for each in WELL[:2]], ["few_members"],
         ["etcd has 2 members for 3 nodes: when either stops", "member add n3 --peer-urls=http://10.0.0.3:2380`"]),
        ([WELL[0]._replace(members=MEMBERS[:1])], ["few_members"],
         ["etcd has 1 member for 3 nodes: when it", "add a member on n2, n3: first see", "`hactl node add n2 --etcd`"]),
        ([WELL[0], WELL[1]], ["unnamed_member"], ["names etcd's member n3 (http://10.0.0.3:2379)", 'add "http://10.']),
        ([*WELL, silent(WELL[0]._replace(endpoint="10.0.0.9:2379"))], ["no_member"], ["endpoint 10.0.0.9:2379: no"]),
        ([*(named(each) for each in WELL[:2]), silent(named(WELL[2]))], ["endpoint_dead"], ["etcd-10.0.0.3:2379"]),
        ([WELL[0], WELL[1]._replace(version="3.4.23"), WELL[2]], ["versions_differ"], ["n1 3.5.9, n2 3.4.23, n3 3"]),
        ([each._replace(version="3.3.25") for each in WELL], ["too_old"], ["10.0.0.1:2379 (3.3.25)", "3.4 or later"]),
        ([lost(WELL[0])._replace(members=MEMBERS[:2]), silent(WELL[1])], ["no_majority"], ["1 of 2 members"]),
        ([WELL[0]._replace(members=()), silent(WELL[1]), WELL[2]._replace(members=())], ["endpoint_dead"], ["2 of 3"]),
    ],
)  # fmt: skip
def test_what_is_wrong_and_what_to_type(facts: list[EndpointFacts], codes: list[str], words: list[str]) -> None:
    problems = said(*facts)
    assert [each.partition(":")[0] for each in problems] == codes
    for word in words:
        assert word in problems[0], problems[0]


def test_an_etcd_that_setup_made_is_changed_by_hactl() -> None:
    (problem,) = said(*(each._replace(members=MEMBERS[:2]) for each in WELL[:2]), by_setup=True)
    assert problem.endswith("-> `hactl node add n3 --etcd`, on the machine where `hactl setup` ran")


def test_slow_names_the_leader_and_how_to_move_it() -> None:
    (problem,) = said(*WELL, writes=Writes(8, 6))
    assert "6 of 8 writes" in problem and "member n1 (10.0.0.1:2379) leads" in problem
    assert "`etcdctl --endpoints=http://10.0.0.1:2379 move-leader a2`" in problem
    assert said(*WELL, writes=Writes(2, 2)) == []
    # What is worse explains it.
    full = [fact._replace(alarms=("NOSPACE",)) for fact in WELL]
    assert len(said(*full, writes=Writes(8, 8))) == 1


def test_the_worst_comes_first_and_each_has_a_level() -> None:
    facts = [each._replace(alarms=("NOSPACE",)) for each in WELL[:2]] + [silent(WELL[2])]
    state = judge(facts, Beside(ETCDCTL))
    assert [problem.code for problem in state.problems] == ["full", "endpoint_dead"]
    assert [each["level"] for each in state.document()["problems"]] == ["error", "warning"]
    assert set(PROBLEMS.values()) == {"error", "warning", "notice"}


def test_a_learner_is_no_member_that_counts() -> None:
    members = (*MEMBERS[:1], MEMBERS[1]._replace(learner=True))
    assert "etcd has 1 member for 3 nodes" in said(WELL[0]._replace(members=members))[0]


def test_as_many_members_as_nodes() -> None:
    """An odd number of them: a fourth would survive no more than three do."""
    assert [wanted_members(nodes) for nodes in range(1, 9)] == [3, 3, 3, 3, 5, 5, 5, 5]
    five = {f"n{number}": f"10.0.0.{number}" for number in range(1, 6)}
    (problem,) = said(*WELL, nodes=five)
    assert problem.startswith("few_members: etcd has 3 members for 5 nodes: when 2 of them stop, no node can hold")
    assert "add a member on n4, n5: `" in problem and "member add n4 --peer-urls=http://10.0.0.4:2380`" in problem
    # Two nodes and a witness; one machine, where nothing is lost with etcd that is not lost with it.
    assert said(*WELL, nodes={"n1": "10.0.0.1", "n2": "10.0.0.2"}) == []
    alone = judge([WELL[0]._replace(members=MEMBERS[:1])], Beside(ETCDCTL, nodes={"n1": "10.0.0.1"})).problems
    assert [(problem.code, problem.level) for problem in alone] == [("one_member", "notice")]
    # As Debian sets it up: the others could not reach it.
    debian = EtcdMember(0x8E9E, "n1", ("http://10.0.0.1:2379",), False, ("http://localhost:2380",))
    (few,) = said(WELL[0]._replace(members=(debian,), member_id=0x8E9E, leader_id=0x8E9E))
    assert f"at http://localhost:2380, so `{ETCDCTL} member update 8e9e --peer-urls=http://10.0.0.1:2380`" in few
    # Nobody knows the nodes yet.
    assert "etcd has 1 member: when it stops" in said(WELL[0]._replace(members=MEMBERS[:1]), nodes={})[0]


PAGE = """\
# TYPE etcd_disk_wal_fsync_duration_seconds histogram
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.002"} 50
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.128"} 500
etcd_disk_wal_fsync_duration_seconds_bucket{le="8.192"} 590
etcd_disk_wal_fsync_duration_seconds_bucket{le="+Inf"} 600
etcd_disk_wal_fsync_duration_seconds_sum 4.5
etcd_network_peer_round_trip_time_seconds_sum{To="a2"} 3.0
etcd_network_peer_round_trip_time_seconds_count{To="a2"} 10
etcd_network_peer_round_trip_time_seconds_bucket{To="a2",le="0.1"} 10
etcd_server_quota_backend_bytes 4.294967296e+09
etcd_disk_wal_fsync_duration_seconds_bucket{le="odd"} garbage
"""


def test_what_a_member_measures() -> None:
    now = parse(PAGE)
    assert now.quota_bytes == 4 << 30 and now.mean_round_trips() == {"a2": 0.3}
    assert (now.fsync_quantile(0.05), now.fsync_quantile(0.99), now.fsync_quantile(0.99, 601)) == (0.002, 8.192, None)
    before = parse(
        PAGE.replace(" 50\n", " 40\n").replace(" 500\n", " 401\n").replace(" 590", " 490").replace(" 600", " 500")
    )
    assert now.since(before).fsyncs == ((0.002, 10), (0.128, 99), (8.192, 100), (float("inf"), 100))
    assert now.since(before).fsync_quantile(0.99) == 0.128
    assert before.since(now) is before  # it was started anew
    assert parse("") == ServerMetrics() and ServerMetrics().fsync_quantile(0.99) is None


def test_a_slow_disk_and_members_far_from_each_other() -> None:
    measured = {WELL[1].endpoint: parse(PAGE)}
    slow, far = said(*WELL, measured=measured)
    assert slow.startswith("slow_disk: the disk of etcd is slow at 10.0.0.2:2379 (8192 ms)")
    assert "(100 ms is a tenth of etcd's election timeout)" in slow and "iostat" in slow
    assert far.startswith("far_members: etcd's members are far from each other: 10.0.0.2:2379 to n2 (300 ms)")
    assert said(*WELL, measured=measured, election_ms=100_000.0) == []


def test_snapshots_that_are_no_longer_made() -> None:
    assert said(*WELL, snapshot=SnapshotAge(1.0, 86400.0)) == []
    (old,) = said(*WELL, snapshot=SnapshotAge(1.0, 5 * 86400.0))
    assert old.startswith("snapshot_old: this node made its last snapshot of etcd 5 days ago") and "snapshot`" in old
    assert "has made no snapshot of etcd in 5 days" in said(*WELL, snapshot=SnapshotAge(0.0, 5 * 86400.0))[0]


def test_a_learner_is_told_and_is_no_slow_member() -> None:
    """As etcd answers for one: `isLearner`, no read, no list of members."""
    learner = EndpointFacts("10.0.0.4:2379", "", 0xC1, 0xA4, 0xA1, "3.5.9", learner=True)
    (problem,) = said(*WELL, learner)
    assert (
        problem.startswith("learner: etcd at 10.0.0.4:2379 is a learner")
        and f"`{ETCDCTL} member promote a4`" in problem
    )
    # It has no voice: of three members one answers.
    few = said(lost(WELL[0]), silent(WELL[1]), silent(WELL[2]), learner)
    assert [text.partition(":")[0] for text in few] == ["no_majority", "learner"] and "1 of 3" in few[0]
    alone = said(learner, silent(WELL[1]))
    assert [text.partition(":")[0] for text in alone] == ["unreachable", "learner"]
    assert "10.0.0.4:2379 has a learner, which serves no clients; 10.0.0.2:2379: no answer" in alone[0]


def test_a_member_that_was_added_and_never_started_is_told() -> None:
    members = (*MEMBERS[:2], EtcdMember(0xA3, ""))
    (problem,) = said(*(fact._replace(members=members) for fact in WELL[:2]))
    assert problem.startswith("never_started: etcd's member a3 was added and has never started")
    assert "of 3 members 2 run, none of them may be lost" in problem and "`" + ETCDCTL + " member remove a3`" in problem
    # It is nobody to hand the leadership to.
    slow = said(
        *(fact._replace(members=(members[0], members[2], members[1])) for fact in WELL[:2]), writes=Writes(8, 8)
    )
    assert "move-leader a2" in slow[0]


def test_the_endpoint_of_a_member_that_has_never_started_is_no_stranger() -> None:
    """It has said no address for clients: it is known by that for the other members."""
    new = EtcdMember(0xA3, "", (), False, ("http://10.0.0.3:2380",))
    facts = [*(fact._replace(members=(*MEMBERS[:2], new)) for fact in WELL[:2]), silent(WELL[2])]
    dead, never = said(*facts)
    assert dead.startswith("endpoint_dead: etcd's endpoint 10.0.0.3:2379") and "2 of 3 members answer" in dead
    assert never.startswith("never_started: etcd's member a3 (http://10.0.0.3:2380) was added")
    shown = rows(judge(facts, Beside(ETCDCTL)))
    assert [row[:4] for row in shown] == [
        ("-", "a3", "10.0.0.3:2379", "never started"),
        ("n1", "a1", "10.0.0.1:2379", "leader"),
        ("n2", "a2", "10.0.0.2:2379", "follower"),
    ]


def test_the_table_of_members() -> None:
    behind = WELL[1]._replace(raft_index=90)
    facts = [WELL[0]._replace(raft_index=100, quota_bytes=4 << 30), behind, silent(WELL[2])]
    assert [row[2:8] for row in rows(judge(facts, Beside(ETCDCTL)))] == [
        ("10.0.0.1:2379", "leader", "3.5.9", "1 MiB of 4096 MiB", "0", "2.0 ms"),
        ("10.0.0.2:2379", "follower", "3.5.9", "1 MiB", "10", "2.0 ms"),
        ("10.0.0.3:2379", "no answer", "", "", "", ""),
    ]
    assert rows(judge(WELL[:2], Beside(ETCDCTL)))[2][:4] == ("n3", "a3", "10.0.0.3:2379", "not in node.toml")
    assert rows(judge([silent(WELL[0])], Beside(ETCDCTL))) == [("-", "-", "10.0.0.1:2379", "no answer", *[""] * 5)]


def test_the_command_has_all_that_it_needs() -> None:
    assert ETCDCTL == "etcdctl --endpoints=http://10.0.0.1:2379,http://10.0.0.2:2379,http://10.0.0.3:2379"
    tls = etcdctl_command(["https://a:1", "b:2"], ca="/ca", cert="/c", key="/k", user="u")
    assert tls == "etcdctl --endpoints=https://a:1,https://b:2 --cacert=/ca --cert=/c --key=/k --user=u"
