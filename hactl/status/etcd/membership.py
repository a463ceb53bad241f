"""Whether the endpoints are one etcd that has a majority, and as many members as it should have. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from election.etcd.facts import EndpointFacts, EtcdMember
from hactl.status.etcd.command import scheme
from hactl.status.etcd.problems import EtcdProblem, answering, called, is_of, members_of, voters

# Three members are the fewest of which one may be lost; more than five make etcd slower, and survive hardly more.
FEWEST, MOST = 3, 5
# The oldest version that hactl is tested with.
OLDEST = (3, 4)
PEER_PORT = 2380
_LOOPBACK = re.compile(r"//(localhost|127\.|\[::1\])")


def membership(
    facts: Sequence[EndpointFacts], nodes: Mapping[str, str], etcdctl: str, *, by_setup: bool = False
) -> Iterable[EtcdProblem]:
    """All that is wrong with the members. `nodes`: name and address of each configured node; empty: not known.
    `by_setup`: `hactl setup` made etcd."""
    answer, silent = answering(facts), [fact for fact in facts if fact.problem]
    learners = [fact for fact in facts if fact.learner]
    yield from _learners(learners, etcdctl)
    if not answer:
        yield _unreachable(learners, silent, etcdctl)
        return
    separate, twice = _one_and_the_same(answer, etcdctl)
    if separate:
        yield separate
        return
    members = voters(facts)
    ids = {fact.member_id for fact in answer}
    count = max(len(members), len(ids), 1 if members else len(facts) - len(learners))
    if not any(fact.leader_id for fact in answer):
        yield _no_majority(members, answer, silent, count, etcdctl)
        return
    yield from twice
    if silent:
        yield from _silent(facts, silent, f"{len(ids)} of {count} members answer", len(ids) - (count // 2 + 1))
    yield from _never_started(members, etcdctl)
    yield from _unnamed(facts, members)
    yield from _few(members, nodes, etcdctl, by_setup=by_setup)
    yield from _versions(answer, {member.id: called(member) for member in members})


def wanted_members(nodes: int) -> int:
    """How many members etcd should have for so many nodes: one on each, but an odd number."""
    return min(MOST, max(FEWEST, nodes - (nodes + 1) % 2))


def _one_and_the_same(answer: Sequence[EndpointFacts], etcdctl: str) -> tuple[EtcdProblem | None, list[EtcdProblem]]:
    """That the endpoints are of different etcds, and that one member is named twice."""
    todo = (
        f"compare `{etcdctl} member list` of each endpoint; stop hactl on all nodes but one, then set etcd up as one "
        "cluster: docs/troubleshooting.md, *Separate etcds*"
    )
    clusters = {fact.cluster_id for fact in answer}
    if len(clusters) > 1:
        each = ", ".join(f"{fact.endpoint} is of cluster {fact.cluster_id:x}" for fact in answer)
        text = f"the endpoints are of different etcds: {each}; nodes do not see each other's writes"
        return EtcdProblem("separate", text, todo), []
    twice = []
    for member_id, same in _by_member(answer).items():
        endpoints = " and ".join(fact.endpoint for fact in same)
        if len(same) > 1 and _known_as_one(same):
            text = f"{endpoints} are one and the same member of etcd"
            todo_ = "leave one of them out of `endpoints` in node.toml, and name the other members"
            twice.append(EtcdProblem("endpoint_twice", text, todo_))
        elif len(same) > 1:
            text = (
                f"{endpoints} say that they are one member ({member_id:x}): either etcds that were set up separately, "
                "which do not see each other's writes, or one endpoint that is named twice in node.toml"
            )
            return EtcdProblem("separate", text, todo), []
    return None, twice


def _by_member(answer: Sequence[EndpointFacts]) -> dict[int, list[EndpointFacts]]:
    by_id: dict[int, list[EndpointFacts]] = {}
    for fact in answer:
        by_id.setdefault(fact.member_id, []).append(fact)
    return by_id


def _known_as_one(same: Sequence[EndpointFacts]) -> bool:
    """Whether the member that they say they are states the same of itself at each, and all these addresses as its own.
    Debian's etcd, set up on each machine by itself, has one number on all of them, and another address on each."""
    says = {member for fact in same for member in fact.members if member.id == fact.member_id}
    return len(says) == 1 and all(is_of(member, fact.endpoint) for fact in same for member in says)


def _no_majority(
    members: Sequence[EtcdMember],
    answer: Sequence[EndpointFacts],
    silent: Sequence[EndpointFacts],
    count: int,
    etcdctl: str,
) -> EtcdProblem:
    ids, names = {fact.member_id for fact in answer}, {member.id: member.name for member in members}
    needed = count // 2 + 1
    if len(ids) >= needed:
        text = f"etcd's members have no leader, though {len(ids)} of {count} answer this node"
        todo = f"wait; if it stays so, see that they reach each other (port {PEER_PORT})"
        return EtcdProblem("no_majority", f"{text}; no node can hold anything", todo)
    there = ", ".join(names.get(fact.member_id) or fact.endpoint for fact in answer)
    missing = [called(member) for member in members if member.id not in ids]
    away = missing or [fact.endpoint for fact in silent]
    text = f"etcd has no majority: {len(ids)} of {count} members answer this node ({there}), {needed} are needed"
    todo = f"start etcd on {', '.join(away)} (`systemctl start etcd`)" if away else f"`{etcdctl} endpoint status`"
    return EtcdProblem("no_majority", f"{text}; until then no node can hold anything", f"{todo}; {_LOST}")


def _unreachable(learners: Sequence[EndpointFacts], silent: Sequence[EndpointFacts], etcdctl: str) -> EtcdProblem:
    served = f"{', '.join(learner.endpoint for learner in learners)} has a learner, which serves no clients"
    reasons = "; ".join(filter(None, (served if learners else "", _each(silent))))
    text = f"none of etcd's endpoints answers this node: {reasons}"
    there = _COMPARE if _ANOTHER_WAY.search(reasons) else "`systemctl status etcd` there"
    return EtcdProblem("unreachable", text, f"{there}; from here `{etcdctl} endpoint health`")


def _learners(learners: Sequence[EndpointFacts], etcdctl: str) -> Iterator[EtcdProblem]:
    """Members that follow the others and have no voice yet: hactl goes by the other endpoints."""
    for learner in learners:
        text = f"etcd at {learner.endpoint} is a learner: it answers no reads and writes, and counts for no majority"
        todo = f"when it has caught up: `{etcdctl} member promote {learner.member_id:x}`"
        yield EtcdProblem("learner", text, todo)


def _silent(
    facts: Sequence[EndpointFacts], silent: Sequence[EndpointFacts], there: str, spare: int
) -> Iterator[EtcdProblem]:
    """Endpoints that do not answer: of a member, or of none that is known."""
    members = members_of(facts)
    strangers = [
        fact for fact in silent if _comparable(facts) and not any(is_of(member, fact.endpoint) for member in members)
    ]
    dead = [fact for fact in silent if fact not in strangers]
    if dead:
        text = f"etcd's endpoint {_each(dead)}" if len(dead) == 1 else f"endpoints of etcd: {_each(dead)}"
        may = f"{spare} more may be lost" if spare > 0 else "no further member may be lost"
        todo = "start etcd there (`systemctl start etcd`); if the machine is lost: docs/disaster-recovery.md"
        yield EtcdProblem("endpoint_dead", f"{text}; {there}: {may}", todo)
    if strangers:
        text = f"no member of etcd has the address of the endpoint {_each(strangers)}"
        todo = "correct `endpoints` in /etc/hactl/node.toml, then `systemctl restart hactl`; or set etcd up there"
        yield EtcdProblem("no_member", text, f"{todo} as a member of this cluster")


def _never_started(members: Sequence[EtcdMember], etcdctl: str) -> Iterator[EtcdProblem]:
    """Members that were added, and do nothing but count."""
    started = sum(bool(member.urls) for member in members)
    left = max(0, started - (len(members) // 2 + 1))
    for member in (member for member in members if not member.urls):
        may = "none of them may be lost" if left == 0 else f"{left} of them may be lost"
        named = f"{called(member)} ({', '.join(member.peer_urls)})" if member.peer_urls else called(member)
        text = f"etcd's member {named} was added and has never started; it counts for the majority"
        todo = f"start etcd on its machine; or `{etcdctl} member remove {member.id:x}`"
        yield EtcdProblem("never_started", f"{text}: of {len(members)} members {started} run, {may}", todo)


def _unnamed(facts: Sequence[EndpointFacts], members: Sequence[EtcdMember]) -> Iterator[EtcdProblem]:
    """Members that this node could ask, and does not know of."""
    named, asked = {fact.endpoint for fact in facts}, {fact.member_id for fact in facts if not fact.problem}
    unasked = [member for member in members if member.urls and member.id not in asked]
    strangers = [member for member in unasked if not any(is_of(member, endpoint) for endpoint in named)]
    if strangers and (_comparable(facts) or not any(fact.problem for fact in facts)):
        each = ", ".join(f"{called(member)} ({', '.join(member.urls)})" for member in strangers)
        text = f"no endpoint in this node's node.toml names etcd's member {each}: when the others are lost"
        urls = ", ".join(f'"{member.urls[0]}"' for member in strangers)
        todo = f"add {urls} to `endpoints` in /etc/hactl/node.toml, then `systemctl restart hactl`"
        yield EtcdProblem("unnamed_member", f"{text}, this node has none to ask", todo)


def _comparable(facts: Sequence[EndpointFacts]) -> bool:
    """Whether endpoints and members can be compared by their addresses: one may be a name and the other a number, or a
    silent endpoint any member."""
    return any(is_of(member, fact.endpoint) for member in members_of(facts) for fact in facts)


def _few(
    members: Sequence[EtcdMember], nodes: Mapping[str, str], etcdctl: str, *, by_setup: bool
) -> Iterator[EtcdProblem]:
    """Fewer members than nodes: the machine that holds them is one that nothing survives the loss of."""
    count = len(members)
    if not members or count >= (wanted_members(len(nodes)) if nodes else FEWEST):
        return
    if len(nodes) == 1 and count == 1:
        todo = "for a cluster that survives the loss of a machine: three machines, with a member of etcd on each"
        yield EtcdProblem("one_member", "etcd has one member: when it stops, no node can hold anything", todo)
        return
    for_nodes = f" for {len(nodes)} nodes" if len(nodes) > 1 else ""
    spare = (count - 1) // 2
    stops = "when it stops" if count == 1 else "when either stops" if count == 2 else f"when {spare + 1} of them stop"
    text = f"etcd has {count} member{'' if count == 1 else 's'}{for_nodes}: {stops}, no node can hold anything"
    names = {called(member) for member in members}
    without = [name for name in nodes if name not in names] or ["NAME"]
    if by_setup:
        todo = f"`hactl node add {without[0]} --etcd`, on the machine where `hactl setup` ran"
        yield EtcdProblem("few_members", text, todo)
        return
    address = nodes.get(without[0], "ADDRESS")
    add = f"`{etcdctl} member add {without[0]} --peer-urls={_peer_scheme(members, etcdctl)}://{address}:{PEER_PORT}`"
    todo = f"add a member on {', '.join(without)}" if without != ["NAME"] else "add a member on a further machine"
    first = "first see that no etcd of its own runs there; " if count == 1 else ""
    by_hand = f"{_reachable_first(members, nodes, etcdctl)}{add}, then docs/operations.md, *Add a member to etcd*"
    if nodes:
        by_hand = f"`hactl node add {without[0]} --etcd` where `hactl setup` ran; without setup {by_hand}"
    yield EtcdProblem("few_members", text, f"{todo}: {first}{by_hand}")


def _reachable_first(members: Sequence[EtcdMember], nodes: Mapping[str, str], etcdctl: str) -> str:
    """The command that gives a member which others cannot reach, as Debian sets it up, the address of its node."""
    for member in members:
        local = [url for url in member.peer_urls if _LOOPBACK.search(url)]
        if local:
            url = f"{local[0].partition('://')[0]}://{nodes.get(called(member), 'ADDRESS')}:{PEER_PORT}"
            update = f"`{etcdctl} member update {member.id:x} --peer-urls={url}`"
            return f"others cannot reach {called(member)} at {local[0]}, so {update} (and `ETCD_LISTEN_PEER_URLS`); "
    return ""


def _peer_scheme(members: Sequence[EtcdMember], etcdctl: str) -> str:
    urls = [url for member in members for url in member.peer_urls]
    return urls[0].partition("://")[0] if urls else scheme(etcdctl)


def _versions(answer: Sequence[EndpointFacts], names: Mapping[int, str]) -> Iterator[EtcdProblem]:
    versions = {fact.member_id: _release(fact.version) for fact in answer if _release(fact.version)}
    each = ", ".join(f"{names.get(fact.member_id) or fact.endpoint} {fact.version}" for fact in answer)
    if len(set(versions.values())) > 1:
        todo = "upgrade the older ones, one machine after another; `hactl etcd status` shows each"
        yield EtcdProblem("versions_differ", f"etcd's members run different versions: {each}", todo)
    if old := [fact for fact in answer if fact.version and _release(fact.version) < OLDEST]:
        text = f"etcd at {', '.join(f'{fact.endpoint} ({fact.version})' for fact in old)} is too old"
        least = ".".join(map(str, OLDEST))
        todo = f"upgrade it to {least} or later, one machine after another"
        yield EtcdProblem("too_old", f"{text}: hactl is tested with {least} and later", todo)


def _release(version: str) -> tuple[int, ...]:
    """(3, 4) of 3.4.23; () of what is no version."""
    match = re.match(r"(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match else ()


# Something listens, and is to be spoken to in another way (election.etcd.errors).
_COMPARE = "compare `endpoints`, `etcd_ca`, `etcd_cert` in node.toml with how etcd was started"
_ANOTHER_WAY = re.compile("certificate|TLS|handshake|https|no etcd")

_LOST = "where they are lost for good: docs/disaster-recovery.md, *The majority is lost*"


def _each(silent: Sequence[EndpointFacts]) -> str:
    """Each with its problem, which begins with its name."""
    said = ((fact.endpoint, fact.problem) for fact in silent)
    return "; ".join(problem if problem.startswith(name) else f"{name}: {problem}" for name, problem in said)
