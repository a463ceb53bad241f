"""What is wrong with etcd, from what its endpoints say, and what to type. Pure.

The protocol does not ask here: it goes by the answers to its own reads and writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from election.etcd.facts import EndpointFacts, EtcdMember

# Each with how bad it is. With an error no node can hold or take over anything, or two nodes may hold the same.
PROBLEMS = {
    "unreachable": "error",
    "separate": "error",
    "no_majority": "error",
    "full": "error",
    "corrupt": "error",
    "slow": "error",
    "learner": "notice",
    "endpoint_dead": "warning",
    "never_started": "warning",
    "nearly_full": "warning",
    "few_members": "notice",
}
# etcd's own, where an endpoint does not say it. Source: etcd, --quota-backend-bytes.
DEFAULT_QUOTA = 2 * 1024**3
_NEARLY_FULL = 0.8
# Of the writes of the last seconds: at least so many, and so many of them without an answer.
_WRITES, _UNANSWERED = 3, 0.3
# Three members are the fewest of which one may be lost.
_ENOUGH = 3


class Writes(NamedTuple):
    """This node's transactions of the last seconds. `unanswered`: in time."""

    sent: int = 0
    unanswered: int = 0


class EtcdProblem(NamedTuple):
    """One thing that is wrong. `code`: one of PROBLEMS; `what` and `todo` for people."""

    code: str
    what: str
    todo: str

    @property
    def level(self) -> str:
        """As warnings have it."""
        return PROBLEMS[self.code]


@dataclass(frozen=True, slots=True)
class EtcdState:
    """etcd as one node sees it. `facts`: empty until it was looked at. `problems`: the worst first."""

    facts: tuple[EndpointFacts, ...] = ()
    problems: tuple[EtcdProblem, ...] = ()

    def document(self) -> dict[str, Any]:
        """For the status document."""
        names = {member.id: member.name for member in _members(self.facts)}
        return {
            "endpoints": [_endpoint(fact, names.get(fact.member_id, "")) for fact in self.facts],
            "members": [member._asdict() for member in _members(self.facts)],
            "problems": [
                {"code": problem.code, "level": problem.level, "what": problem.what, "do": problem.todo}
                for problem in self.problems
            ],
        }


def _endpoint(one: EndpointFacts, name: str) -> dict[str, Any]:
    return {
        "endpoint": one.endpoint,
        "member": name,
        "problem": one.problem,
        "leads": _leads(one),
        "reads": one.read_ms is not None,
        "read_ms": None if one.read_ms is None else round(one.read_ms, 1),
        "db_bytes": one.db_bytes,
        "version": one.version,
        "alarms": list(one.alarms),
    }


def judge(facts: Sequence[EndpointFacts], writes: Writes, etcdctl: str) -> EtcdState:
    """What is wrong. `etcdctl`: the command with all that it needs to reach the endpoints."""
    found = [*_connected(facts, etcdctl), *_space(facts, etcdctl)]
    if not any(one.level == "error" for one in found):
        found += _slow(facts, writes, etcdctl)
    return EtcdState(tuple(facts), tuple(sorted(found, key=lambda one: list(PROBLEMS).index(one.code))))


def _connected(facts: Sequence[EndpointFacts], etcdctl: str) -> Iterable[EtcdProblem]:
    """Which answer, and whether they are a majority of one and the same etcd."""
    answer = [fact for fact in facts if not fact.problem and not fact.learner]
    silent = [fact for fact in facts if fact.problem]
    learners = [fact for fact in facts if fact.learner]
    yield from _learners(learners, etcdctl)
    if not answer:
        served = f"{', '.join(learner.endpoint for learner in learners)} has a learner, which serves no clients"
        text = "; ".join(filter(None, (served if learners else "", _each(silent))))
        what = f"none of etcd's endpoints answers this node: {text}"
        there = _COMPARE if _ANOTHER_WAY.search(text) else "`systemctl status etcd` there"
        yield EtcdProblem("unreachable", what, f"{there}; from here `{etcdctl} endpoint health`")
        return
    if separate := _separate(answer):
        todo = f"compare `{etcdctl} member list` of each; set etcd up as one cluster (docs/install.md, *etcd*)"
        yield EtcdProblem("separate", separate, todo)
        return
    members = [member for member in _members(facts) if not member.learner]
    ids, names = {one.member_id for one in answer}, {member.id: member.name for member in members}
    count = max(len(members), len(ids), 1 if members else len(facts) - len(learners))
    needed = count // 2 + 1
    leads = any(one.leader_id for one in answer)
    if not leads and len(ids) >= needed:
        what = f"etcd's members have no leader, though {len(ids)} of {count} answer this node"
        todo = "wait; if it stays so, see that they reach each other (port 2380)"
        yield EtcdProblem("no_majority", f"{what}; no node can hold anything", todo)
        return
    if not leads:
        there = ", ".join(names.get(one.member_id) or one.endpoint for one in answer)
        away = [member.name or f"{member.id:x}" for member in members if member.id not in ids] or [
            one.endpoint for one in silent
        ]
        what = f"etcd has no majority: {len(ids)} of {count} members answer this node ({there}), {needed} are needed"
        todo = f"start etcd on {', '.join(away)} (`systemctl start etcd`)" if away else f"`{etcdctl} endpoint status`"
        yield EtcdProblem("no_majority", f"{what}; until then no node can hold anything", f"{todo}; {_LOST}")
        return
    if silent:
        what = f"etcd's endpoint {_each(silent)}" if len(silent) == 1 else f"endpoints of etcd: {_each(silent)}"
        left = len(ids) - needed
        may = f"{left} more may be lost" if left > 0 else "no further member may be lost"
        todo = "start etcd there, or take the endpoint out of node.toml"
        yield EtcdProblem("endpoint_dead", f"{what}; {len(ids)} of {count} members answer: {may}", todo)
    yield from _never_started(members, etcdctl)
    if members and count < _ENOUGH:
        what = "etcd has one member: when it stops" if count == 1 else "etcd has two members: when either stops"
        todo = "add members on further machines, to three"
        yield EtcdProblem("few_members", f"{what}, no node can hold anything", todo)


def _learners(learners: Sequence[EndpointFacts], etcdctl: str) -> Iterable[EtcdProblem]:
    """Members that follow the others and have no voice yet: hactl goes by the other endpoints."""
    for learner in learners:
        what = f"etcd at {learner.endpoint} is a learner: it answers no reads and writes, and counts for no majority"
        todo = f"when it has caught up: `{etcdctl} member promote {learner.member_id:x}`"
        yield EtcdProblem("learner", what, todo)


def _never_started(members: Sequence[EtcdMember], etcdctl: str) -> Iterable[EtcdProblem]:
    """Members that were added, and do nothing but count."""
    for one in (member for member in members if not member.urls):
        started, needed = sum(bool(each.urls) for each in members), len(members) // 2 + 1
        left = max(0, started - needed)
        may = "none of them may be lost" if left == 0 else f"{left} of them may be lost"
        named = one.name or format(one.id, "x")
        what = f"etcd's member {named} was added and has never started; it counts for the majority"
        todo = f"start etcd on its machine; or `{etcdctl} member remove {one.id:x}`"
        yield EtcdProblem("never_started", f"{what}: of {len(members)} members {started} run, {may}", todo)


# Something listens, and is to be spoken to in another way (election.etcd.errors).
_COMPARE = "compare `endpoints`, `etcd_ca`, `etcd_cert` in node.toml with how etcd was started"
_ANOTHER_WAY = re.compile("certificate|TLS|https|no etcd")

_LOST = "where they are lost for good: docs/operations.md, *etcd has lost its majority*"


def _separate(answer: Sequence[EndpointFacts]) -> str:
    """Why the endpoints are not of one etcd; "" where they are."""
    clusters = {one.cluster_id for one in answer}
    if len(clusters) > 1:
        each = ", ".join(f"{one.endpoint} is of cluster {one.cluster_id:x}" for one in answer)
        return f"the endpoints are of different etcds: {each}; nodes do not see each other's writes"
    by_id: dict[int, list[str]] = {}
    for one in answer:
        by_id.setdefault(one.member_id, []).append(one.endpoint)
    for member, endpoints in by_id.items():
        if len(endpoints) > 1:
            same = " and ".join(endpoints)
            return (
                f"{same} say that they are one member ({member:x}): either etcds that were set up separately, "
                "which do not see each other's writes, or one endpoint that is named twice in node.toml"
            )
    return ""


def _space(facts: Sequence[EndpointFacts], etcdctl: str) -> Iterable[EtcdProblem]:
    alarms = {alarm for fact in facts for alarm in fact.alarms}
    if "NOSPACE" in alarms:
        what = "etcd is full (alarm NOSPACE): it takes no writes, so no node can hold anything"
        todo = f"make room (docs/operations.md, *etcd is full*), then `{etcdctl} alarm disarm`"
        yield EtcdProblem("full", what, todo)
    if "CORRUPT" in alarms:
        what = "etcd found that its members differ (alarm CORRUPT): it takes no writes"
        yield EtcdProblem("corrupt", what, f"`{etcdctl} alarm list`, `{etcdctl} endpoint hashkv`; replace that member")
    for one in facts if not alarms else ():
        quota = one.quota_bytes or DEFAULT_QUOTA
        if one.db_bytes >= _NEARLY_FULL * quota:
            known = "" if one.quota_bytes else ", unless --quota-backend-bytes says otherwise"
            what = f"etcd's database at {one.endpoint} uses {_mib(one.db_bytes)} of its quota of {_mib(quota)}{known}"
            yield EtcdProblem("nearly_full", what, "compact and defragment it: docs/operations.md, *etcd is full*")
            return


def _slow(facts: Sequence[EndpointFacts], writes: Writes, etcdctl: str) -> Iterable[EtcdProblem]:
    """It answers, but not in time."""
    late = writes.sent >= _WRITES and writes.unanswered >= _UNANSWERED * writes.sent
    unread = [fact.endpoint for fact in facts if not fact.problem and not fact.learner and fact.read_ms is None]
    if not late and not unread:
        return
    names = {member.id: member.name for member in _members(facts)}
    leader = next((fact.leader_id for fact in facts if fact.leader_id), 0)
    where = next((fact.endpoint for fact in facts if _leads(fact)), "")
    who = f"{names.get(leader) or format(leader, 'x')}{where and f' ({where})'}"
    text = [f"{writes.unanswered} of {writes.sent} writes of the last seconds had no answer in time"] if late else []
    text += [f"reads at {', '.join(unread)} have none"] if unread else []
    other = next(
        (member.id for member in _members(facts) if member.id != leader and not member.learner and member.urls), 0
    )
    todo = f"look at the disk and the load of {who}: `journalctl -u etcd` has `slow fdatasync`, `took too long`"
    if other and where:
        moved = etcdctl.replace(_flag(etcdctl), f"--endpoints={_scheme(etcdctl)}{where}")
        todo += f"; to have {names.get(other) or format(other, 'x')} lead: `{moved} move-leader {other:x}`"
    yield EtcdProblem("slow", f"etcd is slow: {'; '.join(text)}; member {who} leads", todo)


def _flag(etcdctl: str) -> str:
    return next((word for word in etcdctl.split(" ") if word.startswith("--endpoints=")), "")


def _scheme(etcdctl: str) -> str:
    return "https://" if "https://" in _flag(etcdctl) else "http://"


def _each(silent: Sequence[EndpointFacts]) -> str:
    """Each with why, which begins with its name."""
    return "; ".join(
        one.problem if one.problem.startswith(one.endpoint) else f"{one.endpoint}: {one.problem}" for one in silent
    )


def _members(facts: Sequence[EndpointFacts]) -> tuple[EtcdMember, ...]:
    """As the endpoint says that names most of them."""
    return max((fact.members for fact in facts), key=len, default=())


def _leads(one: EndpointFacts) -> bool:
    return one.member_id != 0 and one.member_id == one.leader_id


def _mib(size: int) -> str:
    return f"{size / 1024**2:.0f} MiB"


def etcdctl_command(endpoints: Sequence[str], *, ca: str, cert: str, key: str, user: str) -> str:
    """`etcdctl` with what it needs to reach these endpoints; it asks for the password."""
    scheme = "https" if ca else "http"
    named = ",".join(endpoint if "://" in endpoint else f"{scheme}://{endpoint}" for endpoint in endpoints)
    flags = (("--endpoints", named), ("--cacert", ca), ("--cert", cert), ("--key", key), ("--user", user))
    return " ".join(["etcdctl", *(f"{flag}={value}" for flag, value in flags if value)])
