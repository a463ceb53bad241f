"""Another machine that has this node's name: a copy of its disk, an old backup, a second one with the same settings.
Whether there is one, and so what this node may say of a session in its name (docs/protocol.md, *Identity*). Pure.

A session held by a daemon of this very boot is this machine's. Of any other nobody knows which machine holds it: it is
attested only when its lease is surely over, by a machine that is not known to be another one, and that asked its own
network whether somebody else answers for its address.
"""

from __future__ import annotations

from election.clock import owner_elapsed
from election.machine import differences
from election.ownership import lost_holders
from election.records import FenceRecord, Holder, Refusal, Session
from election.store import Put, Txn
from election.view import Versioned
from hactl.decide import phase_table
from hactl.decide.state import NodeState, Out
from hactl.model.effects import Disown, Exit, ProbeOriginal
from hactl.model.events import Identified, OriginalProbed
from hactl.model.purposes import Purpose

# A session is written by one transaction at a time, each compared with the one before it: of a machine that is dead one
# may still arrive. A second one was sent after the first was answered.
STRAY_WRITES = 1

# An answer that did not come by then is not waited for.
PROBE_LOST_MS = 10_000.0

# How long the others are told of a machine that was refused, while this node lives.
SHOWN_MS = 600_000.0

NEW_MACHINE_ID = "`rm -f /etc/machine-id /var/lib/dbus/machine-id && systemd-machine-id-setup`, then reboot"


def held_here(state: NodeState, session_id: str) -> bool:
    """Whether a daemon of this boot of this machine held the session: this one, the one that the guard served, or the
    one that noted it in run_dir, which no copy of a disk has."""
    return bool(session_id) and (
        session_id in state.own_session_ids or session_id in (state.boot.guard.session_id, state.boot.held_session_id)
    )


def on_session(state: NodeState, session: Versioned[Session] | None, out: Out) -> None:
    """The session in my name, which is not the one I hold now, is as `session`."""
    watched = state.namesake
    state.observer.on_session(state.node, session, out.now)
    if session is None or held_here(state, session.record.session_id):
        watched.session = None
        return
    if watched.session is not None and watched.session != (session.create_revision, session.mod_revision):
        watched.moves += 1
    watched.session = (session.create_revision, session.mod_revision)


def not_mine(state: NodeState, record: Session | FenceRecord) -> str:
    """Why a dead session in my name was another machine's, or may have been; "": nothing says so."""
    if held_here(state, record.session_id):
        return ""
    if record.session_id in state.namesake.disowned:
        return "another machine was seen to renew it"
    if record.machine_id and record.machine_id != state.boot.machine_id:
        return f"it is of the machine with the machine id {record.machine_id}"
    if record.machine_id:
        other = differences(state.session.owner.machine, record.machine)
        return f"it is of a machine with another {' and another '.join(other)}" if other else ""
    # A record written without the session having been read: by `recover` (any of my past), or for a lost one.
    known = (isinstance(record, FenceRecord) and record.generation) or record.session_id == state.boot.last_session_id
    return "" if known else "nobody knows which machine's it is"


def unwritten_end(state: NodeState) -> Holder | None:
    """The session in my name that owns a group and is in no key any more (a hand deleted it), unless this boot held it:
    then all of it is stopped here."""
    lost = (holder for holder in lost_holders(state.view) if holder.node == state.node)
    return next((holder for holder in lost if not held_here(state, holder.session_id)), None)


def refused(state: NodeState, out: Out) -> bool:
    """Whether this machine is not to take part: another one lives that has its name, or its machine id. The daemon ends
    when the others have been told."""
    if state.namesake.leaving:
        return True
    session = state.view.sessions.get(state.node)
    if session is not None and state.namesake.moves > STRAY_WRITES:
        out.effects.append(Disown(session.record.session_id))
        state.namesake.disowned.add(session.record.session_id)
        text = (
            f"node name '{state.node}' is in use by another machine{where(state)}, which has this machine's id, "
            f"{state.boot.machine_id}, and renews its session: one of them is a copy, or an old backup, of the other. "
            "Shut this machine down; or give it another name in node.toml, an empty state_dir, its own machine id: "
            f"{NEW_MACHINE_ID}"
        )
        leave(state, "name_in_use", text, out)
        return True
    for name, other in state.view.sessions.items():
        if name != state.node and other.record.machine_id == state.boot.machine_id:
            text = (
                f"nodes '{state.node}' and '{name}' have the same machine id, {state.boot.machine_id}: "
                f"one is a copy of the other; on '{state.node}': {NEW_MACHINE_ID}"
            )
            leave(state, "machine_id_in_use", text, out)
            return True
    return False


def where(state: NodeState) -> str:
    """The address at which the other machine says that it is."""
    member = state.view.members.get(state.node)
    return f", at {member.record.address}" if member else ""


def leave(state: NodeState, event: str, reason: str, out: Out) -> None:
    """Tell the operator and the others, then end with status 2 (`left`)."""
    out.note(event, reason=reason)
    state.namesake.leaving = reason
    _tell_others(state, reason, out)


def left(state: NodeState, out: Out) -> None:
    """The others have been told, or cannot be."""
    if state.namesake.leaving:
        phase_table.enter(state, "gone")
        out.effects.append(Exit(2, state.namesake.leaving))


def surely_over(state: NodeState, session: Versioned[Session] | None, record: FenceRecord, out: Out) -> bool:
    """Whether the session in my name, which is mine as far as anybody can tell, may be attested now. One that this boot
    held: at once, of an earlier daemon after S. Any other may be held by a machine that has all that this one has: when
    its lease is over, whoever holds it, and nobody answers for this node's address."""
    if held_here(state, record.session_id):
        soon = session is None or record.session_id in (*state.own_session_ids, state.boot.guard.session_id)
        return soon or state.observer.silent_ms(state.node, out.now) >= state.timing.suspect_after_ms
    if session is not None:
        over = state.observer.over(state.node, session, out.now)
    else:
        over = record.over or state.observer.dead_over(state.node, record, out.now)
    return over and _nobody_answers(state, out)


def wait_for_operator(state: NodeState, session: Versioned[Session] | None, why: str, out: Out) -> None:
    """The dead session in my name is not for me to attest: say so, here and to the others."""
    record = session.record if session else state.view.fences[state.node].record
    text = (
        f"the last session of '{state.node}' is not known to be stopped, and this machine cannot vouch for it: {why}; "
        f"make sure that no other machine runs as '{state.node}', then `hactl fence confirm {state.node}`"
    )
    if state.namesake.problem != text:
        state.namesake.problem = text
        out.note("session_not_mine", sid=record.session_id, machine_id=record.machine_id, reason=text)
        _tell_others(state, text, out)


def on_identified(state: NodeState, event: Identified, out: Out) -> None:
    """It is known what machine this is; the session says so from its next renewal on."""
    state.session.owner = state.session.owner._replace(machine=event.machine)
    state.identifying = None


def on_probed(state: NodeState, event: OriginalProbed, out: Out) -> None:
    """The network was asked for another machine with this node's address."""
    watched = state.namesake
    watched.probing, watched.probed, watched.answered_by = None, out.now, event.by
    if event.by:
        out.note_once("original", "original_answers", address=_address(state), mac=event.by)
    elif event.problem:
        out.note_once("original", "original_not_asked", address=_address(state), problem=event.problem)


def forget_refusal(state: NodeState, out: Out) -> None:
    """A machine was refused my name: I, who have it, note that once more. It is no longer shown once it is long ago, or
    was before my session."""
    known, watched = state.view.refusals.get(state.node), state.namesake
    if known is None or state.sending(Purpose.FORGET_REFUSAL):
        return
    fresh = known.mod_revision > state.session.session_revision
    if fresh and (watched.refusal is None or watched.refusal[0] != known.mod_revision):
        watched.refusal = (known.mod_revision, out.now)
        out.note("machine_refused", reason=known.record.reason)
    elif not fresh or (watched.refusal and owner_elapsed(watched.refusal[1], out.now) > SHOWN_MS):
        out.send(Purpose.FORGET_REFUSAL, state.writer.delete(state.keys.refused(state.node), known.mod_revision))


def _nobody_answers(state: NodeState, out: Out) -> bool:
    """Whether this node's address was asked for just now, and no other machine answered. Where it cannot be asked for,
    the lease has to do."""
    watched = state.namesake
    if watched.probed is not None and owner_elapsed(watched.probed, out.now) < state.timing.lease_ms:
        if watched.answered_by:
            why = f"another machine answers for its address {_address(state)} (MAC address {watched.answered_by})"
            wait_for_operator(state, state.view.sessions.get(state.node), why, out)
        return not watched.answered_by
    if watched.probing is None or owner_elapsed(watched.probing, out.now) > PROBE_LOST_MS:
        watched.probing = out.now
        out.effects.append(ProbeOriginal(_address(state)))
    return False


def _address(state: NodeState) -> str:
    return state.cluster.address(state.node) if state.cluster else ""


def _tell_others(state: NodeState, reason: str, out: Out) -> None:
    refusal = Refusal(reason, state.boot.machine_id, state.boot.boot_id)
    write = Put(state.keys.refused(state.node), refusal.to_json())
    out.send(Purpose.REFUSAL, Txn((state.view.same_history,), (write,)))
