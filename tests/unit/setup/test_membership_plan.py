"""What `hactl node` makes of a plan, and what is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from election.etcd.facts import EndpointFacts, EtcdMember
from hactl.setup.errors import RefusedError
from hactl.setup.membership.planning import added, finished, removed, renamed, replaced
from hactl.setup.membership.quorum import Members, cannot_add, cannot_follow, cannot_remove, cannot_restart, members_of
from hactl.setup.plan import Host, OwnEtcd, Plan
from tests.support.bundles import N1, N2, N3, NODES, plan

N4 = Host("n4", "10.0.0.14")


def add(to: Plan, text: str = N4.text, member: bool | None = None) -> Plan:
    return finished(added(to, text, member=member, now=1.0))


def test_a_node_has_a_member_where_etcd_has_too_few() -> None:
    four = add(plan())
    assert four.nodes == (N1, N2, N3, N4) and four.members == (N1, N2, N3) and not four.even
    assert four.command == "hactl setup" and four.endpoints(N4)[0] == N1.url(2379)
    five = add(four, "n5=10.0.0.15")
    assert [host.name for host in five.members] == ["n1", "n2", "n3", "n5"] and five.even
    assert [host.name for host in add(five, "n4", member=True).members] == ["n1", "n2", "n3", "n4", "n5"]
    two = add(plan("n1=10.0.0.11"), "n2=10.0.0.12")
    assert two.members == (N1, N2)
    five_again = plan(*reversed(NODES), "n4=10.0.0.14", "n5=10.0.0.15")
    assert five.same(five_again) and not four.same(five_again)
    witness = add(plan(*NODES[:2], witness="w=10.0.0.13"))
    assert [host.name for host in witness.members] == ["n1", "n2", "w"]
    assert add(plan(etcd=OwnEtcd(("https://10.0.0.9:2379",)))).without_member == ()


def test_it_can_be_kept() -> None:
    changed = replaced(plan(), "n3=10.0.0.33", N1, now=2.0)
    assert msgspec.json.decode(msgspec.json.encode(changed), type=Plan) == changed
    assert changed.change and changed.change.command == "hactl node replace n3=10.0.0.33"
    assert changed.change.old == "10.0.0.13"


def test_another_name_is_everywhere() -> None:
    made = renamed(add(plan()), "n4", "db1", now=2.0)
    assert made.nodes[3] == Host("db1", "10.0.0.14") and made.without_member == ("db1",)
    assert made.change and made.change.command == "hactl node rename n4 db1"
    witness = renamed(plan(*NODES[:2], witness="w=10.0.0.13"), "w", "x", now=2.0)
    assert witness.witness == Host("x", "10.0.0.13")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p: added(p, "n4=10.0.0.13", member=None, now=1), "n3 has the address.*`hactl node replace n3`"),
        (lambda p: added(p, "n3=10.0.0.14", member=None, now=1), "there is a machine n3=10.0.0.13: choose another"),
        (lambda p: added(p, "n3", member=None, now=1), "is a node of the cluster already.*--etcd"),
        (lambda p: added(p, "n3", member=True, now=1), "n3 has a member of etcd already"),
        (lambda p: added(p, "n9", member=None, now=1), "no machine `n9`: there are n1=10.0.0.11"),
        (lambda p: added(p, "n4=fd00::4", member=None, now=1), "some addresses are IPv4 and some IPv6"),
        (lambda p: removed(p, "n1", N1, now=1), "n1 is this machine, .*copy /etc/hactl/ca"),
        (lambda p: removed(plan("n1=10.0.0.11"), "n1", None, now=1), "n1 is the last node"),
        (lambda p: replaced(p, "n1", N1, now=1), "n1 is this machine"),
        (lambda p: replaced(p, "n3=10.0.0.12", N1, now=1), "n2 has the address 10.0.0.12"),
        (lambda p: renamed(p, "n3", "n2", now=1), "there is a machine n2=10.0.0.12"),
        (lambda p: renamed(p, "n3", "a/b", now=1), "`a/b` is no name"),
    ],
)
def test_what_is_refused(call: Any, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        call(plan())


def test_one_change_at_a_time() -> None:
    begun = added(plan(), N4.text, member=None, now=1.0)
    assert added(begun, N4.text, member=None, now=2.0) is begun
    with pytest.raises(RefusedError, match=r"another change is under way: first `hactl node add n4=10.0.0.14`"):
        removed(begun, "n3", N1, now=2.0)
    given_up = removed(begun, "n4", N1, now=2.0)
    assert given_up.nodes == (N1, N2, N3) and removed(given_up, "n4", N1, now=3.0) is given_up
    assert added(given_up, N4.text, member=None, now=3.0).nodes == (N1, N2, N3, N4)
    named = renamed(plan(), "n3", "db1", now=1.0)
    assert renamed(named, "n3", "db1", now=2.0) is named
    assert finished(renamed(named, "db1", "n3", now=2.0)).nodes == plan().nodes


def etcd(*answering: int, learner: int = 0, of: int = 3) -> Members:
    members = [
        EtcdMember(n, f"n{n}", (f"https://10.0.0.1{n}:2379",), n == learner, (f"https://10.0.0.1{n}:2380",))
        for n in range(1, of + 1)
    ]
    return Members(tuple(members), frozenset(answering))


def test_a_majority_answers_all_the_time() -> None:
    assert cannot_remove(etcd(1, 2, 3), [3]) == cannot_remove(etcd(1, 2), [3]) == cannot_remove(etcd(1), [9]) == ""
    assert "without n2, 1 of etcd's 2 members would answer (n3 would not), and 2 are needed" in cannot_remove(
        etcd(1, 2), [2]
    )
    assert cannot_remove(etcd(1, 2, 3, of=5), [5]) == ""
    assert "without n3, 2 of etcd's 4 members" in cannot_remove(etcd(1, 2, 3, of=5), [3])
    assert "etcd has no majority" in cannot_remove(etcd(), [3])
    assert cannot_add(etcd(1, 2, 3)) == "" and "n3 does not answer: repair or replace it" in cannot_add(etcd(1, 2))
    assert "etcd has no majority" in cannot_add(etcd()) and "etcd has no majority" in cannot_follow(etcd())
    assert "n3 was added and has no vote yet" in cannot_add(etcd(1, 2, learner=3))
    assert cannot_follow(etcd(1, 2)) == "" and "n3 was added" in cannot_follow(etcd(1, 2, learner=3))
    three = etcd(1, 2, 3)
    assert cannot_restart(three, three.all[0]) == ""
    assert "while n2 restarts, 1 of etcd's 3 members would answer (n2, n3 would not)" in cannot_restart(
        etcd(1, 2), three.all[1]
    )


def test_members_are_those_that_answer_themselves() -> None:
    known = etcd(of=3).all
    facts = [
        EndpointFacts("10.0.0.11:2379", member_id=1, leader_id=1, members=known),
        EndpointFacts("10.0.0.12:2379", member_id=2, leader_id=0, members=known),
        EndpointFacts("10.0.0.13:2379", problem="refused"),
    ]
    assert members_of(facts) == Members(known, frozenset({1}))
