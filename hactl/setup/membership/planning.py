"""The plan with a machine more, without one, with another machine or name in its place; and why not. Pure."""

from __future__ import annotations

import msgspec

from hactl.setup.errors import BadInputError, RefusedError
from hactl.setup.plan import Change, Host, Plan, read_host
from hactl.status.etcd.membership import wanted_members


def under_way(plan: Plan, change: Change) -> bool:
    """Whether this is the change that began before and goes on. Raises RefusedError where another one is."""
    if plan.change is None:
        return False
    if _same(plan.change, change):
        return True
    if _gives_up(plan.change, change):
        return False
    raise RefusedError(f"another change is under way: first `{plan.change.command}`, which goes on")


def _gives_up(begun: Change, asked: Change) -> bool:
    """Whether the machine that was about to come is taken out, the one that was about to go is taken back, or the one
    that was about to get another name gets its old one."""
    if asked.verb == "rename":
        return begun.verb == "rename" and (asked.old, asked.host.name) == (begun.host.name, begun.old)
    given_up = {"remove": ("add", "replace"), "add": ("remove",)}.get(asked.verb, ())
    return begun.verb in given_up and begun.host == asked.host


def _same(begun: Change, asked: Change) -> bool:
    return (begun.verb, begun.host) == (asked.verb, asked.host)


def added(plan: Plan, text: str, *, member: bool | None, now: float) -> Plan:
    """With the node `NAME=ADDRESS`. `member`: whether it has a member of etcd; None: where etcd has too few for so many
    nodes. A node that has none gets one. Raises RefusedError, BadInputError."""
    host = read_host(text) if "=" in text else known(plan, text)
    change = Change("add", host, now)
    if under_way(plan, change):
        return plan
    if host in plan.nodes:
        return _with_member(plan, host, change, member=bool(member))
    if same := plan.host(host.name):
        raise RefusedError(f"there is a machine {same.text}: choose another name")
    if other := next((other for other in plan.hosts if other.address == host.address), None):
        raise RefusedError(
            f"{other.name} has the address {host.address}; for a machine in its place: "
            f"`hactl node replace {other.name}`"
        )
    nodes = (*plan.nodes, host)
    wanted = len(plan.members) < wanted_members(len(nodes)) if member is None else member
    return _changed(plan, change, nodes=nodes, without_member=_without(plan, host, member=wanted))


def _with_member(plan: Plan, host: Host, change: Change, *, member: bool) -> Plan:
    if not member:
        raise RefusedError(f"{host.text} is a node of the cluster already; to give it a member of etcd, `--etcd`")
    if plan.etcd or host.name not in plan.without_member:
        raise RefusedError(f"{host.name} has a member of etcd already" if not plan.etcd else _FOREIGN)
    return _changed(plan, change, without_member=_without(plan, host, member=True))


def _without(plan: Plan, host: Host, *, member: bool) -> tuple[str, ...]:
    names = tuple(name for name in plan.without_member if name != host.name)
    return names if member or plan.etcd else (*names, host.name)


def removed(plan: Plan, name: str, here: Host | None, *, now: float) -> Plan:
    """Without the machine. `here`: the one on which this runs. Raises RefusedError, BadInputError."""
    if plan.change and plan.change.verb == "remove" and plan.change.host.name == name:
        return plan
    host = known(plan, name)
    change = Change("remove", host, now)
    under_way(plan, change)
    if host == here:
        raise RefusedError(
            f"{name} is this machine, which has the cluster's authority: copy /etc/hactl/ca, /etc/hactl/cluster.yaml "
            f"to another node (modes and owner as here), then `hactl node remove {name}` there"
        )
    if host in plan.nodes and len(plan.nodes) == 1:
        raise RefusedError(f"{name} is the last node")
    nodes = tuple(node for node in plan.nodes if node != host)
    witness = None if plan.witness == host else plan.witness
    return _changed(plan, change, nodes=nodes, witness=witness, without_member=_without(plan, host, member=True))


def replaced(plan: Plan, text: str, here: Host | None, *, now: float) -> Plan:
    """With a new machine in the place of one, `NAME` or `NAME=ADDRESS`. Raises RefusedError, BadInputError."""
    name, sign, _ = text.partition("=")
    old = known(plan, name)
    host = read_host(text) if sign else old
    change = Change("replace", host, now, old=old.address)
    if under_way(plan, change):
        return plan
    if old == here:
        raise RefusedError(f"{name} is this machine: run this on the one that has /etc/hactl/ca and is not replaced")
    if taken := next((other for other in plan.hosts if other != old and other.address == host.address), None):
        raise RefusedError(f"{taken.name} has the address {host.address}")
    return _exchanged(plan, change, old)


def renamed(plan: Plan, old_name: str, new_name: str, *, now: float) -> Plan:
    """With another name for a machine. Raises RefusedError, BadInputError."""
    begun = plan.change
    if begun and (begun.verb, begun.old, begun.host.name) == ("rename", old_name, new_name):
        return plan
    old = known(plan, old_name)
    host = read_host(f"{new_name}={old.address}")
    change = Change("rename", host, now, old=old_name)
    under_way(plan, change)
    if other := plan.host(new_name):
        raise RefusedError(f"there is a machine {other.text}: choose another name")
    return _exchanged(plan, change, old)


def _exchanged(plan: Plan, change: Change, old: Host) -> Plan:
    """`change.host` in the place of `old`."""
    new = change.host
    nodes = tuple(new if node == old else node for node in plan.nodes)
    witness = new if plan.witness == old else plan.witness
    without = tuple(new.name if name == old.name else name for name in plan.without_member)
    return _changed(plan, change, nodes=nodes, witness=witness, without_member=without)


def finished(plan: Plan) -> Plan:
    """With nothing under way any more."""
    return msgspec.structs.replace(plan, change=None)


def known(plan: Plan, name: str) -> Host:
    """The machine of this name. Raises BadInputError."""
    if (host := plan.host(name)) is None:
        raise BadInputError(f"no machine `{name}`: there are {', '.join(host.text for host in plan.hosts)}")
    return host


_FOREIGN = "etcd is not of `hactl setup` here: its members are added by those who look after it"


def _changed(plan: Plan, change: Change, **parts: object) -> Plan:
    try:
        # An even number of members is said where it comes about: it may be a step on the way to the next odd one.
        new: Plan = msgspec.structs.replace(plan, change=change, even=True, **parts)
    except ValueError as error:
        raise BadInputError(str(error)) from None
    return msgspec.structs.replace(new, even=plan.even or len(new.members) % 2 == 0)
