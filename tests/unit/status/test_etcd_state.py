"""What is said of etcd, from what its endpoints say."""

from __future__ import annotations

import pytest

from election.etcd.facts import EndpointFacts, EtcdMember
from hactl.status.etcd import DEFAULT_QUOTA, PROBLEMS, Writes, etcdctl_command, judge

ENDPOINTS = ("10.0.0.1:2379", "10.0.0.2:2379", "10.0.0.3:2379")
ETCDCTL = etcdctl_command(ENDPOINTS, ca="", cert="", key="", user="")
MEMBERS = tuple(
    EtcdMember(0xA1 + index, f"n{index + 1}", (f"http://{endpoint}",)) for index, endpoint in enumerate(ENDPOINTS)
)
WELL = tuple(
    EndpointFacts(endpoint, "", 0xC1, member.id, 0xA1, "3.5.9", 1 << 20, members=MEMBERS, read_ms=2.0)
    for endpoint, member in zip(ENDPOINTS, MEMBERS, strict=True)
)
NO_WRITES = Writes()
LARGE = int(0.9 * DEFAULT_QUOTA)


def silent(facts: EndpointFacts, why: str = "no answer within the deadline") -> EndpointFacts:
    return EndpointFacts(facts.endpoint, f"{facts.endpoint}: {why}")


def lost(facts: EndpointFacts) -> EndpointFacts:
    return facts._replace(leader_id=0, read_ms=None)


def said(*facts: EndpointFacts, writes: Writes = NO_WRITES) -> list[str]:
    return [f"{problem.code}: {problem.text} -> {problem.todo}" for problem in judge(facts, writes, ETCDCTL).problems]


def test_nothing_when_all_is_well() -> None:
    assert said(*WELL) == [] and said(*WELL, writes=Writes(40, 1)) == [] and judge((), NO_WRITES, "x").document()


@pytest.mark.parametrize(
    ("facts", "codes", "words"),
    [
        ([silent(each) for each in WELL], ["unreachable"], ["10.0.0.2:2379: no answer", "endpoint health"]),
        ([silent(WELL[0], "speaks no TLS: is it http?")], ["unreachable"], ["compare `endpoints`, `etcd_ca`, `etcd_c"]),
        ([WELL[0], WELL[1], silent(WELL[2])], ["endpoint_dead"], ["10.0.0.3:2379: no answer", "2 of 3", "no further"]),
        ([lost(WELL[0]), silent(WELL[1]), silent(WELL[2])], ["no_majority"], ["1 of 3", "(n1), 2 are", "on n2, n3"]),
        ([lost(each) for each in WELL], ["no_majority"], ["no leader, though 3 of 3", "port 2380"]),
        ([each._replace(alarms=("NOSPACE",)) for each in WELL], ["full"],
         ["alarm NOSPACE", f"`{ETCDCTL} alarm disarm`"]),
        ([WELL[0], WELL[1]._replace(alarms=("CORRUPT",)), WELL[2]], ["corrupt"], ["alarm CORRUPT"]),
        ([WELL[0], WELL[1]._replace(cluster_id=0xC2), WELL[2]], ["separate"], ["different etcds", "is of cluster c2"]),
        ([WELL[0], WELL[1]._replace(member_id=0xA1), WELL[2]], ["separate"], ["10.0.0.1:2379 and 10.0.0.2", "(a1)"]),
        ([WELL[0], WELL[1]._replace(read_ms=None), WELL[2]], ["slow"], ["reads at 10.0.0.2:2379", "member n1 (10."]),
        ([each._replace(db_bytes=LARGE) for each in WELL], ["nearly_full"],
         ["1843 MiB of its quota of 2048", "unless"]),
        ([each._replace(db_bytes=90, quota_bytes=100) for each in WELL], ["nearly_full"], ["its quota of 0 MiB"]),
        ([each._replace(db_bytes=90, quota_bytes=1000) for each in WELL], [], []),
        ([each._replace(members=MEMBERS[:2]) for each in WELL[:2]], ["few_members"], ["two members"]),
        ([WELL[0]._replace(members=MEMBERS[:1])], ["few_members"], ["one member"]),
        ([lost(WELL[0])._replace(members=MEMBERS[:2]), silent(WELL[1])], ["no_majority"], ["1 of 2 members"]),
        ([WELL[0]._replace(members=()), silent(WELL[1]), WELL[2]._replace(members=())], ["endpoint_dead"], ["2 of 3"]),
    ],
)  # fmt: skip
def test_what_is_wrong_and_what_to_type(facts: list[EndpointFacts], codes: list[str], words: list[str]) -> None:
    problems = said(*facts)
    assert [each.partition(":")[0] for each in problems] == codes
    for word in words:
        assert word in problems[0], problems[0]


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
    state = judge(facts, NO_WRITES, ETCDCTL)
    assert [problem.code for problem in state.problems] == ["full", "endpoint_dead"]
    assert [each["level"] for each in state.document()["problems"]] == ["error", "warning"]
    assert set(PROBLEMS.values()) == {"error", "warning", "notice"}


def test_a_learner_is_no_member_that_counts() -> None:
    members = (*MEMBERS[:1], MEMBERS[1]._replace(learner=True))
    assert "one member" in said(WELL[0]._replace(members=members))[0]


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


def test_the_command_has_all_that_it_needs() -> None:
    assert ETCDCTL == "etcdctl --endpoints=http://10.0.0.1:2379,http://10.0.0.2:2379,http://10.0.0.3:2379"
    tls = etcdctl_command(["https://a:1", "b:2"], ca="/ca", cert="/c", key="/k", user="u")
    assert tls == "etcdctl --endpoints=https://a:1,https://b:2 --cacert=/ca --cert=/c --key=/k --user=u"
