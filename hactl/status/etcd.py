"""Problems of etcd, from the facts that its endpoints state, and the commands that help. Pure.

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
    """One thing that is wrong. `code`: one of PROBLEMS; `text` and `todo` for people."""

    code: str
    text: str
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
                {"code": problem.code, "level": problem.level, "what": problem.text, "do": problem.todo}
                for problem in self.problems
            ],
        }


def _endpoint(facts: EndpointFacts, name: str) -> dict[str, Any]:
    return {
        "endpoint": facts.endpoint,
        "member": name,
        "problem": facts.problem,
        "leads": _leads(facts),
        "reads": facts.read_ms is not None,
        "read_ms": None if facts.read_ms is None else round(facts.read_ms, 1),
        "db_bytes": facts.db_bytes,
        "version": facts.version,
        "alarms": list(facts.alarms),
    }


def judge(facts: Sequence[EndpointFacts], writes: Writes, etcdctl: str) -> EtcdState:
    """The problems. `etcdctl`: the command with all that it needs to reach the endpoints."""
    problems = [*_connected(facts, etcdctl), *_space(facts, etcdctl)]
    if not any(problem.level == "error" for problem in problems):
        problems += _slow(facts, writes, etcdctl)
    return EtcdState(tuple(facts), tuple(sorted(problems, key=lambda problem: list(PROBLEMS).index(problem.code))))


def _connected(facts: Sequence[EndpointFacts], etcdctl: str) -> Iterable[EtcdProblem]:
    """Whether the endpoints that answer are a majority of one and the same etcd."""
    answer = [fact for fact in facts if not fact.problem and not fact.learner]
    silent = [fact for fact in facts if fact.problem]
    learners = [fact for fact in facts if fact.learner]
    yield from _learners(learners, etcdctl)
    if not answer:
        yield _unreachable(learners, silent, etcdctl)
        return
    if separate := _separate(answer):
        todo = f"compare `{etcdctl} member list` of each; set etcd up as one cluster (docs/install.md, *etcd*)"
        yield EtcdProblem("separate", separate, todo)
        return
    members = [member for member in _members(facts) if not member.learner]
    ids, names = {fact.member_id for fact in answer}, {member.id: member.name for member in members}
    count = max(len(members), len(ids), 1 if members else len(facts) - len(learners))
    needed = count // 2 + 1
    leads = any(fact.leader_id for fact in answer)
    if not leads and len(ids) >= needed:
        text = f"etcd's members have no leader, though {len(ids)} of {count} answer this node"
        todo = "wait; if it stays so, see that they reach each other (port 2380)"
        yield EtcdProblem("no_majority", f"{text}; no node can hold anything", todo)
        return
    if not leads:
        there = ", ".join(names.get(fact.member_id) or fact.endpoint for fact in answer)
        missing = [member.name or f"{member.id:x}" for member in members if member.id not in ids]
        away = missing or [fact.endpoint for fact in silent]
        text = f"etcd has no majority: {len(ids)} of {count} members answer this node ({there}), {needed} are needed"
        todo = f"start etcd on {', '.join(away)} (`systemctl start etcd`)" if away else f"`{etcdctl} endpoint status`"
        yield EtcdProblem("no_majority", f"{text}; until then no node can hold anything", f"{todo}; {_LOST}")
        return
    if silent:
        text = f"etcd's endpoint {_each(silent)}" if len(silent) == 1 else f"endpoints of etcd: {_each(silent)}"
        left = len(ids) - needed
        may = f"{left} more may be lost" if left > 0 else "no further member may be lost"
        todo = "start etcd there, or take the endpoint out of node.toml"
        yield EtcdProblem("endpoint_dead", f"{text}; {len(ids)} of {count} members answer: {may}", todo)
    yield from _never_started(members, etcdctl)
    if members and count < _ENOUGH:
        text = "etcd has one member: when it stops" if count == 1 else "etcd has two members: when either stops"
        todo = "add members on further machines, to three"
        yield EtcdProblem("few_members", f"{text}, no node can hold anything", todo)


def _unreachable(learners: Sequence[EndpointFacts], silent: Sequence[EndpointFacts], etcdctl: str) -> EtcdProblem:
    served = f"{', '.join(learner.endpoint for learner in learners)} has a learner, which serves no clients"
    reasons = "; ".join(filter(None, (served if learners else "", _each(silent))))
    text = f"none of etcd's endpoints answers this node: {reasons}"
    there = _COMPARE if _ANOTHER_WAY.search(reasons) else "`systemctl status etcd` there"
    return EtcdProblem("unreachable", text, f"{there}; from here `{etcdctl} endpoint health`")


def _learners(learners: Sequence[EndpointFacts], etcdctl: str) -> Iterable[EtcdProblem]:
    """Members that follow the others and have no voice yet: hactl goes by the other endpoints."""
    for learner in learners:
        text = f"etcd at {learner.endpoint} is a learner: it answers no reads and writes, and counts for no majority"
        todo = f"when it has caught up: `{etcdctl} member promote {learner.member_id:x}`"
        yield EtcdProblem("learner", text, todo)


def _never_started(members: Sequence[EtcdMember], etcdctl: str) -> Iterable[EtcdProblem]:
    """Members that were added, and do nothing but count."""
    started = sum(bool(member.urls) for member in members)
    left = max(0, started - (len(members) // 2 + 1))
    for member in (member for member in members if not member.urls):
        may = "none of them may be lost" if left == 0 else f"{left} of them may be lost"
        named = member.name or format(member.id, "x")
        text = f"etcd's member {named} was added and has never started; it counts for the majority"
        todo = f"start etcd on its machine; or `{etcdctl} member remove {member.id:x}`"
        yield EtcdProblem("never_started", f"{text}: of {len(members)} members {started} run, {may}", todo)


# Something listens, and is to be spoken to in another way (election.etcd.errors).
_COMPARE = "compare `endpoints`, `etcd_ca`, `etcd_cert` in node.toml with how etcd was started"
_ANOTHER_WAY = re.compile("certificate|TLS|https|no etcd")

_LOST = "where they are lost for good: docs/operations.md, *etcd has lost its majority*"


def _separate(answer: Sequence[EndpointFacts]) -> str:
    """Why the endpoints are not of one etcd; "" where they are."""
    clusters = {fact.cluster_id for fact in answer}
    if len(clusters) > 1:
        each = ", ".join(f"{fact.endpoint} is of cluster {fact.cluster_id:x}" for fact in answer)
        return f"the endpoints are of different etcds: {each}; nodes do not see each other's writes"
    by_id: dict[int, list[str]] = {}
    for fact in answer:
        by_id.setdefault(fact.member_id, []).append(fact.endpoint)
    for member, endpoints in by_id.items():
        if len(endpoints) > 1:
            return (
                f"{' and '.join(endpoints)} say that they are one member ({member:x}): either etcds that were set up "
                "separately, which do not see each other's writes, or one endpoint that is named twice in node.toml"
            )
    return ""


def _space(facts: Sequence[EndpointFacts], etcdctl: str) -> Iterable[EtcdProblem]:
    alarms = {alarm for fact in facts for alarm in fact.alarms}
    if "NOSPACE" in alarms:
        text = "etcd is full (alarm NOSPACE): it takes no writes, so no node can hold anything"
        todo = f"make room (docs/operations.md, *etcd is full*), then `{etcdctl} alarm disarm`"
        yield EtcdProblem("full", text, todo)
    if "CORRUPT" in alarms:
        text = "etcd found that its members differ (alarm CORRUPT): it takes no writes"
        yield EtcdProblem("corrupt", text, f"`{etcdctl} alarm list`, `{etcdctl} endpoint hashkv`; replace that member")
    for fact in facts if not alarms else ():
        quota = fact.quota_bytes or DEFAULT_QUOTA
        if fact.db_bytes >= _NEARLY_FULL * quota:
            known = "" if fact.quota_bytes else ", unless --quota-backend-bytes says otherwise"
            text = f"etcd's database at {fact.endpoint} uses {_mib(fact.db_bytes)} of its quota of {_mib(quota)}{known}"
            yield EtcdProblem("nearly_full", text, "compact and defragment it: docs/operations.md, *etcd is full*")
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
    leading = f"{names.get(leader) or format(leader, 'x')}{where and f' ({where})'}"
    symptoms = (
        [f"{writes.unanswered} of {writes.sent} writes of the last seconds had no answer in time"] if late else []
    )
    symptoms += [f"reads at {', '.join(unread)} have none"] if unread else []
    able = (member.id for member in _members(facts) if not member.learner and member.urls)
    other = next((member for member in able if member != leader), 0)
    todo = f"look at the disk and the load of {leading}: `journalctl -u etcd` has `slow fdatasync`, `took too long`"
    if other and where:
        moved = etcdctl.replace(_flag(etcdctl), f"--endpoints={_scheme(etcdctl)}{where}")
        todo += f"; to have {names.get(other) or format(other, 'x')} lead: `{moved} move-leader {other:x}`"
    yield EtcdProblem("slow", f"etcd is slow: {'; '.join(symptoms)}; member {leading} leads", todo)


def _flag(etcdctl: str) -> str:
    return next((word for word in etcdctl.split(" ") if word.startswith("--endpoints=")), "")


def _scheme(etcdctl: str) -> str:
    return "https://" if "https://" in _flag(etcdctl) else "http://"


def _each(silent: Sequence[EndpointFacts]) -> str:
    """Each with its problem, which begins with its name."""
    said = ((fact.endpoint, fact.problem) for fact in silent)
    return "; ".join(problem if problem.startswith(name) else f"{name}: {problem}" for name, problem in said)


def _members(facts: Sequence[EndpointFacts]) -> tuple[EtcdMember, ...]:
    """As the endpoint says that names most of them."""
    return max((fact.members for fact in facts), key=len, default=())


def _leads(facts: EndpointFacts) -> bool:
    return facts.member_id != 0 and facts.member_id == facts.leader_id


def _mib(size: int) -> str:
    return f"{size / 1024**2:.0f} MiB"


def etcdctl_command(endpoints: Sequence[str], *, ca: str, cert: str, key: str, user: str) -> str:
    """`etcdctl` with what it needs to reach these endpoints; it asks for the password."""
    scheme = "https" if ca else "http"
    named = ",".join(endpoint if "://" in endpoint else f"{scheme}://{endpoint}" for endpoint in endpoints)
    flags = (("--endpoints", named), ("--cacert", ca), ("--cert", cert), ("--key", key), ("--user", user))
    return " ".join(["etcdctl", *(f"{flag}={value}" for flag, value in flags if value)])
