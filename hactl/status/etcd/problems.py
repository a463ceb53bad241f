"""The kinds of problems, and what the parts that find them share. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from election.etcd.facts import EndpointFacts, EtcdMember

# Each with how bad it is, the worst first. With an error no node can hold or take over anything, or two nodes may hold
# the same.
PROBLEMS = {
    "unreachable": "error",
    "separate": "error",
    "no_majority": "error",
    "full": "error",
    "corrupt": "error",
    "slow": "error",
    "endpoint_dead": "warning",
    "no_member": "warning",
    "endpoint_twice": "warning",
    "few_members": "warning",
    "never_started": "warning",
    "nearly_full": "warning",
    "slow_disk": "warning",
    "far_members": "warning",
    "unnamed_member": "warning",
    "versions_differ": "warning",
    "too_old": "warning",
    "snapshot_old": "warning",
    "learner": "notice",
    "one_member": "notice",
}


class EtcdProblem(NamedTuple):
    """One thing that is wrong. `code`: one of PROBLEMS; `text` and `todo` for people."""

    code: str
    text: str
    todo: str

    @property
    def level(self) -> str:
        """As warnings have it."""
        return PROBLEMS[self.code]


def members_of(facts: Sequence[EndpointFacts]) -> tuple[EtcdMember, ...]:
    """As the endpoint says that names most of them."""
    return max((fact.members for fact in facts), key=len, default=())


def voters(facts: Sequence[EndpointFacts]) -> list[EtcdMember]:
    """The members that count for a majority."""
    return [member for member in members_of(facts) if not member.learner]


def answering(facts: Sequence[EndpointFacts]) -> list[EndpointFacts]:
    """The endpoints that answer and serve clients."""
    return [fact for fact in facts if not fact.problem and not fact.learner]


def leads(facts: EndpointFacts) -> bool:
    """Whether the member at this endpoint leads, as it says itself."""
    return facts.member_id != 0 and facts.member_id == facts.leader_id


def called(member: EtcdMember) -> str:
    """Its name; its number in etcd's way where it has none yet."""
    return member.name or format(member.id, "x")


def address(url: str) -> str:
    """HOST:PORT of a URL."""
    return url.rpartition("://")[2].rstrip("/")


def is_of(member: EtcdMember, endpoint: str) -> bool:
    """Whether the endpoint, HOST:PORT, is this member's. One that has never started has said no address for clients:
    it is known by the host at which the other members reach it."""
    if member.urls:
        return endpoint in map(address, member.urls)
    hosts = {address(url).rpartition(":")[0] for url in member.peer_urls}
    return endpoint.rpartition(":")[0] in hosts


def mib(size: int) -> str:
    """As an operator reads a size."""
    return f"{size / 1024**2:.0f} MiB"
