"""Whether the planned members are one etcd cluster, from what its endpoints say. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from election.etcd.facts import EndpointFacts
from hactl.setup.plan import CLIENT_PORT, PEER_PORT, Host

# How a port takes a connection: something accepts; the machine refuses, so it is there; nothing comes back.
Answer = Literal["accepts", "refuses", "silent"]


class Gathering(NamedTuple):
    """`missing`: members that are not there yet, each with the reason; `wrong`: what does not end by waiting, ""
    if there is nothing."""

    missing: dict[str, str]
    wrong: str = ""

    @property
    def complete(self) -> bool:
        """All are there, and they are one cluster."""
        return not self.missing and not self.wrong


def gathered(hosts: Sequence[Host], facts: Sequence[EndpointFacts], answers: Mapping[str, Answer]) -> Gathering:
    """`facts`: of the client endpoints of `hosts`, in their order; `answers`: of the peer ports of those that are
    silent, by the host's name."""
    seen = list(zip(hosts, facts, strict=True))
    missing = {
        host.name: _reason(host, fact, answers.get(host.name, "silent"))
        for host, fact in seen
        if fact.problem or not fact.leader_id
    }
    there = [(host, fact) for host, fact in seen if host.name not in missing]
    return Gathering(missing, _apart(there) or _others(hosts, there))


def _reason(host: Host, fact: EndpointFacts, answer: Answer) -> str:
    if not fact.problem:
        return "etcd runs, and has no majority yet"
    if answer == "accepts":
        return "etcd begins, and waits for the others"
    if answer == "refuses":
        return "has not joined yet"
    return (
        f"{host.address} does not answer at port {PEER_PORT}: is that its address, is it on, does a firewall drop it?"
    )


def _apart(there: Sequence[tuple[Host, EndpointFacts]]) -> str:
    """Members of different clusters; one etcd that answers for two."""
    clusters = {fact.cluster_id for _, fact in there}
    if len(clusters) > 1:
        each = ", ".join(f"{host.name}: {fact.cluster_id:x}" for host, fact in there)
        return f"the machines' etcds are different clusters ({each}): one was begun by another setup"
    ids = [fact.member_id for _, fact in there]
    if len(set(ids)) < len(ids):
        return "one etcd answers at the addresses of two machines: see that every machine has its own address"
    return ""


def _others(hosts: Sequence[Host], there: Sequence[tuple[Host, EndpointFacts]]) -> str:
    """The members are not those of the plan."""
    planned = {(host.name, host.url(CLIENT_PORT)) for host in hosts}
    for host, fact in there:
        if not fact.members:
            continue
        actual = {(member.name, url) for member in fact.members for url in member.urls}
        strange = sorted(name or url for name, url in actual - planned)
        learners = sorted(member.name for member in fact.members if member.learner)
        if strange or len(fact.members) > len(hosts):
            return f"etcd on {host.name} has other members than the plan: {', '.join(strange) or 'more of them'}"
        if learners:
            return f"etcd's member {', '.join(learners)} is a learner: `etcdctl member promote ID`"
    return ""
