"""A resource that cannot be stopped, in a group with `on_stop_failure: self-fence`: its node takes itself down, once.
With `on_stop_failure: fence` it has its peers do that, by its fence devices.

Before it does, the group is blocked in the store: else the next owner would find the same and go down, too, and so on
through the cluster, and again after every boot. It is unblocked by an operator (`hactl group cleanup`). A group whose
node was fenced by a device is not blocked: it starts elsewhere once the node is known to be off. But no second node is
fenced for it before that word.

Nor do two nodes go down at a time, each for another group, as when what all of them need is broken everywhere: in the
order of their blocks, the next one once the one before it is back. This is for the sake of the other groups; what may
run twice is the guard's and the lease's matter (docs/protocol.md, *Session* 4). Pure.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from election.reading import ReadView
from election.records import Block
from election.session import dead
from election.store import Compare, Delete, Put, Txn
from election.view import Versioned
from hactl.decide.local_group import LocalGroup
from hactl.decide.state import NodeState, Out
from hactl.model.effects import SelfFence
from hactl.model.purposes import Purpose


def blocked(view: ReadView, group: str) -> str:
    """Why nobody may start the group; empty: it is not blocked."""
    known = view.blocks.get(group)
    if known is None:
        return ""
    record = known.record
    if record.fenced:
        return ""
    if _is_up(view, record):
        cause = f"{record.resource} cannot be stopped on {record.node} ({record.reason})"
    else:
        cause = f"{record.node} took itself down since {record.resource} could not be stopped ({record.reason})"
    return f"blocked: {cause}, so nobody starts it until an operator says that it is repaired"


def as_blocked(state: NodeState, group: str) -> tuple[Compare, ...]:
    """What a transaction that takes the group demands: that nobody has blocked it since."""
    key, known = state.keys.blocked(group), state.view.blocks.get(group)
    if known is not None and known.record.fenced:
        return (Compare(key, "mod", known.mod_revision),)
    return (Compare(key, "create", 0),)


def fenced_for(view: ReadView, group: str) -> str:
    """Which node was fenced for the group, and why; "": none since the operator's last word."""
    known = view.blocks.get(group)
    if known is None or not known.record.fenced:
        return ""
    record = known.record
    return f"{record.node} had itself fenced since {record.resource} could not be stopped ({record.reason})"


def block(state: NodeState, run: LocalGroup, resource: str, reason: str, out: Out) -> None:
    """Resource `resource` cannot be stopped: block its group, then take this node down. A group that is blocked
    already, for another node or an earlier session, takes nobody down; nor does one on the last node that is alive."""
    name = run.spec.name
    if state.session.state != "live" or not _others_live(state):
        return  # without a session the deadline that the guard holds decides
    by_device = run.spec.on_stop_failure == "fence"
    if by_device and not (run.spec.fencing == "required" and state.topology.of(state.node).has_device):
        return  # the configuration was another one when this was looked at
    known = state.view.blocks.get(name)
    if known is not None:
        self_fence(state, run, out)
        return
    if state.sending(Purpose.BLOCK, name=name):
        return
    key, repaired = state.keys.blocked(name), state.keys.cleanup(name)
    record = Block(state.node, state.session.session_id, resource, reason[:300], by_device)
    # Not after a word of the operator's that is later than this: it may linger on the way.
    compares = Compare(key, "create", 0), Compare(repaired, "mod", state.view.mod_of(repaired))
    txn = Txn(state.writer.guarded(*compares), (Put(key, record.to_json()),), state.writer.reads(key))
    out.send(Purpose.BLOCK, txn, name=name)


def self_fence(state: NodeState, run: LocalGroup, out: Out) -> None:
    """Take this node down, if the group is blocked by this very session, and no other node goes down before it. Else it
    is looked at again when the stop has failed once more."""
    known = state.view.blocks.get(run.spec.name)
    if known is None or known.record.session_id != state.session.session_id or state.session.state != "live":
        return
    if state.view.revision < known.mod_revision or state.view.unread("blocked"):
        return  # which blocks were written before mine is not known, or not yet
    first = next((other.record for other in state.view.blocks.values() if _goes_first(state, other, known)), None)
    if first is not None:
        out.note_once("down", "self_fence_waits", group=run.spec.name, node=first.node, resource=first.resource)
    elif _others_live(state) and known.record.fenced:
        _ask_to_be_fenced(state, run.spec.name, known.record, out)
    elif _others_live(state):
        reason = f"{run.spec.name}/{known.record.resource} cannot be stopped: {known.record.reason}"
        out.note("group_blocked", group=run.spec.name, resource=known.record.resource, reason=known.record.reason)
        out.effects.append(SelfFence(reason))


def _ask_to_be_fenced(state: NodeState, group: str, record: Block, out: Out) -> None:
    """End my own session, with the word that this node is to be fenced: the peers do the rest, as for an operator's
    `hactl fence` (S5: no session of mine is there any more when a device is used)."""
    session = state.view.sessions.get(state.node)
    if session is None or state.sending(Purpose.ASK_FENCE):
        return
    node, fence = state.keys.node(state.node), state.keys.fence(state.node)
    wanted: Literal["off", "reboot"] = "off" if state.topology.of(state.node).action == "off" else "reboot"
    # Nobody has observed its end, so everybody counts from the first sight of the record.
    asked = replace(dead(session), deposed_revision=0, wanted=wanted, by=f"{state.node}: {group}/{record.resource}")
    compares = state.writer.guarded(Compare(fence, "mod", state.view.mod_of(fence)))
    txn = Txn(compares, (Delete(node), Put(fence, asked.to_json())), state.writer.reads(fence))
    out.send(Purpose.ASK_FENCE, txn, name=group)
    out.note("asks_to_be_fenced", group=group, resource=record.resource, reason=record.reason)


def _goes_first(state: NodeState, other: Versioned[Block], mine: Versioned[Block]) -> bool:
    """Whether the node of `other` goes down before this one, and is not back yet."""
    node = other.record.node
    if node == state.node or other.mod_revision > mine.mod_revision:
        return False
    back = state.view.sessions.get(node)
    return back is None or back.record.session_id == other.record.session_id


def _is_up(view: ReadView, record: Block) -> bool:
    """Whether the node that blocked it has not gone down: not yet, or it need not."""
    session = view.sessions.get(record.node)
    return session is not None and session.record.session_id == record.session_id


def _others_live(state: NodeState) -> bool:
    return any(node != state.node for node in state.view.sessions)
