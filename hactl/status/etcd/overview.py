"""The table of `hactl etcd status`. Pure."""

from __future__ import annotations

from election.etcd.facts import EndpointFacts, EtcdMember
from hactl.status.etcd.judge import EtcdState
from hactl.status.etcd.problems import address, is_of, leads, members_of, mib

HEAD = ("MEMBER", "ID", "ENDPOINT", "STATE", "VERSION", "DATABASE", "BEHIND", "READ", "FSYNC P99")


def rows(state: EtcdState) -> list[tuple[str, ...]]:
    """A row for each member, in their order, then for endpoints of which the member is not known."""
    members = members_of(state.facts)
    by_member: dict[int, list[EndpointFacts]] = {}
    for fact in state.facts:
        by_member.setdefault(fact.member_id if not fact.problem else 0, []).append(fact)
    leading = max((fact.raft_index for fact in state.facts if leads(fact)), default=0)
    shown = []
    for member in sorted(members, key=lambda member: member.name):
        for fact in by_member.pop(member.id, []) or [_unasked(member, by_member)]:
            shown.append(_row(member, fact, leading, state))
    for facts in by_member.values():
        shown += [_row(EtcdMember(fact.member_id, ""), fact, leading, state) for fact in facts]
    return shown


def _unasked(member: EtcdMember, by_member: dict[int, list[EndpointFacts]]) -> EndpointFacts:
    """The silent endpoint that is this member's; else one made up of its address."""
    for silent in by_member.get(0, []):
        if is_of(member, silent.endpoint):
            by_member[0].remove(silent)
            return silent if member.urls else silent._replace(problem="never started")
    if member.urls:
        return EndpointFacts(address(member.urls[0]), "not in node.toml")
    return EndpointFacts("-", "never started")


def _row(member: EtcdMember, fact: EndpointFacts, leading: int, state: EtcdState) -> tuple[str, ...]:
    number = format(member.id, "x") if member.id else "-"
    first = (member.name or "-", number, fact.endpoint)
    if fact.problem in ("not in node.toml", "never started"):
        return (*first, fact.problem, *([""] * 5))
    if fact.problem:
        return (*first, "no answer", *([""] * 5))
    role = "learner" if fact.learner else "leader" if leads(fact) else "follower" if fact.leader_id else "no leader"
    quota = f" of {mib(fact.quota_bytes)}" if fact.quota_bytes else ""
    behind = str(max(0, leading - fact.raft_index)) if leading else "?"
    read = "no answer" if fact.read_ms is None and not fact.learner else _ms(fact.read_ms)
    measured = state.beside.measured.get(fact.endpoint)
    fsync_s = measured.fsync_quantile(0.99) if measured else None
    fsync = _ms(fsync_s and fsync_s * 1000)
    return (*first, role, fact.version, f"{mib(fact.db_bytes)}{quota}", behind, read, fsync)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"
