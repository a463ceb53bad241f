"""A resource that cannot be stopped, in a group with `on_stop_failure: self-fence`: its node takes itself down, once.

Before it does, the group is blocked in the store: else the next owner would find the same and go down, too, and so on
through the cluster, and again after every boot. It is unblocked by an operator (`hactl group cleanup`). This is for the
sake of the other groups; what may run twice is the guard's and the lease's matter (PROTOCOL.md, *The session* 4). Pure.
"""

from __future__ import annotations

from election.records import Block
from election.store import Compare, Put, Txn
from election.view import View
from hactl.decide.state import NodeState, Out, Run
from hactl.model.effects import SelfFence


def blocked(view: View, group: str) -> str:
    """Why nobody may start the group; empty: it is not blocked."""
    found = view.blocks.get(group)
    if found is None:
        return ""
    record = found.record
    return (
        f"blocked: {record.node} took itself down since {record.resource} could not be stopped ({record.reason}), so "
        "nobody starts it until an operator says that it is repaired"
    )


def block(state: NodeState, run: Run, resource: str, reason: str, out: Out) -> None:
    """Resource `resource` cannot be stopped: block its group, then take this node down. A group that is blocked
    already, for another node or an earlier session, takes nobody down; nor does one on the last node that is alive."""
    name = run.spec.name
    if state.session.state != "live" or not _others_live(state):
        return  # without a session the deadline that the guard holds decides
    found = state.view.blocks.get(name)
    if found is not None:
        self_fence(state, run, out)
        return
    if any(item.purpose == "block" and item.name == name for item in state.pending.values()):
        return
    key = state.keys.blocked(name)
    record = Block(state.node, state.session.sid, resource, reason[:300])
    txn = Txn(state.writer.guarded(Compare(key, "create", 0)), (Put(key, record.to_json()),), state.writer.reads(key))
    out.send("block", txn, name=name)


def self_fence(state: NodeState, run: Run, out: Out) -> None:
    """Take this node down, if the group is blocked by this very session."""
    found = state.view.blocks.get(run.spec.name)
    if found is None or found.record.sid != state.session.sid or state.session.state != "live":
        return
    if _others_live(state):
        reason = f"{run.spec.name}/{found.record.resource} cannot be stopped: {found.record.reason}"
        out.note("group_blocked", group=run.spec.name, resource=found.record.resource, reason=found.record.reason)
        out.effects.append(SelfFence(reason))


def _others_live(state: NodeState) -> bool:
    return any(node != state.node for node in state.view.sessions)
