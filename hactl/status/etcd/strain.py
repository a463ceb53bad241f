"""Whether etcd has room, and is quick enough. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from election.etcd.facts import EndpointFacts
from election.etcd.server_metrics import ServerMetrics
from hactl.status.etcd.command import at_endpoint
from hactl.status.etcd.problems import EtcdProblem, called, leads, members_of, mib

# etcd's own, where an endpoint does not say it. Source: etcd, --quota-backend-bytes.
DEFAULT_QUOTA = 2 * 1024**3
NEARLY_FULL = 0.8
# Of the writes of the last seconds: at least so many, and so many of them without an answer.
_WRITES, _UNANSWERED = 3, 0.3
# Fewer writes to the disk than this say nothing of one in a hundred.
_FSYNCS = 100
# etcd's manual, *Tuning*: the election timeout is at least ten times a round trip, and leaves room for the disk.
_OF_ELECTION = 0.1


class Writes(NamedTuple):
    """This node's transactions of the last seconds. `unanswered`: in time."""

    sent: int = 0
    unanswered: int = 0


NO_WRITES = Writes()


def room(facts: Sequence[EndpointFacts], etcdctl: str) -> Iterator[EtcdProblem]:
    """Alarms, and a database that is nearly as large as it may become."""
    alarms = {alarm for fact in facts for alarm in fact.alarms}
    if "NOSPACE" in alarms:
        text = "etcd is full (alarm NOSPACE): it takes no writes, so no node can hold anything"
        yield EtcdProblem("full", text, "`hactl etcd defrag` makes room and ends the alarm")
    if "CORRUPT" in alarms:
        text = "etcd found that its members differ (alarm CORRUPT): it takes no writes"
        todo = f"`{etcdctl} alarm list`, `{etcdctl} endpoint hashkv`; replace that member: docs/disaster-recovery.md"
        yield EtcdProblem("corrupt", text, todo)
    if not alarms and (full := next(filter(nearly_full, facts), None)):
        known = "" if full.quota_bytes else ", unless --quota-backend-bytes says otherwise"
        quota = mib(full.quota_bytes or DEFAULT_QUOTA)
        text = f"etcd's database at {full.endpoint} uses {mib(full.db_bytes)} of its quota of {quota}{known}"
        yield EtcdProblem("nearly_full", text, "`hactl etcd defrag` compacts and defragments it")


def nearly_full(fact: EndpointFacts) -> bool:
    """Whether its database uses most of what it may."""
    return fact.db_bytes >= NEARLY_FULL * (fact.quota_bytes or DEFAULT_QUOTA)


def slow(facts: Sequence[EndpointFacts], writes: Writes, etcdctl: str) -> Iterator[EtcdProblem]:
    """It answers, but not in time."""
    late = writes.sent >= _WRITES and writes.unanswered >= _UNANSWERED * writes.sent
    unread = [fact.endpoint for fact in facts if not fact.problem and not fact.learner and fact.read_ms is None]
    if not late and not unread:
        return
    members = members_of(facts)
    names = {member.id: member.name for member in members}
    leader = next((fact.leader_id for fact in facts if fact.leader_id), 0)
    where = next((fact.endpoint for fact in facts if leads(fact)), "")
    leading = f"{names.get(leader) or format(leader, 'x')}{where and f' ({where})'}"
    symptoms = (
        [f"{writes.unanswered} of {writes.sent} writes of the last seconds had no answer in time"] if late else []
    )
    symptoms += [f"reads at {', '.join(unread)} have none"] if unread else []
    able = (member.id for member in members if not member.learner and member.urls)
    other = next((member for member in able if member != leader), 0)
    todo = f"look at the disk and the load of {leading}: `journalctl -u etcd` has `slow fdatasync`, `took too long`"
    if other and where:
        name = names.get(other) or format(other, "x")
        todo += f"; to have {name} lead: `{at_endpoint(etcdctl, where)} move-leader {other:x}`"
    yield EtcdProblem("slow", f"etcd is slow: {'; '.join(symptoms)}; member {leading} leads", todo)


def delays(
    facts: Sequence[EndpointFacts], measured: Mapping[str, ServerMetrics], election_ms: float
) -> Iterator[EtcdProblem]:
    """What the members measured themselves lately: their disks, and the ways between them."""
    limit_s = _OF_ELECTION * election_ms / 1000
    slow_disks = []
    for endpoint, metrics in measured.items():
        p99_s = metrics.fsync_quantile(0.99, _FSYNCS)
        if p99_s is not None and p99_s > limit_s:
            slow_disks.append(f"{endpoint} ({p99_s * 1000:.0f} ms)")
    if slow_disks:
        text = f"the disk of etcd is slow at {', '.join(slow_disks)}: one write in a hundred takes that long or longer"
        limit = f"{limit_s * 1000:.0f} ms is a tenth of etcd's election timeout"
        todo = "give etcd's data a disk of its own that writes quickly; `etcdctl check perf`, `iostat -x 1` there"
        yield EtcdProblem("slow_disk", f"{text} ({limit})", todo)
    names = {format(member.id, "x"): called(member) for member in members_of(facts)}
    far = [
        f"{endpoint} to {names.get(peer, peer)} ({seconds * 1000:.0f} ms)"
        for endpoint, metrics in measured.items()
        for peer, seconds in metrics.mean_round_trips().items()
        if seconds > limit_s
    ]
    if far:
        text = f"etcd's members are far from each other: {', '.join(far)}"
        todo = "look at the network between them; or `timing: {profile: wan}` and etcd's own times (deploy/etcd)"
        yield EtcdProblem("far_members", f"{text}; a round trip should take a tenth of its election timeout", todo)
