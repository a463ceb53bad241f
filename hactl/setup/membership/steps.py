"""Which step of `hactl node add|remove|replace|rename` comes next, by what is so now. Pure.

No step remembers the ones before it: a command that was interrupted goes on where it was, and a step that was done by
hand is done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from election.etcd.facts import EtcdMember
from hactl.setup.authority import user_of
from hactl.setup.errors import RefusedError
from hactl.setup.membership import quorum
from hactl.setup.membership.quorum import Members
from hactl.setup.plan import PEER_PORT, Change, Host, Plan


class Step(StrEnum):
    """What is done next."""

    STANDBY = "standby"
    AWAIT_EMPTY = "await empty"
    STOP = "stop"
    LEAVE = "leave"
    CONFIRM = "confirm"
    CONFIGURE = "configure"
    REMOVE_USER = "remove user"
    ADD_MEMBER = "add member"
    REMOVE_MEMBER = "remove member"
    MAKE_BUNDLE = "make bundle"
    JOIN = "join"
    PROMOTE = "promote"
    AWAIT_ONLINE = "await online"
    FORGET = "forget"
    SPREAD = "spread"


class NodeFacts(NamedTuple):
    """A node, as the cluster knows it. `alive`: it has a session; `unsafe`: its last one has ended, and is not known to
    be stopped; `busy`: groups that run there, or that have left it and do not run elsewhere yet; `machine_id`: of its
    session; `remembered`: the cluster holds records of it."""

    alive: bool = False
    standby: bool = False
    unsafe: bool = False
    busy: tuple[str, ...] = ()
    machine_id: str = ""
    remembered: bool = False


class Facts(NamedTuple):
    """`users`: of etcd; `bundle`: the machine's join file was made since the change began; `configured`: cluster.yaml
    and the configuration in use say what comes out of the change; `stale`: machines whose join files name other
    endpoints or members of etcd than there are."""

    members: Members = Members()
    users: frozenset[str] = frozenset()
    bundle: bool = False
    configured: bool = False
    nodes: Mapping[str, NodeFacts] = {}
    stale: tuple[str, ...] = ()

    def node(self, name: str) -> NodeFacts:
        """Of one node."""
        return self.nodes.get(name, NodeFacts())


def next_step(plan: Plan, facts: Facts) -> Step | None:
    """The first step that is not done; None: all are. Raises RefusedError where it may not be done now."""
    change = plan.change
    if change is None:
        return None
    step = next(_ORDERS[change.verb](plan, change, facts), None)
    if problem := _refusal(step, plan, change, facts):
        raise RefusedError(problem)
    return step


def refusal(plan: Plan, facts: Facts) -> str:
    """Why a change must not begin; "": it may. What would be refused in the middle is refused before the first step."""
    change = plan.change
    if change is None:
        return ""
    old = facts.node(change.old if change.verb == "rename" else change.host.name)
    if change.verb == "replace" and old.alive:
        return (
            f"{change.host.name} is alive: it has a session. Only a machine that is gone is replaced; to give it up "
            f"first: `hactl node standby {change.host.name}`, then switch it off"
        )
    going = [member for member in facts.members.all if member.id in change.members]
    if going and (problem := quorum.cannot_remove(facts.members, change.members)):
        return problem
    if change.verb == "add" and (stranger := _stranger(plan, facts.members)):
        return stranger
    if change.verb == "add" and _has_member(plan, change.host) and not _member(change.host, facts):
        return quorum.cannot_add(facts.members)
    if change.verb == "rename" and (member := _member(change.host, facts)):
        return quorum.cannot_restart(facts.members, member)
    return ""


def _stranger(plan: Plan, members: Members) -> str:
    """A member that is none of the plan's."""
    ours = {host.url(PEER_PORT) for host in plan.members}
    others = [quorum.called(member) for member in members.all if not ours & set(member.peer_urls)]
    if not others or plan.etcd:
        return ""
    return f"etcd's member {', '.join(others)} is none that `hactl` set up: `hactl etcd status`; take it out first"


def _refusal(step: Step | None, plan: Plan, change: Change, facts: Facts) -> str:
    if step is Step.REMOVE_MEMBER:
        return quorum.cannot_remove(facts.members, change.members)
    if step is Step.ADD_MEMBER and change.verb == "add":
        return quorum.cannot_add(facts.members)
    if step is Step.ADD_MEMBER:
        return quorum.cannot_follow(facts.members)
    if step is Step.JOIN and change.verb == "rename" and (member := _member(change.host, facts)):
        return quorum.cannot_restart(facts.members, member)
    return ""


def _add(plan: Plan, change: Change, facts: Facts) -> Iterator[Step]:
    host, node = change.host, facts.node(change.host.name)
    member = _member(host, facts)
    if _has_member(plan, host) and member is None:
        yield Step.ADD_MEMBER
    if not facts.bundle:
        yield Step.MAKE_BUNDLE
    if not (_runs(member, facts) if _has_member(plan, host) and member else node.alive):
        yield Step.JOIN
    if _has_member(plan, host) and member and member.learner:
        yield Step.PROMOTE
    if not facts.configured:
        yield Step.CONFIGURE
    if _is_node(plan, host) and not node.alive:
        yield Step.AWAIT_ONLINE
    if facts.stale:
        yield Step.SPREAD


def _runs(member: EtcdMember, facts: Facts) -> bool:
    """Whether it has started; one without a vote must answer, or it would not when it has one."""
    return bool(member.urls) and (not member.learner or member.id in facts.members.answering)


def _remove(plan: Plan, change: Change, facts: Facts) -> Iterator[Step]:
    name, node = change.host.name, facts.node(change.host.name)
    yield from _emptied(node)
    if not facts.configured:
        yield Step.CONFIGURE
    if facts.members.with_id(change.members):
        yield Step.REMOVE_MEMBER
    if node.alive:
        yield Step.LEAVE
    if user_of(name) in facts.users:
        yield Step.REMOVE_USER
    if node.remembered:
        yield Step.FORGET
    if facts.stale:
        yield Step.SPREAD


def _replace(plan: Plan, change: Change, facts: Facts) -> Iterator[Step]:
    if facts.node(change.host.name).unsafe:
        yield Step.CONFIRM
    if facts.members.with_id(change.members):
        yield Step.REMOVE_MEMBER
    if not facts.configured:
        yield Step.CONFIGURE
    yield from _add(plan, change, facts)


def _rename(plan: Plan, change: Change, facts: Facts) -> Iterator[Step]:
    old, node, member = facts.node(change.old), facts.node(change.host.name), _member(change.host, facts)
    yield from _emptied(old)
    if old.alive:
        yield Step.STOP
    if not facts.configured:
        yield Step.CONFIGURE
    if not facts.bundle:
        yield Step.MAKE_BUNDLE
    if (member and member.name != change.host.name) or (_is_node(plan, change.host) and not node.alive):
        yield Step.JOIN
    if user_of(change.old) in facts.users:
        yield Step.REMOVE_USER
    if old.remembered:
        yield Step.FORGET
    if facts.stale:
        yield Step.SPREAD


def _emptied(node: NodeFacts) -> Iterator[Step]:
    if node.unsafe:
        yield Step.CONFIRM
    if node.alive and not node.standby:
        yield Step.STANDBY
    if node.busy:
        yield Step.AWAIT_EMPTY


_ORDERS = {"add": _add, "remove": _remove, "replace": _replace, "rename": _rename}


def _is_node(plan: Plan, host: Host) -> bool:
    return host in plan.nodes


def _has_member(plan: Plan, host: Host) -> bool:
    return host in plan.members


def _member(host: Host, facts: Facts) -> EtcdMember | None:
    return facts.members.at(host.url(PEER_PORT))
