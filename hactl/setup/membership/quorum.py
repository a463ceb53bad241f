"""Whether a member may be added to etcd, taken out, or restarted: etcd must have a majority at every moment. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from election.etcd.facts import EndpointFacts, EtcdMember


class Members(NamedTuple):
    """etcd as it is. `answering`: ids of the members that answer and know of a leader."""

    all: tuple[EtcdMember, ...] = ()
    answering: frozenset[int] = frozenset()

    @property
    def voters(self) -> tuple[EtcdMember, ...]:
        """Those that count for the majority."""
        return tuple(member for member in self.all if not member.learner)

    @property
    def learner(self) -> EtcdMember | None:
        """The member that follows the others and does not count yet."""
        return next((member for member in self.all if member.learner), None)

    def at(self, peer_url: str) -> EtcdMember | None:
        """The member whom the others reach there."""
        return next((member for member in self.all if peer_url in member.peer_urls), None)

    def with_id(self, ids: Collection[int]) -> EtcdMember | None:
        """The first of these that is there."""
        return next((member for member in self.all if member.id in ids), None)


def members_of(facts: Sequence[EndpointFacts]) -> Members:
    """From what the members say of themselves."""
    known = {member.id: member for fact in facts for member in fact.members}
    answering = frozenset(fact.member_id for fact in facts if not fact.problem and fact.leader_id)
    return Members(tuple(known[number] for number in sorted(known)), answering)


def cannot_add(members: Members) -> str:
    """Why no member may be added now; "": one may. `members`: before."""
    if not members.answering:
        return _LOST
    if silent := _silent(members.voters, members.answering):
        return f"etcd's member {', '.join(silent)} does not answer: repair or replace it first (`hactl etcd status`)"
    return _learner(members)


def cannot_follow(members: Members) -> str:
    """Why no learner may be added in the place of a member that was removed; "": one may."""
    return _learner(members) if members.answering else _LOST


def cannot_remove(members: Members, ids: Collection[int]) -> str:
    """Why these members may not be removed now; "": they may, or are not there."""
    going = [member for member in members.all if member.id in ids]
    if not going:
        return ""
    if not members.answering:
        return _LOST
    rest = [member for member in members.voters if member.id not in ids]
    return _too_few(rest, members.answering, f"without {', '.join(map(called, going))}")


def cannot_restart(members: Members, member: EtcdMember) -> str:
    """Why this member may not be restarted now; "": it may."""
    answering = members.answering - {member.id}
    return _too_few(members.voters, answering, f"while {called(member)} restarts")


def called(member: EtcdMember) -> str:
    """Its name; before its first start it has none."""
    return member.name or next(iter(member.peer_urls), f"{member.id:x}")


_LOST = "etcd has no majority: `hactl etcd status`; docs/disaster-recovery.md"


def _too_few(voters: Sequence[EtcdMember], answering: Collection[int], when: str) -> str:
    needed, there = len(voters) // 2 + 1, sum(member.id in answering for member in voters)
    if there >= needed:
        return ""
    silent = ", ".join(_silent(voters, answering))
    away = f" ({silent} would not)" if silent else ""
    return (
        f"{when}, {there} of etcd's {len(voters)} members would answer{away}, and {needed} are needed: it would have "
        "no majority; repair the others first (`hactl etcd status`)"
    )


def _silent(members: Sequence[EtcdMember], answering: Collection[int]) -> list[str]:
    return [called(member) for member in members if member.id not in answering]


def _learner(members: Members) -> str:
    if (learner := members.learner) is None:
        return ""
    return (
        f"etcd's member {called(learner)} was added and has no vote yet, and there can be one such only: wait until it "
        "is promoted, or see `hactl etcd status`"
    )
